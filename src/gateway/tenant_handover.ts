// Sessions of one tenant that move between nodes, because a node goes or clients come by another way. A client comes back
// with a token that says which node has its session; that one is asked for it, and hands it over: first who it is, so that
// the asking node listens where it has to, then all that waits for it. Nobody else notices: to its rooms it has not left.

import { isCount, isText } from "../cluster/wire.ts";
import { readNarrowing } from "../policy/narrowing.ts";
import { CLOSE, type CloseCode, refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Membership } from "../room/rooms.ts";
import { catchUp } from "../service/room.ts";
import type { Mover, Parting } from "../session/handover.ts";
import { GATEWAY_FULL } from "../session/registry.ts";
import { digestOf, nodeOf } from "../session/resume_tokens.ts";
import { Session } from "../session/session.ts";
import type { Comer, Fetched, Holder, SessionsElsewhere, Tenant } from "../session/tenant.ts";
import { Departures, type HandoverOptions } from "./departures.ts";
import { ASK, failureOf, framesIn, moverIn, roomsIn } from "./handover_wire.ts";

/** Times that a session is looked for at the next node, or asked for again where somebody else has asked first. */
const HOPS_MAX = 20;
const BUSY_MS = 100;
/** How long both nodes' copies of a message may be apart. */
const SETTLED_MS = 5000;
const UNREACHABLE = refusal("UNAVAILABLE", "session is on another node, which does not answer now");

/** What is wanted from which node. */
interface Wanted extends Omit<Comer, "token"> {
  readonly node: string;
  readonly digest: string;
}

export class TenantHandover implements SessionsElsewhere {
  readonly #options: HandoverOptions;
  readonly departures: Departures;
  /** Sessions on their way here. */
  readonly #arriving = new Map<string, Session>();
  /** What is to be done with them once they are here. */
  readonly #orders = new Map<string, (() => void)[]>();
  readonly #fetching = new Map<string, Promise<Fetched>>();

  constructor(options: HandoverOptions) {
    this.#options = options;
    this.departures = new Departures(options);
  }

  /** The tenant is served from now on. @returns what ends that */
  attach(tenant: Tenant): () => void {
    const { cluster } = this.#options;
    tenant.elsewhere = this;
    cluster.peers(tenant.id).isHere = (session) => tenant.registry.find(session) !== undefined;
    return cluster.handOver(tenant.id, (asker, fields) => this.departures.answer(tenant, asker, fields));
  }

  /** Fetches the session of a token that this node does not know. @returns null where no other node can have it */
  fetch(tenant: Tenant, { token, ...comer }: Comer): Promise<Fetched> | null {
    const digest = digestOf(token), { cluster } = this.#options;
    const node = this.departures.nodeOf(digest) ?? nodeOf(token);
    if (node === null || node === cluster.incarnation || cluster.nodes.find(node) === undefined) return null;
    const { totals } = tenant.gateway;
    if (totals.maxSessions > 0 && totals.sessions + totals.pending >= totals.maxSessions) {
      return Promise.resolve(GATEWAY_FULL);
    }
    // Who comes twice at the same time comes to the same session.
    let fetching = this.#fetching.get(digest);
    if (fetching === undefined) {
      fetching = this.#find(tenant, { node, digest, ...comer }).finally(() => this.#fetching.delete(digest));
      this.#fetching.set(digest, fetching);
    }
    return fetching;
  }

  drop(code: CloseCode, isMeant: (session: Holder) => boolean): void {
    for (const [name, session] of this.#arriving) {
      if (isMeant(session)) this.later(name, () => session.end(code, null));
    }
  }

  /** Sessions on their way here, which hear what all sessions hear. */
  arriving(): Iterable<Session> {
    return this.#arriving.values();
  }

  /** Something for a session alone: for one on its way here. @returns false where it is none */
  deliver(session: string, frame: Frame): boolean {
    const arriving = this.#arriving.get(session);
    arriving?.deliver(frame);
    return arriving !== undefined;
  }

  /** Has something done once a session on its way here has come. @returns false where it is none */
  later(session: string, task: () => void): boolean {
    if (!this.#arriving.has(session)) return false;
    const orders = this.#orders.get(session);
    if (orders === undefined) this.#orders.set(session, [task]);
    else orders.push(task);
    return true;
  }

  async #find(tenant: Tenant, wanted: Wanted): Promise<Fetched> {
    const { cluster, wait } = this.#options;
    let { node } = wanted;
    for (let hop = 0; hop < HOPS_MAX; hop++) {
      const { digest, heard, cbor } = wanted;
      const answer = await cluster.askForSession(node, tenant.id, ASK.request, digest, heard, cbor);
      if (answer === null) return cluster.nodes.find(node) === undefined ? "unknown" : UNREACHABLE;
      const [what, detail] = answer;
      if (what === "here") return await this.#take(tenant, { ...wanted, node }, detail);
      if (what === "bad") return "bad";
      if (what === "gone") return failureOf(detail);
      if (what === "busy") await wait(BUSY_MS);
      else if (what === "moved" && isText(detail)) {
        if (detail === cluster.incarnation) return tenant.resumeTokens.findDigest(digest);
        node = detail;
      } else return "unknown";
    }
    return "unknown";
  }

