// What a user interface shows of the connection, and what can be done about its end.

/** How the connection is. */
export type Status =
  /** Nothing was asked of it yet. */
  | { readonly state: "idle" }
  | { readonly state: "connecting" }
  | {
    readonly state: "connected";
    readonly user: string;
    readonly sid: string;
    readonly session: string;
    /** Whether the former session went on: then nothing was missed. */
    readonly resumed: boolean;
  }
  | {
    readonly state: "reconnecting";
    /** How many tries have failed since the connection was last stable. */
    readonly attempt: number;
    /** When the next try begins, Unix time in milliseconds; null while it is under way, or none can be. */
    readonly at: number | null;
    readonly reason: string;
    readonly remedy: string;
  }
  /** Nothing happens any more until `connect` is called. */
  | {
    readonly state: "closed";
    /** The close code; 1000 after `close` and `dispose`. */
    readonly code: number;
    readonly reason: string;
    /** What can be done about it. */
    readonly remedy: string;
  };

/** The close code that says that we come back: browsers let nobody say 1001, and no code at all is a goodbye. */
export const AWAY = 4006;

const UPDATE = "update this client";
const REMEDIES: Readonly<Record<number, string>> = {
  1000: "",
  1006: "check gateway, ticket, origins",
  4000: "read faster",
  4004: "pass the ticket as a function",
  4005: "send less",
  4500: "get a new ticket",
  4501: "connect again if asked",
  4502: "give each tab its own sid",
  4503: "end another session",
  4505: UPDATE,
  4506: UPDATE,
  4507: "see the policy",
  4508: "send less",
};

/** What can be done about a close code. */
export function remedyFor(code: number): string {
  return REMEDIES[code] ?? "ask the operator";
}
