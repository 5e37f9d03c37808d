// One room, as far as it is on this node: its members, their numbers, and who of them wants to hear of the others. What is
// said in it comes from `Rooms`.

import type { ForeignRoom } from "../cluster/peers.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Audience, Delivered, Line, Receiver } from "./fanout.ts";
import { drawNumber } from "./foreign_members.ts";
import type { KeptRoom } from "./kept_room.ts";
import type { RoomClass } from "./room_class.ts";

/** Who receives a room's messages. */
export interface Subscriber extends Receiver {
  /** Something for it alone; MUST only queue, as `receive` does, which the room counts itself. */
  deliver(frame: Frame): void;
  readonly user: string;
  /** The client's name for its tab or device. */
  readonly sid: string;
  readonly traceId: string;
}

/** One subscriber in one room. */
export interface Membership {
  readonly room: Room;
  readonly subscriber: Subscriber;
  /** Unique in the room as long as the member stays, u32, from 1. */
  readonly member: number;
  /** Unique in these rooms, from 1, and never given again: what conflation keys are made of. */
  readonly id: number;
  /** In a room that keeps what is said: the offset after which the member was given everything. */
  heardAfter: number;
  /** Place among the members that are told of others joining and leaving, kept by the room; -1 for none. */
  observerIndex: number;
  /** Place in the room's list, kept by the room; -1 once left. */
  index: number;
}

const MEMBER_MAX = 0xffff_ffff;

/** Members of a room that want presence events. Their messages stand in the room's line. */
export class Observers implements Audience {
  readonly line: Line;
  readonly members: Membership[] = [];
  version = 0;

  constructor(line: Line) {
    this.line = line;
  }

  add(membership: Membership): void {
    membership.observerIndex = this.members.push(membership) - 1;
    this.version++;
  }

  remove(membership: Membership): void {
    const last = this.members.pop()!;
    if (last !== membership) {
      last.observerIndex = membership.observerIndex;
      this.members[last.observerIndex] = last;
    }
    membership.observerIndex = -1;
    this.version++;
  }
}

/** One room, as far as it is on this node. */
export class Room implements Audience, Line {
  readonly name: string;
  readonly delivered: Delivered;
  /** By its name, as the configuration has it now; null where it is like any other. */
  class: RoomClass | null = null;
  /** What it keeps of what is said in it; null where it keeps nothing. */
  kept: KeptRoom | null = null;
  /** Its members on other nodes; null for none. */
  foreign: ForeignRoom | null = null;
  /** Until what is said on other nodes arrives; null from then on. */
  live: Promise<void> | null = null;
  /** Members that still count as another node's. */
  arriving = 0;
  readonly #members: Membership[] = [];
  /** Sessions of each user here. */
  readonly #users = new Map<string, number>();
  #version = 0;
  readonly #random: (() => number) | null;
  /** Where numbers are drawn, those of the members. */
  readonly #numbers = new Set<number>();
  #lastMember: number;
  #wrapped = false;
  #observers: Observers | null = null;

  /**
   * @param lastMember the member number given last
   * @param random draws member numbers where other nodes give some too; null for one after the other
   */
  constructor(name: string, delivered: Delivered, lastMember = 0, random: (() => number) | null = null) {
    this.name = name;
    this.delivered = delivered;
    this.#random = random;
    this.#lastMember = lastMember;
  }

  get line(): Line {
    return this;
  }

  /** Members, in no particular order. MUST NOT be kept. */
  get members(): readonly Membership[] {
    return this.#members;
  }

  /** Another number after each change of `members`. */
  get version(): number {
    return this.#version;
  }

  /** Members on all nodes. */
  get count(): number {
    return this.#members.length - this.arriving + (this.foreign?.members.size ?? 0);
  }

  /** Users on all nodes. */
  get userCount(): number {
    let count = this.#users.size;
    if (this.foreign !== null) {
      for (const user of this.foreign.users()) {
        if (!this.#users.has(user)) count++;
      }
    }
    return count;
  }

  /** Resolves once it is known what it keeps; null where that is known already. */
  get ready(): Promise<void> | null {
    const kept = this.kept?.ready ?? null;
    if (this.live === null) return kept;
    return kept === null ? this.live : Promise.all([this.live, kept]).then(() => {});
  }

  /** Whether a user is in it on this node. */
  hasUser(user: string): boolean {
    return this.#users.has(user);
  }

  /** Members that want presence events; null before anybody did. */
  get observers(): Observers | null {
    return this.#observers;
  }

  setPresence(membership: Membership, wanted: boolean): void {
    if (membership.observerIndex >= 0 === wanted) return;
    if (wanted) (this.#observers ??= new Observers(this)).add(membership);
    else this.#observers!.remove(membership);
  }

  /** Hands a message to all members here though too much waits for the room already. */
  overtake(frame: Frame, except: string | null): void {
    for (const { subscriber } of this.#members) if (subscriber.session !== except) subscriber.deliver(frame);
  }

  /**
   * @param id see `Membership.id`
   * @param member its number, where it has one already
   * @returns the membership, and whether its user was not here before
   */
  add(
    subscriber: Subscriber,
    id: number,
    member = this.#freeNumber(),
  ): { membership: Membership; firstOfUser: boolean } {
    const membership: Membership = {
      room: this,
      subscriber,
      member,
      id,
      heardAfter: this.kept?.last ?? 0,
      observerIndex: -1,
      index: this.#members.length,
    };
    this.#members.push(membership);
    this.#version++;
    const sessions = this.#users.get(subscriber.user) ?? 0;
    this.#users.set(subscriber.user, sessions + 1);
    return { membership, firstOfUser: sessions === 0 };
  }

  /** @returns whether its user has no session left here */
  remove(membership: Membership): boolean {
    this.setPresence(membership, false);
    const last = this.#members.pop()!;
    this.#version++;
    if (last !== membership) {
      last.index = membership.index;
      this.#members[last.index] = last;
    }
    membership.index = -1;
    this.#numbers.delete(membership.member);
    const user = membership.subscriber.user;
    const sessions = this.#users.get(user)! - 1;
    if (sessions > 0) this.#users.set(user, sessions);
    else this.#users.delete(user);
    return sessions === 0;
  }

  #freeNumber(): number {
    if (this.#random !== null) {
      const drawn = drawNumber(
        this.#random,
        (one) => this.#numbers.has(one) || this.foreign?.numbers.has(one) === true,
      );
      this.#numbers.add(drawn);
      return drawn;
    }
    // Numbers repeat only after 2^32 joins of a room that never emptied; from then on, held ones are skipped.
    do {
      if (this.#lastMember === MEMBER_MAX) {
        this.#lastMember = 0;
        this.#wrapped = true;
      }
      this.#lastMember++;
    } while (this.#wrapped && this.#members.some((held) => held.member === this.#lastMember));
    return this.#lastMember;
  }
}
