// What other nodes have of one tenant: their sessions, and who of these is in which room. It is what their journals come to
// (replicas.ts), a few milliseconds behind.

/** The node that somebody is on. */
export interface PeerNode {
  readonly incarnation: string;
  readonly facts: { readonly name: string };
}

/** A session on another node. */
export interface ForeignSession {
  readonly node: PeerNode;
  readonly session: string;
  readonly user: string;
  readonly sid: string;
  readonly traceId: string;
  /** When it was opened, Unix time in milliseconds by that node's clock. */
  readonly openedMs: number;
  readonly memberships: Map<string, ForeignMember>;
  /** Which telling of the node has named it last (replicas.ts). */
  round: number;
}

/** One of them in a room. */
export interface ForeignMember {
  readonly session: ForeignSession;
  readonly room: string;
  readonly member: number;
  round: number;
}

/** Why a member of another node has left, where that is not its own doing. */
export type LeaveReason = "node_lost";

/** Told of every change, after it was made. */
export interface PeersWatcher {
  joined?(member: ForeignMember): void;
  left?(member: ForeignMember, reason: LeaveReason | null): void;
  opened?(session: ForeignSession): void;
}

/** Members of a room that are on other nodes. */
export class ForeignRoom {
  /** By session. */
  readonly members = new Map<string, ForeignMember>();
  /** Their numbers. */
  readonly numbers = new Set<number>();
  /** Sessions of each user. */
  readonly #users = new Map<string, number>();

  get userCount(): number {
    return this.#users.size;
  }

  hasUser(user: string): boolean {
    return this.#users.has(user);
  }

  users(): Iterable<string> {
    return this.#users.keys();
  }

  add(member: ForeignMember): void {
    const { session: { session, user } } = member;
    this.members.set(session, member);
    this.numbers.add(member.member);
    this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
  }

  remove({ session: { session, user }, member }: ForeignMember): void {
    this.members.delete(session);
    this.numbers.delete(member);
    const left = this.#users.get(user)! - 1;
    if (left > 0) this.#users.set(user, left);
    else this.#users.delete(user);
  }
}

const NONE: readonly ForeignSession[] = [];

export class Peers {
  readonly rooms = new Map<string, ForeignRoom>();
  readonly #sessions = new Map<string, ForeignSession>();
  readonly #byUser = new Map<string, ForeignSession[]>();
  readonly #watchers: PeersWatcher[] = [];
  /** Members of rooms on other nodes; who is in two counts twice. */
  members = 0;

  /** Sessions on other nodes. */
  get size(): number {
    return this.#sessions.size;
  }

  watch(watcher: PeersWatcher): () => void {
    this.#watchers.push(watcher);
    return () => void this.#watchers.splice(this.#watchers.indexOf(watcher), 1);
  }

  find(session: string): ForeignSession | undefined {
    return this.#sessions.get(session);
  }

  all(): Iterable<ForeignSession> {
    return this.#sessions.values();
  }

  ofUser(user: string): readonly ForeignSession[] {
    return this.#byUser.get(user) ?? NONE;
  }

  /** Users that have a session on another node. */
  users(): Iterable<string> {
    return this.#byUser.keys();
  }

  /** Takes in a session; the same once more stays as it is, with its rooms. */
  open(session: ForeignSession): void {
    const known = this.#sessions.get(session.session);
    if (known !== undefined) {
      if (known.node === session.node) {
        known.round = session.round;
        return;
      }
      // It has moved to another node, where its rooms are told of next.
      this.close(known, null);
    }
    this.#sessions.set(session.session, session);
    const others = this.#byUser.get(session.user);
    if (others === undefined) this.#byUser.set(session.user, [session]);
    else others.push(session);
    for (const watcher of this.#watchers) watcher.opened?.(session);
  }

  close(session: ForeignSession, reason: LeaveReason | null): void {
    for (const member of [...session.memberships.values()]) this.leave(member, reason);
    if (this.#sessions.get(session.session) !== session) return;
    this.#sessions.delete(session.session);
    const others = this.#byUser.get(session.user)!.filter((other) => other !== session);
    if (others.length > 0) this.#byUser.set(session.user, others);
    else this.#byUser.delete(session.user);
  }

  /** Takes in a member of a room; the same once more stays as it is. */
  join(session: ForeignSession, room: string, number: number, round: number): void {
    const known = session.memberships.get(room);
    if (known !== undefined) {
      if (known.member === number) {
        known.round = round;
        return;
      }
      this.leave(known, null);
    }
    const member: ForeignMember = { session, room, member: number, round };
    session.memberships.set(room, member);
    let all = this.rooms.get(room);
    if (all === undefined) this.rooms.set(room, all = new ForeignRoom());
    all.add(member);
    this.members++;
    for (const watcher of this.#watchers) watcher.joined?.(member);
  }

  leave(member: ForeignMember, reason: LeaveReason | null): void {
    const { session, room } = member;
    if (session.memberships.get(room) !== member) return;
    session.memberships.delete(room);
    this.members--;
    const all = this.rooms.get(room)!;
    all.remove(member);
    if (all.members.size === 0) this.rooms.delete(room);
    for (const watcher of this.#watchers) watcher.left?.(member, reason);
  }
}
