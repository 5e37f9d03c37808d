// A tenant's open sessions, by id, by user, by ticket and by address, and the rule on how many of them a user may have.
// A session is in all indices or in none.

import { OrderedIndex } from "../collections/ordered_index.ts";
import { CLOSE, type Refusal, refusal } from "../protocol/codes.ts";
import { sysKicked } from "../protocol/sys.ts";
import type { SessionHandle } from "./session_handle.ts";

/** What the registry needs to know of a session. `end` MUST have it leave the registry inside. */
export type Registered = Pick<
  SessionHandle,
  "session" | "user" | "sid" | "traceId" | "addressGroup" | "ticketId" | "detachedMs" | "end"
>;

const NONE: readonly SessionElsewhere[] = [];

function isAway(session: Registered): boolean {
  return session.detachedMs !== null;
}

/** Bounds; 0 is none, but for `max_sessions_per_user`. */
export interface SessionLimits {
  readonly maxSessions: number;
  readonly maxPerAddress: number;
  readonly maxPerUser: number;
  readonly onExceed: "deny" | "kick_oldest";
}

/** What all tenants hold together, against `gateway.max_connections`. */
export class Totals {
  sessions = 0;
  /** Links open, those of sessions that have ended and await the peer's close among them. */
  links = 0;
  /** Links open that have not sent their ticket yet. */
  pending = 0;
  readonly #maxSessions: () => number;

  /** @param maxSessions that which holds now; 0: any number */
  constructor(maxSessions: () => number) {
    this.#maxSessions = maxSessions;
  }

  get maxSessions(): number {
    return this.#maxSessions();
  }
}

export const TOO_MANY_SESSIONS = refusal(
  "TOO_MANY_SESSIONS",
  "user has its maximum of sessions",
  CLOSE.tooManySessions,
);
export const TENANT_FULL = refusal(
  "RESOURCE_EXHAUSTED",
  "tenant has its maximum of sessions",
  CLOSE.overloaded,
);
export const GATEWAY_FULL = refusal(
  "RESOURCE_EXHAUSTED",
  "gateway has its maximum of sessions",
  CLOSE.overloaded,
);
export const ADDRESS_FULL = refusal(
  "RESOURCE_EXHAUSTED",
  "address has its maximum of sessions",
  CLOSE.overloaded,
);

export const SUSPENDED = refusal("SUSPENDED", "tenant is suspended", CLOSE.suspended);
export const REMOVED = refusal("SUSPENDED", "tenant is not served any more", CLOSE.suspended);

/** A session of the tenant on another node. */
export interface SessionElsewhere {
  readonly session: string;
  readonly sid: string;
  /** Unix time in milliseconds, by that node's clock. */
  readonly openedMs: number;
}

/** Why a session gives way to another. */
export type GivesWay = "replaced" | "max_sessions_exceeded";

/** The tenant's sessions on other nodes, and who tells these of the ones here. */
export interface SessionPeers<S> {
  opened(session: S): void;
  closed(session: S): void;
  /** The same of one that was on another node before, and of one that goes on at another node. */
  movedIn(session: S): void;
  movedOut(session: S, node: string): void;
  ofUser(user: string): readonly SessionElsewhere[];
  /** How many there are. */
  readonly size: number;
  /** Has one ended by its node. */
  end(session: SessionElsewhere, why: GivesWay): void;
}

export class Registry<S extends Registered> {
  /** Why nobody is taken in now; null as long as sessions are. */
  closed: Refusal | null = null;
  readonly #limits: () => SessionLimits;
  /** Whether `#byAddress` is kept: only where addresses are bounded. */
  #countsAddresses = false;
  readonly #totals: Totals;
  readonly #peers: SessionPeers<S> | null;
  readonly #byId = new Map<string, S>();
  readonly #inOrder = new OrderedIndex<S>();
  /** A user's sessions, oldest first; most have one, which then stands for itself. */
  readonly #byUser = new Map<string, S | S[]>();
  readonly #byAddress = new Map<string, number>();
  readonly #byTicket = new Map<string, Set<S>>();

