// One connection that stays: it opens links, greets, watches over them, counts what must be counted for a resume, and
// opens the next. A state machine that knows no runtime: links, time, chance and the page's news are given to it.
//
//   idle ─▶ opening ─▶ up ─▶ waiting ─▶ opening …        closed from any of them, by a close that says "do not come back"

import type { Connection, ConnectionHandler, ConnectionOptions } from "./connection_types.ts";
import { AWAY, remedyFor, type Status } from "./status.ts";
import { storeOf } from "./store.ts";
import type { Link, LinkHandler } from "./transport.ts";
import type { Greeting, Incoming, Refused } from "./wire.ts";

/**
 * The gateway is told how far we are, and asked how far it is, after so many bytes, each message counted as 512 more: both
 * keep what the other has not confirmed.
 */
const CONFIRM_BYTES = 32_768;
const MESSAGE_BYTES = 512;
/** More, unconfirmed, is not kept: then the session is given up as one to resume. */
const SENT_BYTES_MAX = 1_048_576;
const TIMER_MAX_MS = 0x7fff_ffff;
/** How soon a connection that may be dead must answer; how long an error explains the close that follows. */
const PROBE_MS = 5000;
/** Nobody's wish makes us try oftener; and how long an end may take. */
const RETRY_MIN_MS = 1000;
/** Renewals have this number; a caller's messages have higher ones. */
const RENEWAL_SEQ = 0;
/** After these the session has ended, or would meet again what has ended its link. */
const NOT_RESUMABLE = [1000, 1002, 1007, 1009, 4000, 4004, 4005];

