// A tenant's rooms: who is in which, exact limits, and fan-out. Membership is counted twice, because
// two questions are asked: sessions receive messages, users are limited. All of it runs
// synchronously, so a limit is never overshot; a room without members does not exist.

import { OrderedIndex } from "../ordered_index.ts";
import { type Refusal, refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Fanout, Receiver } from "./fanout.ts";

/** Who receives a room's messages. */
export interface Subscriber extends Receiver {
  /** Something for it alone; MUST only queue, as `receive` does, which the room counts itself. */
  deliver(frame: Frame): void;
  readonly user: string;
  /** The client's name for its tab or device. */
  readonly sid: string;
  /** The gateway's name for this session, unique in this process. */
  readonly session: string;
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
  /** Whether the member is told of others joining and leaving. */
  presence: boolean;
  /** Place in the room's list, kept by the room; -1 once left. */
  index: number;
}

/** Told of every change, after it was made. MUST NOT join or leave inside it. */
export interface RoomWatcher {
  joined(membership: Membership): void;
  left(membership: Membership): void;
  /** The last member has left; nothing of the room remains. */
  emptied(room: Room): void;
}

/** Bounds of a tenant; 0 is none. Users count once however many sessions they have. */
export interface RoomLimits {
  readonly max_rooms_total: number;
  readonly max_users_per_room: number;
  readonly max_rooms_per_user: number;
}

export const ROOM_FULL = refusal("RESOURCE_EXHAUSTED", "room has its maximum of users");
export const TOO_MANY_ROOMS = refusal("RESOURCE_EXHAUSTED", "tenant has its maximum of rooms");
export const USER_IN_TOO_MANY_ROOMS = refusal("RESOURCE_EXHAUSTED", "user is in the maximum of rooms");

const MEMBER_MAX = 0xffff_ffff;

/** Payload bytes that subscribers were given: of a room's messages once for each member. */
export interface Delivered {
  bytes: number;
}

/** One room with at least one member. */
export class Room {
  readonly name: string;
  readonly #fanout: Fanout;
  readonly #members: Membership[] = [];
  /** Sessions of each user here. */
  readonly #users = new Map<string, number>();
  #version = 0;
  #lastMember: number;
  #wrapped = false;
  #observers = 0;
  readonly #delivered: Delivered;

  /** @param more `lastMember`: the member number given last; `delivered`: where its messages are counted */
  constructor(
    name: string,
    fanout: Fanout,
    more: { readonly lastMember?: number; readonly delivered?: Delivered } = {},
  ) {
    this.name = name;
    this.#fanout = fanout;
    this.#lastMember = more.lastMember ?? 0;
    this.#delivered = more.delivered ?? { bytes: 0 };
  }

  /** Members, in no particular order. MUST NOT be kept. */
  get members(): readonly Membership[] {
    return this.#members;
  }

  /** Another number after each change of `members`. */
  get version(): number {
    return this.#version;
  }

  get userCount(): number {
    return this.#users.size;
  }

  hasUser(user: string): boolean {
    return this.#users.has(user);
  }

