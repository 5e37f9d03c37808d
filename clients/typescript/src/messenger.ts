// Messages that wait: for a connection, for their room, for an answer. Each has a number, which its answer brings back.

import type { Clock } from "./clock.ts";
import type { Connection } from "./connection_types.ts";
import { type ErrorCode, WsPrismError } from "./error.ts";
import type { Incoming, Outgoing, Refused } from "./wire.ts";

/** A message before it has its number. */
export interface Draft {
  readonly svc: string;
  readonly type: string;
  readonly data?: unknown;
  readonly room?: string | undefined;
}

/** What answers a message: an ack, a reply, or what the gateway says of rooms. */
export type Want = "ack" | "reply" | "joined" | "left";

export interface PostOptions {
  /** Without a connection: refused, or kept in the outbox where there is one, or kept for as long as the session may go on. */
  readonly offline?: "keep" | "session";
  /** Where the draft names none. */
  readonly room?: string | undefined;
  readonly key?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** One of the two is called, `settle` within the answer's own turn, before the message behind it is read. */
  settle(answer: Incoming): void;
  fail(error: Error): void;
}

export interface MessengerOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly random: () => number;
  readonly timeoutMs: number;
  /** Undefined refuses what is sent while offline. */
  readonly outbox: { readonly max: number; readonly ttlMs: number } | undefined;
  /** The epoch of a room's history, undefined for none; false while the room is to be entered. */
  readonly epochOf: (room: string) => string | undefined | false;
}

export interface Messenger {
  post(draft: Draft, want: Want, options: PostOptions): void;
  /** @returns whether it was the answer to one of ours */
  answer(message: Incoming): boolean;
  /** Sends what can be sent now. */
  flush(): void;
  /** The session is lost, and with it all answers. What cannot be sent again without harm fails. */
  forget(): void;
  /** Everything fails. */
  fail(error: Error): void;
}

interface Pending {
  readonly message: Outgoing;
  readonly want: Want;
  readonly timeoutMs: number;
  readonly settle: (answer: Incoming) => void;
  readonly fail: (error: Error) => void;
  isSent: boolean;
  /** Sent in this epoch of its room, in which its key makes it safe to send it again; undefined where nothing does. */
  epoch: string | undefined;
  timer: unknown;
}

const ACK_REQUESTED = 4;

const lost = () => new WsPrismError("CONNECTION_LOST", "connection lost");

export function messengerOf(options: MessengerOptions): Messenger {
  const { connection, clock, random, outbox } = options;
  const pending = new Map<number, Pending>();
  const prefix = `${random()}-${random()}`;
  let lastSeq = 0;

  function post(
    draft: Draft,
    want: Want,
    { offline, room, key, timeoutMs, signal, ...on }: PostOptions,
  ): void {
    if (signal?.aborted) return on.fail(signal.reason);
    let keepMs = 0;
    if (!connection.isUp) {
      let code: ErrorCode | undefined;
      if (connection.status.get().state === "closed") code = "CLOSED";
      else if (offline === "keep" && outbox) {
        keepMs = outbox.ttlMs;
        if ([...pending.values()].filter(({ isSent }) => !isSent).length >= outbox.max) code = "OUTBOX_FULL";
      } else if (offline !== "session" || !connection.isResumable) code = "OFFLINE";
      if (code) return on.fail(new WsPrismError(code, "not sent"));
    }
    const seq = ++lastSeq;
    const end = () => {
      clock.clearTimeout(one.timer);
      pending.delete(seq);
      signal?.removeEventListener("abort", abort);
    };
    const abort = () => one.fail(signal!.reason);
    const one: Pending = {
      message: { v: 1, room, ...draft, key, seq, flags: want === "ack" ? ACK_REQUESTED : undefined },
      want,
      timeoutMs: timeoutMs ?? options.timeoutMs,
      settle(answer) {
        end();
        on.settle(answer);
      },
      fail(error) {
        end();
        on.fail(error);
      },
      isSent: false,
      epoch: undefined,
      timer: undefined,
    };
    pending.set(seq, one);
    signal?.addEventListener("abort", abort);
    if (connection.isUp) transmit(one);
    if (keepMs) failLater(one, keepMs, "EXPIRED", "not sent");
  }

  /** Sends it, unless the gateway would refuse it before its room is entered again. */
  function transmit(one: Pending): void {
    const { message, want, timeoutMs } = one;
    const isOfRooms = want === "joined" || want === "left" || message.room === undefined;
    const epoch = isOfRooms ? undefined : options.epochOf(message.room!);
    if (epoch === false) return;
    // Another epoch does not remember the key.
    if (one.epoch && one.epoch !== epoch) return one.fail(lost());
    one.epoch = want === "ack" ? epoch : undefined;
    const key = message.key ?? (one.epoch && `${prefix}-${message.seq}`);
    const encoded = connection.encode({ ...message, key });
    const max = connection.greeting!.max_frame_bytes;
    if (encoded.length * 3 > max && bytesOf(encoded) > max) {
      return one.fail(new WsPrismError("PAYLOAD_TOO_LARGE", `over ${max} bytes`));
    }
    one.isSent = true;
    failLater(one, timeoutMs, "TIMEOUT", `no answer in ${timeoutMs} ms`);
    connection.send(encoded);
  }

  function failLater(one: Pending, ms: number, code: ErrorCode, why: string): void {
    clock.clearTimeout(one.timer);
    one.timer = clock.setTimeout(() => one.fail(new WsPrismError(code, why)), ms);
  }

  return {
    post,
    answer(message) {
      const { svc, type, seq, data } = message;
      const one = pending.get(seq!);
      if (!one) return false;
      if (type === "error" && svc === "sys") {
        const refused = data as Refused;
        one.fail(new WsPrismError(refused.code as ErrorCode, refused.msg, refused));
      } else if (svc === "sys" ? type === one.want : one.want === "reply") one.settle(message);
      else return false;
      return true;
    },
    flush() {
      for (const one of pending.values()) if (!one.isSent && connection.isUp) transmit(one);
    },
    forget() {
      for (const one of pending.values()) {
        if (one.isSent ? !one.epoch : one.want === "left") one.fail(lost());
        else one.isSent = false;
      }
    },
    fail(error) {
      for (const one of pending.values()) one.fail(error);
    },
  };
}

function bytesOf(encoded: string | Uint8Array): number {
  return typeof encoded === "string" ? new TextEncoder().encode(encoded).length : encoded.length;
}
