// A session, as those see it who bring its client back: admission, by a token, and the tenant that keeps those who are away.

import type { ConnectionUser } from "./connection.ts";
import type { Identity } from "./grant.ts";

/** How a client comes back. */
export interface ReturnRequest extends Pick<Identity, "address" | "addressGroup"> {
  readonly token: string;
  /** How many messages of the session it has heard. */
  readonly heard: number;
}

/** A session to which a client can come back. */
export interface ResumableSession extends ConnectionUser {
  readonly cbor: boolean;
  readonly addressGroup: string;
  /**
   * Its client is about to come back, and has heard so many of its messages.
   * @returns null when it may; "bad" for a number that cannot be
   */
  mayResume(heard: number): "overflow" | "bad" | null;
  /**
   * Its client is back, over a connection that is handed to it next; one that it has yet is left.
   * @returns false when it has ended since it was found, or somebody came with the token before
   */
  comeBack(request: ReturnRequest): boolean;
  /** Nobody has come back within the time for that, or others need its place. */
  expire(): void;
  /** What it waits for has another time now. */
  schedule(): void;
}