  /**
   * @param limits those that hold now; who is in already stays whatever they become
   * @param peers null where there are no other nodes
   */
  constructor(limits: () => SessionLimits, totals: Totals, peers: SessionPeers<S> | null = null) {
    this.#limits = limits;
    this.#totals = totals;
    this.#peers = peers;
  }

  get size(): number {
    return this.#byId.size;
  }

  get userCount(): number {
    return this.#byUser.size;
  }

  get addressCount(): number {
    return this.#byAddress.size;
  }

  find(session: string): S | undefined {
    return this.#byId.get(session);
  }

  ofUser(user: string): readonly S[] {
    const sessions = this.#byUser.get(user);
    return sessions === undefined ? [] : Array.isArray(sessions) ? sessions : [sessions];
  }

  /** Sessions that entered, or were renewed, with the ticket of this id. */
  ofTicket(ticketId: string): readonly S[] {
    return [...this.#byTicket.get(ticketId) ?? []];
  }

  /** A session has another ticket than before. */
  retag(session: S, before: string | null): void {
    this.#untag(session, before);
    if (this.#byId.has(session.session)) this.#tag(session);
  }

  /** All sessions. While iterating, sessions MAY leave. */
  all(): Iterable<S> {
    return this.#byId.values();
  }

  /** Those whose ids come behind this one, null for all, in the order of these. While iterating, nobody may come or go. */
  behind(session: string | null): Iterable<S> {
    return this.#inOrder.behind(session);
  }

  /** Why this address would not take another session, or null. */
  addressRefusal(addressGroup: string): Refusal | null {
    const { maxPerAddress } = this.#limits();
    if (this.#countsAddresses !== maxPerAddress > 0) this.#recountAddresses(maxPerAddress > 0);
    return maxPerAddress > 0 && (this.#byAddress.get(addressGroup) ?? 0) >= maxPerAddress
      ? ADDRESS_FULL
      : null;
  }

  /** A session's client has come back from another address than before. */
  readdress(session: S, before: string): void {
    if (!this.#countsAddresses) return;
    this.#uncountAddress(before);
    this.#countAddress(session);
  }

  /** Why no further session from this address would be taken, or null. Asked before the user is known. */
  capacityRefusal(addressGroup: string): Refusal | null {
    return this.#refusal(addressGroup, []);
  }

  /**
   * Takes a session in. One of the same user and sid is replaced; above the user's maximum, the oldest go or
   * this one does, as the tenant's policy says.
   * @returns why it was not taken, or null
   */
  admit(session: S): Refusal | null {
    const { maxPerUser, onExceed } = this.#limits();
    const before = this.ofUser(session.user);
    const replaced = before.find((other) => other.sid === session.sid);
    const others = before.filter((other) => other !== replaced);
    // Those whose clients are away give way first.
    const inOrder = [...others.filter(isAway), ...others.filter((other) => !isAway(other))];
    const elsewhere = this.#peers?.ofUser(session.user) ?? NONE;
    const replacedElsewhere = elsewhere.filter((other) => other.sid === session.sid);
    const farOthers = elsewhere.length - replacedElsewhere.length;
    const tooMany = Math.max(0, others.length + farOthers + 1 - maxPerUser);
    // Of those on other nodes it is not known whether their clients are away, so they give way last.
    const exceeding = inOrder.slice(0, tooMany);
    const exceedingFar = tooMany <= exceeding.length
      ? NONE
      : elsewhere.filter((other) => other.sid !== session.sid)
        .toSorted((a, b) => a.openedMs - b.openedMs).slice(0, tooMany - exceeding.length);
    if (onExceed === "deny" && (exceedingFar.length > 0 || !exceeding.every(isAway))) {
      return TOO_MANY_SESSIONS;
    }
    // Nobody goes for a session that is refused then: those who would go are counted as gone.
    const leaving = replaced === undefined ? exceeding : [replaced, ...exceeding];
    const full = this.#refusal(session.addressGroup, leaving);
    if (full !== null) return full;
    replaced?.end(CLOSE.replaced, sysKicked(replaced.traceId, "replaced"));
    for (const other of exceeding) other.end(CLOSE.kicked, sysKicked(other.traceId, "max_sessions_exceeded"));
    for (const other of replacedElsewhere) this.#peers!.end(other, "replaced");
    for (const other of exceedingFar) this.#peers!.end(other, "max_sessions_exceeded");
    this.#add(session);
    this.#peers?.opened(session);
    return null;
  }

  /** Takes in a session that was on another node, where it was counted. */
  moveIn(session: S): void {
    this.#add(session);
    this.#peers?.movedIn(session);
  }

  /** Forgets a session that goes on at another node, which counts it from now on. */
  moveOut(session: S, node: string): void {
    if (this.#remove(session)) this.#peers?.movedOut(session, node);
  }

  #add(session: S): void {
    this.#byId.set(session.session, session);
    this.#inOrder.set(session.session, session);
    const sessions = this.#byUser.get(session.user);
    if (sessions === undefined) this.#byUser.set(session.user, session);
    else if (Array.isArray(sessions)) sessions.push(session);
    else this.#byUser.set(session.user, [sessions, session]);
    if (this.#countsAddresses) this.#countAddress(session);
    this.#tag(session);
    this.#totals.sessions++;
  }

  #refusal(addressGroup: string, leaving: readonly S[]): Refusal | null {
    const { maxSessions, maxPerAddress } = this.#limits();
    if (this.#countsAddresses !== maxPerAddress > 0) this.#recountAddresses(maxPerAddress > 0);
    const { sessions, pending, maxSessions: maxTotal } = this.#totals;
    const gone = leaving.length;
    if (this.closed !== null) return this.closed;
    if (maxTotal > 0 && sessions + pending - gone >= maxTotal) return GATEWAY_FULL;
    const everywhere = this.#byId.size + (this.#peers?.size ?? 0);
    if (maxSessions > 0 && everywhere - gone >= maxSessions) return TENANT_FULL;
    const here = (this.#byAddress.get(addressGroup) ?? 0) -
      leaving.filter((one) => one.addressGroup === addressGroup).length;
    return maxPerAddress > 0 && here >= maxPerAddress ? ADDRESS_FULL : null;
  }

  /** Forgets a session that was admitted; does nothing for any other. */
  remove(session: S): void {
    if (this.#remove(session)) this.#peers?.closed(session);
  }

  #remove(session: S): boolean {
    if (!this.#byId.delete(session.session)) return false;
    this.#inOrder.delete(session.session);
    this.#totals.sessions--;
    this.#untag(session, session.ticketId);
    const sessions = this.#byUser.get(session.user)!;
    if (Array.isArray(sessions)) sessions.splice(sessions.indexOf(session), 1);
    if (sessions === session || Array.isArray(sessions) && sessions.length === 0) {
      this.#byUser.delete(session.user);
    }
    if (this.#countsAddresses) this.#uncountAddress(session.addressGroup);
    return true;
  }

  /** A reload has set a bound for addresses where there was none, or taken it away. */
  #recountAddresses(counts: boolean): void {
    this.#countsAddresses = counts;
    this.#byAddress.clear();
    if (counts) { for (const session of this.#byId.values()) this.#countAddress(session); }
  }

  #countAddress({ addressGroup }: S): void {
    this.#byAddress.set(addressGroup, (this.#byAddress.get(addressGroup) ?? 0) + 1);
  }

  #uncountAddress(addressGroup: string): void {
    const count = this.#byAddress.get(addressGroup)! - 1;
    if (count > 0) this.#byAddress.set(addressGroup, count);
    else this.#byAddress.delete(addressGroup);
  }

  #tag(session: S): void {
    if (session.ticketId === null) return;
    const sessions = this.#byTicket.get(session.ticketId);
    if (sessions === undefined) this.#byTicket.set(session.ticketId, new Set([session]));
    else sessions.add(session);
  }

  #untag(session: S, ticketId: string | null): void {
    if (ticketId === null) return;
    const sessions = this.#byTicket.get(ticketId);
    if (sessions?.delete(session) && sessions.size === 0) this.#byTicket.delete(ticketId);
  }
}
