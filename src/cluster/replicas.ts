// What the other nodes' journals come to, kept up change by change. Who has missed changes of a node asks it for all of it,
// and puts that in the place of what it had: what is the same on both sides is told to nobody.

import type { Log } from "../log.ts";
import { CHANGE } from "./journal.ts";
import type { Link } from "./nats_link.ts";
import type { Node, Nodes, NodesWatcher } from "./nodes.ts";
import { type ForeignSession, type LeaveReason, Peers } from "./peers.ts";
import type { Subjects } from "./subjects.ts";
import { encode, isCount, isText, KIND } from "./wire.ts";

export interface ReplicasOptions {
  readonly nodes: Nodes;
  readonly link: Link;
  readonly subjects: Subjects;
  readonly now: () => number;
  readonly log: Log;
}

/** What is known of one node. */
interface Replica {
  readonly node: Node;
  /** Its sessions, by tenant and session. */
  readonly sessions: Map<string, { readonly tenant: string; readonly session: ForeignSession }>;
  /** Changes taken in, as its journal counts them; null before it was told of for the first time. */
  length: number | null;
  /** While it is being told of. */
  asking: Asking | null;
  /** Counts the times that it was told of. */
  round: number;
}

interface Asking {
  readonly round: number;
  /** When something of the answer came last. */
  heardAt: number;
  /** The changes that the answer holds already, and those after them; null before its first page. */
  from: number | null;
  later: unknown[];
  /** The number of the first of these. */
  laterFrom: number;
}

/** An answer of which nothing comes for so long is asked for again. */
const ASK_MS = 2000;
/** Changes that wait for the end of an answer; beyond them it is asked for again. */
const LATER_MAX = 200_000;

export class Replicas implements NodesWatcher {
  /** Times that a node was asked for all it has: for the first time, or because changes were missed. */
  asked = 0;
  readonly #options: ReplicasOptions;
  readonly #replicas = new Map<Node, Replica>();
  readonly #tenants = new Map<string, Peers>();

  constructor(options: ReplicasOptions) {
    this.#options = options;
    options.nodes.watch(this);
  }

  /** What other nodes have of a tenant. */
  of(tenant: string): Peers {
    let peers = this.#tenants.get(tenant);
    if (peers === undefined) this.#tenants.set(tenant, peers = new Peers());
    return peers;
  }

  /** What other nodes have, by tenant. */
  sizes(): Iterable<[tenant: string, peers: Peers]> {
    return this.#tenants;
  }