/** A connection for `handler`. Nothing happens before `start`. */
export function connectionOf(options: ConnectionOptions, handler: ConnectionHandler): Connection {
  const { ticket: source, clock, backoff, codec } = options;
  const status = storeOf<Status>({ state: "idle" });
  /** Closed before the start as well. */
  let state: "opening" | "up" | "waiting" | "closed" = "closed";
  let greeting: Greeting | undefined;
  let link: Link | undefined;
  /** Changes with each link, so that a former one is not heard. */
  let run = 0;
  let timer: unknown;
  let renewTimer: unknown;
  /** Asks for another ticket, later. */
  let renewLater: (() => void) | undefined;
  /** With what the session can be resumed; undefined where it cannot. */
  let token: string | undefined;
  let windowMs = 0;
  /** Messages heard on this session, but for the greeting; and bytes since the gateway was told. */
  let heard = 0;
  let untold = 0;
  /** Messages of ours that the gateway is known to have taken; those after them, their bytes, and those since it was asked. */
  let taken = 0;
  let sent: (string | Uint8Array)[] = [];
  let sentBytes = 0;
  let unasked = 0;
  /** Until when the gateway waits for us, and how often we have tried since. */
  let until = 0;
  let tries = 0;
  /** The ticket of the last try. */
  let ticket: string | undefined;
  let attempt = 0;
  /** Links in a row that came to nothing: after two it is the fallback's turn, after three the transport's again. */
  let failed = 0;
  let openedAt = 0, upAt = 0, heardAt = 0;
  /** Until when a ping that went out must be answered, by whatever; 0 for none. */
  let answerBy = 0;
  /** When the timer that watches is due, and whether one that was late has been forgiven. */
  let dueAt = 0;
  let forgave = false;
  /** When the gateway wants us back, and where. */
  let backAt = 0;
  /** Whether it said so for another reason, and has a say in what follows only if it is the one who closes. */
  let isAside = false;
  let elsewhere: URL | undefined;
  /** What the gateway said last that may explain a close. */
  let reason = "";
  let reasonAt = 0;
  /** Told when the link is gone that is not heard any more. */
  let gone: (() => void) | undefined;

  function start(): void {
    if (state !== "closed") return;
    attempt = backAt = 0;
    status.set({ state: "connecting" });
    open();
  }

  function open(): void {
    const mine = ++run;
    state = "opening";
    openedAt = clock.now();
    if (attempt > 0) status.set({ ...status.get(), at: null } as Status);
    arm(options.timeoutMs, () => drop("no answer"));
    if (until < openedAt) token = undefined;
    if (typeof source !== "function") return dial(source);
    // A session that goes on needs no ticket; the last one goes along, should it not go on. After a failure, which may
    // have been the ticket's, a new one does.
    if (token && tries++ === 0 && ticket) return dial(ticket);
    fresh(source).then(
      (next) => mine === run && dial(next),
      (error) => mine === run && lost(1006, `no ticket: ${error}`),
    );
  }

  function dial(next: string | undefined): void {
    const mine = run;
    ticket = next;
    const { url, tenant, sid, transport, fallback } = options;
    const request = {
      url: elsewhere ?? url,
      tenant,
      ticket,
      // With its former name it takes the place of its former self, which may not be known to be gone yet.
      sid: sid ?? (token ? undefined : greeting?.sid),
      resume: token ? { token, heard } : undefined,
      codec,
    };
    elsewhere = undefined;
    const events: LinkHandler = {
      message: (data) => mine === run && read(data),
      close: (code, why, retryAfterMs) => mine === run ? lost(code, why, retryAfterMs) : gone?.(),
    };
    try {
      link = (failed > 1 && fallback || transport).open(request, events);
    } catch (error) {
      end(1006, `${error}`);
    }
  }

  function read(data: string | ArrayBuffer | Uint8Array): void {
    heardAt = clock.now();
    answerBy = 0;
    const raw = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
    let message: Incoming | undefined;
    try {
      message = codec.decode(raw) as Incoming | undefined;
    } catch (error) {
      token = undefined;
      return drop(`${error}`);
    }
    if (state === "up") {
      if (!message) return handler.frame(raw as Uint8Array);
      heard++;
      untold += raw.length + MESSAGE_BYTES;
      if (untold > CONFIRM_BYTES && token) ping();
    }
    if (!message) return;
    if (message.svc === "sys" && hear(message)) return;
    handler.message(message);
  }

  /** What the gateway itself says. @returns whether it was the greeting */
  function hear({ type, seq, data }: Incoming): boolean {
    const said = (data ?? {}) as Partial<Greeting & Refused> & {
      readonly reason?: string;
      readonly url?: string;
    };
    const retryAfterMs = said.retry_after_ms;
    if (type === "authed" || type === "resumed") {
      const isFirst = state === "opening";
      greeting = said as Greeting;
      if (isFirst) greet(greeting, type === "resumed");
      return isFirst;
    }
    if (type === "pong") confirm(said.heard);
    else if (type === "expiring") renew(heardAt + said.expires_in_ms!, RETRY_MIN_MS);
    else if (type === "error" && seq === RENEWAL_SEQ) renewLater?.();
    else if (type === "draining" || type === "kicked" || (type === "error" && seq === undefined)) {
      // The error may be about a frame of the hot lane, or why a close follows.
      reason = said.reason ?? said.msg ?? type;
      reasonAt = heardAt;
      if (retryAfterMs) {
        backAt = heardAt + retryAfterMs;
        isAside = type === "error";
      }
      if (said.url) elsewhere = new URL(said.url, options.url);
    }
    return false;
  }

  function greet({ resume, heard: count, user, sid, session }: Greeting, resumed: boolean): void {
    state = "up";
    upAt = heardAt;
    backAt = tries = 0;
    // A fallback that works is gone on with.
    failed &= 2;
    reason = "";
    if (resumed) {
      confirm(count);
      for (const message of sent) link!.send(message);
    } else {
      heard =
        untold =
        taken =
        sentBytes =
        unasked =
          0;
      sent = [];
    }
    token = resume?.token;
    windowMs = resume?.window_ms ?? 0;
    watch(half());
    status.set({ state: "connected", user, sid, session, resumed });
    handler.up(resumed);
  }

  /** The gateway has taken so many messages of ours: those need not be kept. */
  function confirm(count: number | undefined): void {
    if (!token || !(count! > taken)) return;
    for (const { length } of sent.splice(0, count! - taken)) sentBytes -= length + MESSAGE_BYTES;
    taken = count!;
  }

  function send(encoded: string | Uint8Array): void {
    link!.send(encoded);
    if (!token) return;
    const bytes = encoded.length + MESSAGE_BYTES;
    sent.push(encoded);
    sentBytes += bytes;
    unasked += bytes;
    if (sentBytes > SENT_BYTES_MAX) {
      token = undefined;
      sent = [];
    } else if (unasked > CONFIRM_BYTES) ping();
  }

  function say(type: string, data: unknown, seq?: number): void {
    send(codec.encode({ v: 1, svc: "sys", type, seq, data }));
  }

  /** Asks for a sign of life, and says how far we are. */
  function ping(withinMs = half()): void {
    const by = clock.now() + withinMs;
    if (!answerBy || by < answerBy) answerBy = by;
    untold = unasked = 0;
    say("ping", token && { heard });
  }

  /** Half of the time in which a link that is dead must be found. */
  function half(): number {
    return greeting!.ping_interval_ms / 2 || TIMER_MAX_MS;
  }

  function watch(ms: number): void {
    dueAt = clock.now() + ms;
    arm(ms, look);
  }

  function look(): void {
    const now = clock.now();
    if (!answerBy) {
      forgave = false;
      const restMs = heardAt + half() - now;
      if (restMs > 0) return watch(restMs);
    } else {
      if (answerBy > now) return watch(answerBy - now);
      // A tab in the background, or a machine that slept, has late timers, and may have messages that wait to be read:
      // that is no silence. The second time it is, for then they have been read.
      if (forgave || now - dueAt <= half()) return drop("silent");
      forgave = true;
      answerBy = 0;
    }
    ping();
    watch(half());
  }

  /** Brings a new ticket; tries again, later and later, while there is time. */
  function renew(expiresAt: number, waitMs: number): void {
    if (typeof source !== "function") return;
    const mine = run;
    renewLater = () => {
      renewLater = undefined;
      if (clock.now() + waitMs < expiresAt) {
        renewTimer = clock.setTimeout(() => renew(expiresAt, waitMs * 2), waitMs);
      }
    };
    fresh(source).then(
      (next) => mine === run && say("auth", { ticket: ticket = next }, RENEWAL_SEQ),
      () => mine === run && renewLater?.(),
    );
  }

  /** Gives a link up that says nothing, or must not stay. What it says may still arrive, and must not end the session. */
  function drop(why: string): void {
    const former = link;
    lost(1006, why);
    former?.close(token ? AWAY : undefined);
  }

  function lost(code: number, why: string, retryAfterMs?: number): void {
    const now = clock.now();
    const wasUp = state === "up";
    if (reason && now - reasonAt < PROBE_MS) why = reason;
    if (link && !wasUp) failed = ++failed % 3;
    if (retryAfterMs) backAt = now + retryAfterMs;
    else if (isAside && code === 1006) backAt = 0;
    clear();
    if (code >= 4500) return end(code, why);
    if (code === 4004) {
      if (typeof source !== "function") return end(code, why);
      ticket = undefined;
    }
    if (NOT_RESUMABLE.includes(code)) token = undefined;
    if (wasUp) {
      until = now + windowMs;
      if (now - upAt >= backoff.stableMs) attempt = 0;
    }
    state = "waiting";
    const waitMs = backAt > now
      ? backAt - now
      : options.random() * Math.min(backoff.maxMs, backoff.baseMs * 2 ** attempt);
    // Who was far above its quota stays away for longer.
    attempt += code === 4005 ? 4 : 1;
    arm(waitMs, open);
    status.set({
      state: "reconnecting",
      attempt,
      at: clock.unixMs() + waitMs,
      reason: why || `closed with ${code}`,
      remedy: remedyFor(code),
    });
    if (wasUp) handler.down();
  }

  /** For good, or until `start`. */
  function end(code: number, why: string): void {
    clear();
    state = "closed";
    token = undefined;
    ticket = undefined;
    status.set({ state: "closed", code, reason: why, remedy: remedyFor(code) });
    handler.closed();
  }

  /** Lets go of the link, which is not heard any more, and of its timers. */
  function clear(): void {
    run++;
    link = renewLater = gone = undefined;
    clock.clearTimeout(timer);
    clock.clearTimeout(renewTimer);
  }

  /** Does something later, in the place of what was to be done. */
  function arm(ms: number, what: () => void): void {
    clock.clearTimeout(timer);
    timer = clock.setTimeout(what, Math.min(ms, TIMER_MAX_MS));
  }

  return {
    status,
    get isUp() {
      return state === "up";
    },
    get greeting() {
      return greeting;
    },
    get isResumable() {
      return !!token;
    },
    get buffered() {
      return link?.buffered ?? 0;
    },
    start,
    encode: (message) => codec.encode(message),
    send,
    sendFrame: (frame) => link!.send(frame),
    stop() {
      const former = link;
      if (status.get().state !== "closed") end(1000, "closed");
      return new Promise((resolve) => {
        if (!former) return resolve();
        const late = clock.setTimeout(resolve, RETRY_MIN_MS);
        gone = () => {
          clock.clearTimeout(late);
          resolve();
        };
        former.close(1000);
      });
    },
    wake(isOnline) {
      const now = clock.now();
      if (isOnline) failed = 0;
      if (state === "up") {
        const withinMs = Math.min(PROBE_MS, half());
        ping(withinMs);
        watch(withinMs);
      } else if (state === "waiting" && now >= backAt && now - openedAt >= RETRY_MIN_MS) open();
    },
    hide(cached) {
      if (state === "closed") return;
      if (!cached) return void this.stop();
      // A page with an open link may not be kept at all.
      drop("hidden");
      openedAt = -RETRY_MIN_MS;
    },
  };
}

function fresh(ticket: () => string | Promise<string>): Promise<string> {
  return new Promise((resolve) => resolve(ticket()));
}
