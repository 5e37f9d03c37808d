// Links that were let in without a ticket and have yet to send it as their first message. They are strangers: no
// session, no room, no entry in the registry, one message of bounded size, and a bounded number of them.

import type { TenantMetrics } from "../metrics.ts";
import { cborForm, decodeCbor, looksLikeCborMap } from "../protocol/cbor.ts";
import { CLOSE, type CloseCode, type ErrorCode, type Refusal, refusal } from "../protocol/codes.ts";
import { decodeJson, type Envelope, type Unreadable } from "../protocol/envelope.ts";
import type { Frame } from "../protocol/frame.ts";
import { sysDraining, sysError } from "../protocol/sys.ts";
import { BAD_AUTH, type Grant, ticketIn } from "../session/grant.ts";
import type { Totals } from "../session/registry.ts";
import type { Session } from "../session/session.ts";
import type { Timed, TimerWheel } from "../session/timer_wheel.ts";
import type { Link, LinkHandler } from "../transport/port.ts";
import type { Outcome, TenantAuth } from "./tenant_auth.ts";
import { isBad, TICKET_CHARS_MAX, type Unverified } from "./verifier.ts";

/** A first message: the longest ticket, and an envelope around it. */
const MESSAGE_CHARS_MAX = TICKET_CHARS_MAX + 1024;
/** How long a peer may take to answer our close before its socket is dropped. */
const CLOSE_TIMEOUT_MS = 5000;

const FULL = refusal("RESOURCE_EXHAUSTED", "too many connections await their ticket", CLOSE.overloaded);
const AUTH_FIRST = refusal("AUTH_FAILED", "the first message must be sys.auth", CLOSE.authFailed);
const TOO_EARLY = refusal("AUTH_FAILED", "wait for sys.authed", CLOSE.authFailed);
const TOO_LATE = refusal("TIMEOUT", "no sys.auth within auth_timeout_ms", CLOSE.authFailed);

export interface LobbyOptions {
  readonly totals: Totals;
  readonly wheel: TimerWheel;
  readonly metrics: TenantMetrics;
  readonly timeoutMs: number;
  readonly failureDelayMs: number;
  readonly max: number;
  readonly maxPerAddress: number;
}

/**
 * The lobby of a tenant whose clients may send their ticket as their first message, else null.
 * @param former goes on with these options, and with who waits in it
 */
export function lobbyFor(
  { config }: TenantAuth,
  shared: Pick<LobbyOptions, "totals" | "wheel" | "metrics" | "timeoutMs">,
  former: Lobby | null,
): Lobby | null {
  if (!config.first_message) return null;
  const { failure_delay_ms: failureDelayMs, max_pending: max, max_pending_per_ip: maxPerAddress } = config;
  const options = { ...shared, failureDelayMs, max, maxPerAddress };
  if (former === null) return new Lobby(options);
  former.options = options;
  return former;
}

/** The waiting links of one tenant. */
export class Lobby {
  options: LobbyOptions;
  readonly #links = new Set<Arrival>();
  readonly #byAddress = new Map<string, number>();

  constructor(options: LobbyOptions) {
    this.options = options;
  }

  get size(): number {
    return this.#links.size;
  }

  isFull(addressGroup: string): boolean {
    const { totals, max, maxPerAddress } = this.options;
    return this.#links.size >= max || (this.#byAddress.get(addressGroup) ?? 0) >= maxPerAddress ||
      (totals.maxSessions > 0 && totals.sessions + totals.pending >= totals.maxSessions);
  }

  /** @returns whether there was room for it */
  enter(arrival: Arrival): boolean {
    const { addressGroup } = arrival;
    if (this.isFull(addressGroup)) return false;
    this.#links.add(arrival);
    this.#byAddress.set(addressGroup, (this.#byAddress.get(addressGroup) ?? 0) + 1);
    this.options.totals.pending++;
    return true;
  }

