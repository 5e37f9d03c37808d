// Connections that were let in without a ticket and have yet to send it as their first message. They are strangers: no
// session, no room, no entry in the registry, one message of bounded size, and a bounded number of them.

import type { TenantMetrics } from "../metrics/metrics.ts";
import { decodeCbor, looksLikeCborMap } from "../protocol/cbor.ts";
import { CLOSE, type Refusal, refusal } from "../protocol/codes.ts";
import { decodeJson, type Envelope, type Unreadable } from "../protocol/envelope.ts";
import { sysDraining, sysRefused } from "../protocol/sys.ts";
import type { Connection, ConnectionUser } from "../session/connection.ts";
import { BAD_AUTH, type Grant, ticketIn } from "../session/grant.ts";
import type { Totals } from "../session/registry.ts";
import type { Session } from "../session/session.ts";
import type { Outcome, TenantAuth } from "./tenant_auth.ts";
import { isBad, TICKET_CHARS_MAX, type Unverified } from "./verifier.ts";

/** A first message: the longest ticket, and an envelope around it. */
const MESSAGE_CHARS_MAX = TICKET_CHARS_MAX + 1024;

/** Pings, pongs and fragments before the ticket: a message of 17 KB in pieces of 1 KB, and some pings. */
const FRAMES_MAX = 32;

const FLOODING = refusal("RATE_LIMITED", "too many frames before the ticket", CLOSE.rateLimited);
const FULL = refusal("RESOURCE_EXHAUSTED", "too many connections await their ticket", CLOSE.overloaded);
const AUTH_FIRST = refusal("AUTH_FAILED", "the first message must be sys.auth", CLOSE.authFailed);
const TOO_EARLY = refusal("AUTH_FAILED", "wait for sys.authed", CLOSE.authFailed);
const TOO_LATE = refusal("TIMEOUT", "no sys.auth within auth_timeout_ms", CLOSE.authFailed);

export interface TicketWaitsOptions {
  readonly totals: Totals;
  readonly metrics: TenantMetrics;
  readonly timeoutMs: number;
  readonly failureDelayMs: number;
  readonly max: number;
  readonly maxPerAddress: number;
}

/** Bounds of the waits of a tenant whose clients may send their ticket as their first message, else null. */
export function ticketWaitsOptions(
  { config }: TenantAuth,
  shared: Pick<TicketWaitsOptions, "totals" | "metrics" | "timeoutMs">,
): TicketWaitsOptions | null {
  if (!config.first_message) return null;
  const { failure_delay_ms: failureDelayMs, max_pending: max, max_pending_per_ip: maxPerAddress } = config;
  return { ...shared, failureDelayMs, max, maxPerAddress };
}

/** All waits of one tenant. */
export class TicketWaits {
  #options: TicketWaitsOptions;
  readonly #waits = new Set<TicketWait>();
  readonly #byAddress = new Map<string, number>();

  constructor(options: TicketWaitsOptions) {
    this.#options = options;
  }

  get options(): TicketWaitsOptions {
    return this.#options;
  }

  get size(): number {
    return this.#waits.size;
  }

  /** Other options hold from now on; who waits goes on waiting. */
  apply(options: TicketWaitsOptions): void {
    this.#options = options;
  }

  isFull(addressGroup: string): boolean {
    const { totals, max, maxPerAddress } = this.#options;
    return this.#waits.size >= max || (this.#byAddress.get(addressGroup) ?? 0) >= maxPerAddress ||
      (totals.maxSessions > 0 && totals.sessions + totals.pending >= totals.maxSessions);
  }

  /** @returns whether there was room for it */
  enter(wait: TicketWait): boolean {
    const { addressGroup } = wait;
    if (this.isFull(addressGroup)) return false;
    this.#waits.add(wait);
    this.#byAddress.set(addressGroup, (this.#byAddress.get(addressGroup) ?? 0) + 1);
    this.#options.totals.pending++;
    return true;
  }

