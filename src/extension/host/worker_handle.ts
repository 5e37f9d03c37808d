// A worker's place in its host: it is started with its program, handed its commands unread, and what it says is written as
// it stands. It has no part in anything else of the host.

import type { Program, WorkerSpec } from "../../program/messages.ts";
import { sharedMeter, TurnWatch } from "./turn_meter.ts";

/** Where workers begin, by what they run. */
export type Entries = Readonly<Record<Program["kind"], URL>>;

export interface WorkerHandleOptions {
  readonly slot: number;
  readonly spec: WorkerSpec;
  readonly entry: URL;
  readonly write: (chunk: Uint8Array) => void;
  /** It has ended by itself, or never came to be. */
  readonly gone: (why: string) => void;
}

/** The first message to a worker; commands follow on the port. */
export interface Start {
  readonly slot: number;
  readonly spec: WorkerSpec;
  readonly meter: SharedArrayBuffer;
  /** Counts the commands that were put into the port, for a worker that waits without yielding. */
  readonly arrivals: SharedArrayBuffer;
  readonly port: MessagePort;
}

/** A worker's global object, as far as an entry needs it. */
export interface WorkerScope {
  onmessage: ((event: { readonly data: Start }) => void) | null;
  postMessage(chunk: Uint8Array<ArrayBuffer>, transfer: readonly Transferable[]): void;
}

/** Deno's own: what the worker may do. Others do not look at it. */
interface ConfinedWorkerOptions extends WorkerOptions {
  readonly deno: { readonly permissions: "none" };
}

export class WorkerHandle {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #watch: TurnWatch;
  readonly #arrivals: Int32Array;

  /** @throws when no worker can be started */
  constructor({ slot, spec, entry, write, gone }: WorkerHandleOptions) {
    const meter = sharedMeter();
    const arrivals = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    this.#watch = new TurnWatch(meter);
    this.#arrivals = new Int32Array(arrivals);
    const options: ConfinedWorkerOptions = { type: "module", deno: { permissions: "none" } };
    this.#worker = new Worker(entry, options);
    this.#worker.onmessage = ({ data }) => write(data as Uint8Array);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or Deno ends the process
      this.#worker.terminate();
      gone(event.message);
    };
    this.#worker.addEventListener("close", () => gone("its worker has ended"));
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker.postMessage({ slot, spec, meter, arrivals, port: port2 } satisfies Start, [port2]);
  }

  take(commands: Uint8Array): void {
    const own = new Uint8Array(commands); // what it came in is larger, and would be copied whole
    this.#port.postMessage(own, [own.buffer]);
    Atomics.add(this.#arrivals, 0, 1);
    Atomics.notify(this.#arrivals, 0);
  }

  end(): void {
    this.#worker.terminate();
    this.#port.close();
  }

  busyMs(nowMs: number): number {
    return this.#watch.busyMs(nowMs);
  }

  get heapBytes(): number {
    return this.#watch.heapBytes;
  }
}