  async #take(
    tenant: Tenant,
    { node, digest, address, addressGroup, cbor }: Wanted,
    told: unknown,
  ): Promise<Fetched> {
    const mover = moverIn(told), narrowing = mover === null ? "" : readNarrowing(mover.narrowing);
    if (mover === null || typeof narrowing === "string" || tenant.settings.resume === null) return "unknown";
    const { user, claims, expiresAtMs, ticketId, issuedAtMs, sid, traceId } = mover;
    const grant = { ok: true, user, claims, narrowing, expiresAtMs, ticketId, issuedAtMs } as const;
    const identity = {
      grant,
      sid,
      session: mover.session,
      traceId,
      address,
      addressGroup,
      cbor,
      resume: "no",
    } as const;
    const session = new Session(tenant, identity);
    session.expect(tenant.settings.resume.maxBytes);
    const { rooms } = tenant;
    const entered = new Map<string, Membership>();
    for (const room of mover.rooms) {
      // What rooms keep is read there, from where the other node was.
      if (!rooms.keeps(room.name)) entered.set(room.name, rooms.arrive(room.name, session, room));
    }
    this.#arriving.set(mover.session, session);
    try {
      await Promise.all([...entered.values()].map(({ room }) => room.live));
      const parting = await this.#part(tenant, node, mover.session);
      if (parting !== null) this.#arrive(tenant, session, { parting, mover, entered, digest });
    } finally {
      this.#arriving.delete(mover.session);
      session.lose();
      for (const membership of entered.values()) rooms.depart(membership, false);
      const orders = this.#orders.get(mover.session) ?? [];
      this.#orders.delete(mover.session);
      for (const order of orders) order();
    }
    return session.isOpen ? session : "ended";
  }

  /** It is here from now on. @param entered rooms that it hears; those that it is in are taken from there */
  #arrive(
    tenant: Tenant,
    session: Session,
    { parting, mover, entered, digest }: {
      parting: Parting;
      mover: Mover;
      entered: Map<string, Membership>;
      digest: string;
    },
  ): void {
    const { rooms, registry } = tenant, { now, unixMs, wait } = this.#options;
    const memberships: Membership[] = [], missed: (() => void)[] = [];
    let active: Membership | null = null;
    for (const room of parting.rooms) {
      const { cursor } = room;
      let membership = entered.get(room.name);
      if (membership === undefined) {
        // Joined since it was asked for, and what was said there since is not known here.
        if (cursor === null) return;
        const late = membership = rooms.arrive(room.name, session, room);
        entered.set(room.name, late);
        missed.push(() => session.recover(catchUp(session, late, cursor)));
      }
      memberships.push(membership);
      if (room.isActive) active = membership;
    }
    const openedAt = now() - unixMs() + mover.openedMs;
    if (tenant.settings.resume === null) return;
    for (const { room } of memberships) entered.delete(room.name);
    // It may have been here before.
    this.departures.returned(mover.session);
    session.arrive({ parting, openedAt, digest, memberships, active });
    for (const recover of missed) recover();
    void wait(SETTLED_MS).then(() => session.settled());
    const { closed } = registry;
    if (closed !== null) session.end(closed.close ?? CLOSE.policyViolation, null);
  }

  async #part(tenant: Tenant, node: string, session: string): Promise<Parting | null> {
    const { cluster } = this.#options;
    const answer = await cluster.askForSession(node, tenant.id, ASK.part, session);
    if (answer?.[0] !== "parting") return null;
    const [, head, names, sent, pages, first] = answer;
    const rooms = roomsIn((head as { rooms?: unknown } | null)?.rooms);
    const { taken, sentCount, detachedMs } = (head ?? {}) as Record<string, unknown>;
    if (rooms === null || !isCount(taken) || !isCount(sentCount) || typeof detachedMs !== "number") {
      return null;
    }
    if (!Array.isArray(names) || !isCount(sent) || !isCount(pages)) return null;
    const frames = framesIn(first);
    for (let i = 1; i < pages && frames !== null; i++) {
      const page = await cluster.askForSession(node, tenant.id, ASK.page, session, i);
      const more = page?.[0] === "page" ? framesIn(page[1]) : null;
      if (more === null) return null;
      frames.push(...more);
    }
    if (frames === null) return null;
    const kept = { sent: frames.slice(0, sent), waiting: frames.slice(sent) };
    return { rooms, taken, sentCount, detachedMs, names: names.filter(isText), ...kept };
  }
}