  /** Hands a frame to every member but `except`. @returns false when the room has too much to deliver already */
  publish(frame: Frame, except: Subscriber | null): boolean {
    const bytes = frame.bytes * this.#members.length;
    if (!this.#fanout.publish(this, frame, except)) return false;
    this.#delivered.bytes += bytes;
    return true;
  }

  /** How many members want presence events. */
  get observerCount(): number {
    return this.#observers;
  }

  setPresence(membership: Membership, wanted: boolean): void {
    if (membership.presence === wanted) return;
    membership.presence = wanted;
    this.#observers += wanted ? 1 : -1;
  }

  /**
   * @param id see `Membership.id`
   * @returns the membership, and whether its user was not here before
   */
  add(subscriber: Subscriber, id: number): { membership: Membership; firstOfUser: boolean } {
    const member = this.#freeNumber();
    const membership: Membership = {
      room: this,
      subscriber,
      member,
      id,
      presence: false,
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
    const user = membership.subscriber.user;
    const sessions = this.#users.get(user)! - 1;
    if (sessions > 0) this.#users.set(user, sessions);
    else this.#users.delete(user);
    return sessions === 0;
  }

  #freeNumber(): number {
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

export class Rooms {
  /** A reload puts others in their place; who is in already stays. */
  limits: RoomLimits;
  /** What all of these rooms were given; whoever delivers to a subscriber alone adds to it. */
  readonly delivered: Delivered = { bytes: 0 };
  readonly #rooms = new Map<string, Room>();
  readonly #inOrder = new OrderedIndex<Room>();
  /** Distinct rooms of each user. */
  readonly #roomsOfUser = new Map<string, number>();
  readonly #watchers: RoomWatcher[] = [];
  readonly #fanout: Fanout;
  #lastId = 0;
  #lastStamp = 0;

  constructor(limits: RoomLimits, fanout: Fanout) {
    this.limits = limits;
    this.#fanout = fanout;
  }

  get size(): number {
    return this.#rooms.size;
  }

  /** A number above all those given before: the order of numbered frames (see `Frame.stamp`). */
  nextStamp(): number {
    return ++this.#lastStamp;
  }

  /** Users that are in any room. */
  get userCount(): number {
    return this.#roomsOfUser.size;
  }

  /** Those whose names come behind this one, null for all, in the order of these. While iterating, none may come or go. */
  behind(name: string | null): Iterable<Room> {
    return this.#inOrder.behind(name);
  }

  find(name: string): Room | undefined {
    return this.#rooms.get(name);
  }

  /** Calls `watcher` at every change, until `unwatch`. Neither MAY be called by a watcher. */
  watch(watcher: RoomWatcher): void {
    this.#watchers.push(watcher);
  }

  unwatch(watcher: RoomWatcher): void {
    const at = this.#watchers.indexOf(watcher);
    if (at >= 0) this.#watchers.splice(at, 1);
  }

  /** Adds a subscriber that is not yet in the room. */
  join(name: string, subscriber: Subscriber): Membership | Refusal {
    const { user } = subscriber;
    const known = this.#rooms.get(name);
    const refused = this.#refuses(known, user);
    if (refused !== null) return refused;
    const room = known ?? new Room(name, this.#fanout, { delivered: this.delivered });
    if (known === undefined) {
      this.#rooms.set(name, room);
      this.#inOrder.set(name, room);
    }
    const { membership, firstOfUser } = room.add(subscriber, ++this.#lastId);
    if (firstOfUser) this.#roomsOfUser.set(user, (this.#roomsOfUser.get(user) ?? 0) + 1);
    for (const watcher of this.#watchers) watcher.joined(membership);
    return membership;
  }

  /** Removes a membership; call it once for each. */
  leave(membership: Membership): void {
    const { room } = membership;
    const { user } = membership.subscriber;
    if (room.remove(membership)) {
      const rooms = this.#roomsOfUser.get(user)! - 1;
      if (rooms > 0) this.#roomsOfUser.set(user, rooms);
      else this.#roomsOfUser.delete(user);
    }
    for (const watcher of this.#watchers) watcher.left(membership);
    if (room.members.length > 0) return;
    this.#rooms.delete(room.name);
    this.#inOrder.delete(room.name);
    this.#fanout.forget(room);
    for (const watcher of this.#watchers) watcher.emptied(room);
  }

  #refuses(room: Room | undefined, user: string): Refusal | null {
    const { limits } = this;
    if (room === undefined) {
      if (limits.max_rooms_total > 0 && this.#rooms.size >= limits.max_rooms_total) return TOO_MANY_ROOMS;
    } else {
      if (room.hasUser(user)) return null;
      if (limits.max_users_per_room > 0 && room.userCount >= limits.max_users_per_room) return ROOM_FULL;
    }
    const rooms = this.#roomsOfUser.get(user) ?? 0;
    if (limits.max_rooms_per_user > 0 && rooms >= limits.max_rooms_per_user) return USER_IN_TOO_MANY_ROOMS;
    return null;
  }
}
