// A running extension host, as the gateway sees it: a child process that takes bytes and gives bytes. Made by launch.ts;
// what it is told and when it is ended is decided in host.ts.

import type { ProcessUsage } from "./process_usage.ts";

/** Whether extensions may run where their walls cannot be had. */
export type Confinement = "required" | "best_effort";

/** A process that was started. Its callbacks are set at once, before it can say anything; none is called in a call to it. */
export interface HostProcess {
  readonly pid: number;
  /** Hands bytes to its stdin; they MUST NOT change afterwards. @returns false: it wants no more until it drains */
  write(bytes: Uint8Array): boolean;
  /** Bytes of its stdout, in order; a piece MAY be of any size. */
  onData(take: (bytes: Uint8Array) => void): void;
  /** It takes more, after a write that returned false. */
  onDrain(tell: () => void): void;
  /** A line of its stderr, without the line end and cut at some length. */
  onStderr(take: (line: string) => void): void;
  /** It has ended, for whatever reason; the last that is heard of it. @param tell is told how, in a few words */
  onExit(tell: (why: string) => void): void;
  /** What the system says of its memory and CPU time; absent or null where the system does not. */
  usage?(): ProcessUsage | null;
  /** Ends its stdin, and with that, soon, itself. */
  closeInput(): void;
  /** Ends it at once (SIGKILL). Does nothing when it has ended. */
  kill(): void;
}

/** Starts a host. @throws in one line, when no process can be started */
export type LaunchHost = (options: { readonly confinement: Confinement }) => HostProcess;