  leave(arrival: Arrival): void {
    if (!this.#links.delete(arrival)) return;
    const { addressGroup } = arrival;
    const left = this.#byAddress.get(addressGroup)! - 1;
    if (left > 0) this.#byAddress.set(addressGroup, left);
    else this.#byAddress.delete(addressGroup);
    this.options.totals.pending--;
  }

  /** Nobody gets in any more. */
  dismiss(refused: Refusal): void {
    for (const arrival of [...this.#links]) arrival.dismiss(refused);
  }

  /** Sends everybody elsewhere. */
  drain(retryAfterMs: () => number): void {
    for (const arrival of [...this.#links]) arrival.leave(retryAfterMs());
  }
}

export interface ArrivalOptions {
  readonly lobby: Lobby;
  readonly addressGroup: string;
  readonly traceId: string;
  /** Ext envelopes may arrive as CBOR. */
  readonly cbor: boolean;
  /** Verifies the ticket; MUST NOT reject. */
  readonly check: (ticket: string) => Outcome | Promise<Outcome>;
  /** The session of a good ticket, or why there is none. */
  readonly admit: (grant: Grant) => Session | Unverified;
}

/** One link without a ticket. Once it has brought one, everything is handed on to its session. */
export class Arrival implements LinkHandler, Timed {
  readonly addressGroup: string;
  readonly #options: ArrivalOptions;
  #state: "waiting" | "checking" | "failing" | "ending" | "ended" = "waiting";
  #link: Link | null = null;
  #session: Session | null = null;
  #failure: Unverified | null = null;
  timerSlot = -1;
  timerIndex = -1;
  timerDue = 0;

  constructor(options: ArrivalOptions) {
    this.addressGroup = options.addressGroup;
    this.#options = options;
  }

  open(link: Link): void {
    const { lobby } = this.#options;
    const { totals, wheel, timeoutMs } = lobby.options;
    totals.links++;
    this.#link = link;
    // Others may have come in since this one was let in.
    if (!lobby.enter(this)) return this.#end(FULL.code, FULL.msg, CLOSE.overloaded);
    wheel.schedule(this, timeoutMs);
  }

  text(message: string): void {
    if (this.#session !== null) return this.#session.text(message);
    if (this.#state === "waiting" && message.length <= MESSAGE_CHARS_MAX) this.#first(decodeJson(message));
    else this.#unexpected();
  }

  binary(message: Uint8Array): void {
    if (this.#session !== null) return this.#session.binary(message);
    const readable = this.#options.cbor && looksLikeCborMap(message) && message.length <= MESSAGE_CHARS_MAX;
    if (this.#state === "waiting" && readable) this.#first(decodeCbor(message));
    else this.#unexpected();
  }

  pong(): void {
    this.#session?.pong();
  }

  drain(): void {
    this.#session?.drain();
  }

  dismiss({ code, msg, close }: Refusal): void {
    this.#end(code, msg, close ?? CLOSE.authFailed);
  }

  /** The gateway drains. */
  leave(retryAfterMs: number): void {
    this.#close(sysDraining(this.#options.traceId, retryAfterMs), CLOSE.draining);
  }

  close(code: number, reason: string): void {
    if (this.#session !== null) return this.#session.close(code, reason);
    if (this.#state === "ended") return;
    this.#state = "ended";
    const { lobby } = this.#options;
    lobby.leave(this);
    lobby.options.wheel.cancel(this);
    lobby.options.totals.links--;
    this.#link = null;
  }

  onTimer(): number {
    if (this.#state === "ending") {
      this.#link?.terminate();
      return CLOSE_TIMEOUT_MS;
    }
    if (this.#failure !== null) this.#fail(this.#failure);
    else this.#end(TOO_LATE.code, TOO_LATE.msg, CLOSE.authFailed);
    return 0; // #close has set the deadline
  }

  #first(message: Envelope | Unreadable): void {
    if (!message.ok) {
      return this.#end(message.refusal.code, message.refusal.msg, message.refusal.close ?? CLOSE.badMessage);
    }
    if (message.svc !== "sys" || message.type !== "auth") return this.#unexpected();
    const ticket = ticketIn(message.data);
    if (ticket === null) return this.#end(BAD_AUTH.code, BAD_AUTH.msg, CLOSE.authFailed);
    this.#state = "checking";
    const outcome = this.#options.check(ticket);
    if (outcome instanceof Promise) void outcome.then((settled) => this.#checked(settled));
    else this.#checked(outcome);
  }

  #checked(outcome: Outcome): void {
    // It may have left, or run out of time.
    if (this.#state !== "checking") return;
    const { lobby, admit } = this.#options;
    const admitted = outcome.ok ? admit(outcome) : outcome;
    const { wheel, totals, failureDelayMs } = lobby.options;
    if ("ok" in admitted) {
      this.#state = "failing";
      this.#failure = admitted;
      if (isBad(admitted) && failureDelayMs > 0) wheel.schedule(this, failureDelayMs);
      else this.#fail(admitted);
      return;
    }
    lobby.leave(this);
    wheel.cancel(this);
    totals.links--; // it counts as its session's from here on
    this.#session = admitted;
    admitted.open(this.#link!);
  }

  #unexpected(): void {
    if (this.#state === "waiting") this.#end(AUTH_FIRST.code, AUTH_FIRST.msg, CLOSE.authFailed);
    else if (this.#state === "checking") this.#end(TOO_EARLY.code, TOO_EARLY.msg, CLOSE.authFailed);
  }

  #fail({ code, msg, close, retryAfterMs, ruleId }: Unverified): void {
    this.#close(
      sysError(this.#options.traceId, code, msg, { ruleId, retryAfterMs }),
      close ?? CLOSE.authFailed,
    );
  }

  #end(code: ErrorCode, msg: string, close: CloseCode): void {
    this.#close(sysError(this.#options.traceId, code, msg), close);
  }

  #close(farewell: Frame, code: CloseCode): void {
    if (this.#state === "ending" || this.#state === "ended") return;
    this.#state = "ending";
    const { lobby, cbor } = this.#options;
    const { metrics, wheel } = lobby.options;
    lobby.leave(this);
    metrics.closes.add({ name: code.name });
    this.#link!.write([cbor ? cborForm(farewell) : farewell], 1);
    this.#link!.close(code.code, code.reason);
    wheel.schedule(this, CLOSE_TIMEOUT_MS);
  }
}
