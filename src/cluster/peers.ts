// What other nodes have of one tenant: their sessions, and who of these is in which room. It is what their journals come to
// (replicas.ts), a few milliseconds behind.

/** The node that somebody is on. */
export interface PeerNode {
  readonly incarnation: string;
  readonly facts: { readonly name: string };
}

/** A session on another node. */
export interface ForeignSession {
  node: PeerNode;
  readonly session: string;
  readonly user: string;
  readonly sid: string;
  readonly traceId: string;
  /** When it was opened, Unix time in milliseconds by that node's clock. */
  readonly openedMs: number;
  readonly memberships: Map<string, ForeignMember>;
  /** Which telling of the node has named it last (replicas.ts). */
  round: number;
  /** It is counted with this node's own: what is told of it means nothing any more. */
  withdrawn?: boolean;
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
  /** A session has come from there or gone there that is in this room, of which members are told nothing. */
  moved?(room: string): void;
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

/** Within this time of leaving its node, a session is told of by another. */
const MOVING_MS = 5000;

export class Peers {
  /** Whether a session is on this node. */
  isHere: (session: string) => boolean = () => false;
  readonly rooms = new Map<string, ForeignRoom>();
  readonly #sessions = new Map<string, ForeignSession>();
  readonly #byUser = new Map<string, ForeignSession[]>();
  readonly #watchers: PeersWatcher[] = [];
  /** Sessions on their way from one node to another, and until when that tells of them. */
  readonly #moving = new Map<ForeignSession, number>();
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

  /**
   * Takes in a session; the same once more stays as it is, with its rooms, and so does one that has moved to another node.
   * @returns the session as it is known from now on
   */
  open(session: ForeignSession): ForeignSession {
    const known = this.#sessions.get(session.session);
    if (known !== undefined) {
      known.node = session.node;
      known.round = session.round;
      this.#moving.delete(known);
      return known;
    }
    // What its former node has said before it came here can be heard last.
    if (this.isHere(session.session)) session.withdrawn = true;
    else {
      this.#add(session);
      for (const watcher of this.#watchers) watcher.opened?.(session);
    }
    return session;
  }

  close(session: ForeignSession, reason: LeaveReason | null): void {
    for (const member of [...session.memberships.values()]) this.leave(member, reason);
    this.#remove(session);
  }

  /** A session of this node has gone on at another: as if it had always been there. */
  adopt(
    session: ForeignSession,
    rooms: Iterable<readonly [room: string, member: number]>,
    now: number,
  ): void {
    this.#add(session);
    for (const [room, member] of rooms) {
      this.#put(session, room, { member, round: session.round });
      for (const watcher of this.#watchers) watcher.moved?.(room);
    }
    this.moving(session, now);
  }

  /** A session of another node goes on here: as if it had always been here. */
  withdraw(name: string): void {
    const session = this.#sessions.get(name);
    if (session === undefined) return;
    session.withdrawn = true;
    for (const member of session.memberships.values()) {
      this.#take(member);
      for (const watcher of this.#watchers) watcher.moved?.(member.room);
    }
    session.memberships.clear();
    this.#remove(session);
  }

  /** A session has left its node for another that tells of it soon. */
  moving(session: ForeignSession, now: number): void {
    if (this.#sessions.get(session.session) === session) this.#moving.set(session, now + MOVING_MS);
  }

  /** Sessions that have not arrived anywhere are gone; call it each second or so. */
  sweep(now: number): void {
    for (const [session, until] of this.#moving) if (until <= now) this.close(session, null);
  }

  #add(session: ForeignSession): void {
    this.#sessions.set(session.session, session);
    const others = this.#byUser.get(session.user);
    if (others === undefined) this.#byUser.set(session.user, [session]);
    else others.push(session);
  }

  #remove(session: ForeignSession): void {
    this.#moving.delete(session);
    if (this.#sessions.get(session.session) !== session) return;
    this.#sessions.delete(session.session);
    const others = this.#byUser.get(session.user)!.filter((other) => other !== session);
    if (others.length > 0) this.#byUser.set(session.user, others);
    else this.#byUser.delete(session.user);
  }

  /** Takes in a member of a room; the same once more stays as it is. */
  join(session: ForeignSession, room: string, number: number, round: number): void {
    if (session.withdrawn) return;
    const known = session.memberships.get(room);
    if (known !== undefined) {
      if (known.member === number) {
        known.round = round;
        return;
      }
      this.leave(known, null);
    }
    const member = this.#put(session, room, { member: number, round });
    for (const watcher of this.#watchers) watcher.joined?.(member);
  }

  leave(member: ForeignMember, reason: LeaveReason | null): void {
    const { session, room } = member;
    if (session.memberships.get(room) !== member) return;
    session.memberships.delete(room);
    this.#take(member);
    for (const watcher of this.#watchers) watcher.left?.(member, reason);
  }

  #put(session: ForeignSession, room: string, told: Pick<ForeignMember, "member" | "round">): ForeignMember {
    const member: ForeignMember = { session, room, ...told };
    session.memberships.set(room, member);
    let all = this.rooms.get(room);
    if (all === undefined) this.rooms.set(room, all = new ForeignRoom());
    all.add(member);
    this.members++;
    return member;
  }

  #take(member: ForeignMember): void {
    this.members--;
    const all = this.rooms.get(member.room)!;
    all.remove(member);
    if (all.members.size === 0) this.rooms.delete(member.room);
  }
}