  leave(wait: TicketWait): void {
    if (!this.#waits.delete(wait)) return;
    const { addressGroup } = wait;
    const left = this.#byAddress.get(addressGroup)! - 1;
    if (left > 0) this.#byAddress.set(addressGroup, left);
    else this.#byAddress.delete(addressGroup);
    this.#options.totals.pending--;
  }

  /** Nobody gets in any more. */
  dismiss(refused: Refusal): void {
    for (const wait of [...this.#waits]) wait.end(refused);
  }

  /** Sends everybody elsewhere. */
  drain(retryAfterMs: () => number): void {
    for (const wait of [...this.#waits]) wait.sendElsewhere(retryAfterMs());
  }
}

export interface TicketWaitOptions {
  readonly waits: TicketWaits;
  readonly addressGroup: string;
  readonly traceId: string;
  /** Verifies the ticket; MUST NOT reject. */
  readonly check: (ticket: string) => Outcome | Promise<Outcome>;
  /** The session of a good ticket, or why there is none. */
  readonly admit: (grant: Grant) => Session | Unverified;
}

/** What a connection does while it is authenticating. Once its client has brought a ticket, it goes to the session. */
export class TicketWait implements ConnectionUser {
  readonly addressGroup: string;
  readonly traceId: string;
  readonly replay = null;
  readonly #options: TicketWaitOptions;
  #connection: Connection | null = null;
  #state: "waiting" | "checking" | "failing" | "over" = "waiting";
  #failure: Unverified | null = null;
  /** Frames that were no message. */
  #frames = 0;

  constructor(options: TicketWaitOptions) {
    this.addressGroup = options.addressGroup;
    this.traceId = options.traceId;
    this.#options = options;
  }

  opened(connection: Connection): void {
    this.#connection = connection;
    const { waits } = this.#options;
    // Others may have come in since this one was let in.
    if (waits.enter(this)) connection.expectWithin(waits.options.timeoutMs);
    else this.end(FULL);
  }

  text(message: string): void {
    if (this.#state === "waiting" && message.length <= MESSAGE_CHARS_MAX) this.#first(decodeJson(message));
    else this.#unexpected();
  }

  binary(message: Uint8Array): void {
    const isEnvelope = this.#connection!.cbor && looksLikeCborMap(message);
    const readable = isEnvelope && message.length <= MESSAGE_CHARS_MAX;
    if (this.#state === "waiting" && readable) this.#first(decodeCbor(message));
    else this.#unexpected();
  }

  ponged(): void {}

  drained(): void {}

  control(): void {
    if (++this.#frames > FRAMES_MAX) this.end(FLOODING);
  }

  timedOut(): void {
    this.end(this.#failure ?? TOO_LATE);
  }

  /** Nothing reliable is sent before the session. */
  tooSlow(): void {
    this.#over();
    this.#connection!.close(CLOSE.slowConsumer, false);
  }

  lost(): void {
    this.#over();
  }

  end(refused: Refusal & { readonly retryAfterMs?: number }): void {
    if (!this.#over()) return;
    const { retryAfterMs } = refused;
    this.#connection!.send(sysRefused(this.traceId, refused, { retryAfterMs }));
    this.#connection!.close(refused.close ?? CLOSE.authFailed, true);
  }

  /** The gateway drains. */
  sendElsewhere(retryAfterMs: number): void {
    if (!this.#over()) return;
    this.#connection!.send(sysDraining(this.traceId, retryAfterMs));
    this.#connection!.close(CLOSE.draining, true);
  }

  #first(message: Envelope | Unreadable): void {
    if (!message.ok) return this.end(message.refusal);
    if (message.svc !== "sys" || message.type !== "auth") return this.#unexpected();
    const ticket = ticketIn(message.data);
    if (ticket === null) return this.end(BAD_AUTH);
    this.#state = "checking";
    const outcome = this.#options.check(ticket);
    if (outcome instanceof Promise) void outcome.then((settled) => this.#checked(settled));
    else this.#checked(outcome);
  }

  #checked(outcome: Outcome): void {
    // It may have left, or run out of time.
    if (this.#state !== "checking") return;
    const { waits, admit } = this.#options;
    const admitted = outcome.ok ? admit(outcome) : outcome;
    if (!("ok" in admitted)) {
      this.#over();
      return this.#connection!.handTo(admitted);
    }
    const { failureDelayMs } = waits.options;
    this.#state = "failing";
    this.#failure = admitted;
    if (isBad(admitted) && failureDelayMs > 0) this.#connection!.expectWithin(failureDelayMs);
    else this.end(admitted);
  }

  #unexpected(): void {
    if (this.#state === "waiting") this.end(AUTH_FIRST);
    else if (this.#state === "checking") this.end(TOO_EARLY);
  }

  /** It waits no more. @returns whether it did */
  #over(): boolean {
    if (this.#state === "over") return false;
    this.#state = "over";
    this.#options.waits.leave(this);
    return true;
  }
}