  /** Call it each second or so. */
  sweep(): void {
    for (const peers of this.#tenants.values()) peers.sweep(this.#options.now());
  }

  /** Whether all nodes that are there have been told of. */
  get isComplete(): boolean {
    for (const node of this.#options.nodes.others.values()) {
      if ((this.#replicas.get(node)?.length ?? null) === null) return false;
    }
    return true;
  }

  came(node: Node): void {
    const replica = { node, sessions: new Map(), length: null, asking: null, round: 0 };
    this.#replicas.set(node, replica);
    this.#ask(replica);
  }

  went(node: Node, lost: boolean): void {
    const replica = this.#replicas.get(node);
    this.#replicas.delete(node);
    const reason = lost ? "node_lost" : null;
    for (const key of [...replica?.sessions.keys() ?? []]) this.#close(replica!, key, reason);
  }

  beat(node: Node, journaled: number): void {
    const replica = this.#replicas.get(node);
    if (replica === undefined) return;
    const { asking, length } = replica;
    if (asking !== null) {
      if (this.#options.now() - asking.heardAt > ASK_MS) this.#ask(replica);
    } else if (length === null || journaled !== length) this.#ask(replica);
  }

  /** Changes of a node, its fields. @returns false where they cannot be read */
  heardJournal([incarnation, from, changes]: readonly unknown[]): boolean {
    if (typeof incarnation !== "string" || !isCount(from) || !Array.isArray(changes)) return false;
    const node = this.#options.nodes.heard(incarnation);
    const replica = node === undefined ? undefined : this.#replicas.get(node);
    if (replica === undefined) return true;
    const { asking } = replica;
    if (asking !== null) return this.#keep(replica, asking, from, changes);
    if (replica.length === null || from > replica.length) this.#ask(replica);
    else this.#takeIn(replica, from, changes);
    return true;
  }

  /** Some of what a node's changes come to, its fields. @returns false where they cannot be read */
  heardSnapshot([incarnation, round, from, changes, done]: readonly unknown[]): boolean {
    if (typeof incarnation !== "string" || !isCount(round) || !isCount(from)) return false;
    if (!Array.isArray(changes) || typeof done !== "boolean") return false;
    const node = this.#options.nodes.heard(incarnation);
    const replica = node === undefined ? undefined : this.#replicas.get(node);
    const asking = replica?.asking ?? null;
    if (replica === undefined || asking === null || asking.round !== round) return true;
    asking.heardAt = this.#options.now();
    asking.from ??= from;
    for (const change of changes) this.#apply(replica, change);
    if (done) this.#settle(replica, asking);
    return true;
  }

  #keep(replica: Replica, asking: Asking, from: number, changes: readonly unknown[]): boolean {
    if (asking.later.length === 0) asking.laterFrom = from;
    if (from !== asking.laterFrom + asking.later.length || asking.later.length > LATER_MAX) {
      this.#ask(replica);
    } else for (const change of changes) asking.later.push(change);
    return true;
  }

  /** All was told: what was not named is gone, and what changed meanwhile follows. */
  #settle(replica: Replica, asking: Asking): void {
    replica.asking = null;
    const { round } = asking;
    for (const [key, { tenant, session }] of [...replica.sessions]) {
      if (session.node !== replica.node || session.round !== round) {
        this.#close(replica, key, null);
        continue;
      }
      for (const member of [...session.memberships.values()]) {
        if (member.round !== round) this.of(tenant).leave(member, null);
      }
    }
    replica.length = asking.from!;
    if (asking.later.length === 0) return;
    if (asking.laterFrom > replica.length) return this.#ask(replica);
    this.#takeIn(replica, asking.laterFrom, asking.later);
  }

  /** Applies changes, of which the first MAY be known already. */
  #takeIn(replica: Replica, from: number, changes: readonly unknown[]): void {
    const length = replica.length!;
    for (let i = Math.max(0, length - from); i < changes.length; i++) this.#apply(replica, changes[i]);
    replica.length = Math.max(length, from + changes.length);
  }

  #ask(replica: Replica): void {
    const { link, subjects, nodes, now, log } = this.#options;
    const round = ++replica.round;
    replica.asking = { round, heardAt: now(), from: null, later: [], laterFrom: 0 };
    this.asked++;
    const { incarnation, facts } = replica.node;
    log.debug("asking a node for all it has", { node: facts.name, incarnation });
    link.publish(subjects.node(incarnation), encode(KIND.ask, nodes.incarnation, round));
  }

  /** What cannot be read is left out: a later release may know of more. */
  #apply(replica: Replica, change: unknown): void {
    if (!Array.isArray(change)) return;
    const [what, tenant, session, a, b, c, d] = change as unknown[];
    if (!isText(tenant) || !isText(session)) return;
    const key = `${tenant} ${session}`;
    const known = replica.sessions.get(key)?.session;
    switch (what) {
      case CHANGE.opened: {
        if (!isText(a) || !isText(b) || !isText(c) || typeof d !== "number") return;
        if (known !== undefined) {
          known.round = replica.round;
          return;
        }
        const { node, round } = replica;
        const who = { node, session, user: a, sid: b, traceId: c, openedMs: d };
        const opened = this.of(tenant).open({ ...who, memberships: new Map(), round });
        replica.sessions.set(key, { tenant, session: opened });
        return;
      }
      case CHANGE.moved:
        if (known === undefined) return;
        replica.sessions.delete(key);
        // Its new node may have told of it before.
        if (known.node === replica.node) this.of(tenant).moving(known, this.#options.now());
        return;
      case CHANGE.closed:
        if (known !== undefined) this.#close(replica, key, null);
        return;
      case CHANGE.joined:
        if (known === undefined || !isText(a) || !isCount(b)) return;
        return this.of(tenant).join(known, a, b, replica.round);
      case CHANGE.left: {
        const member = isText(a) ? known?.memberships.get(a) : undefined;
        if (member !== undefined) this.of(tenant).leave(member, null);
      }
    }
  }

  #close(replica: Replica, key: string, reason: LeaveReason | null): void {
    const { tenant, session } = replica.sessions.get(key)!;
    replica.sessions.delete(key);
    // What has moved to another node is that one's to tell of.
    if (session.node === replica.node) this.of(tenant).close(session, reason);
  }
}
