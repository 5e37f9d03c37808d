// A tenant's rooms: who is in which, exact limits, and fan-out. Membership is counted twice, because two questions are
// asked: sessions receive messages, users are limited. All of it runs synchronously, so a limit is never overshot.
// `Rooms.publish` is the only way in for a message. A room without members is gone, unless it is held for what it keeps.

import { type Bus, type BusReceiver, BUSY, type OpenBus } from "../cluster/bus.ts";
import { OrderedIndex } from "../collections/ordered_index.ts";
import { type Refusal, refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import { sysJoined } from "../protocol/sys.ts";
import type { Audience, Delivered, Fanout, Line, Receiver } from "./fanout.ts";
import { Histories, type HistoriesOptions, type HistoriesRooms } from "./histories.ts";
import type { LossReason } from "./history.ts";
import type { KeptRoom, Published, SenderKey } from "./kept_room.ts";

export { BUSY };

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

/** Told of every change, after it was made. MUST NOT join or leave inside it. */
export interface RoomWatcher {
  joined(membership: Membership): void;
  left(membership: Membership): void;
  /** The last member has left. The room is gone, unless somebody holds it. */
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

/** Somebody that a message is not for, and by what it is known when it is said again. */
export interface PublishOptions {
  /** The session that is left out, by its name; null for none. */
  readonly except: string | null;
  /** Null for a message that may be said twice. */
  readonly key?: SenderKey | null;
}

const TO_ALL: PublishOptions = { except: null };

/** One room, as far as it is on this node. */
export class Room implements Audience, Line {
  readonly name: string;
  readonly delivered: Delivered;
  /** What it keeps of what is said in it; null where it keeps nothing. */
  kept: KeptRoom | null = null;
  readonly #members: Membership[] = [];
  /** Sessions of each user here. */
  readonly #users = new Map<string, number>();
  #version = 0;
  #lastMember: number;
  #wrapped = false;
  #observers: Observers | null = null;

  /** @param lastMember the member number given last */
  constructor(name: string, delivered: Delivered, lastMember = 0) {
    this.name = name;
    this.delivered = delivered;
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

  get userCount(): number {
    return this.#users.size;
  }

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

export interface RoomsOptions {
  /** Those that hold now; who is in already stays whatever they become. */
  readonly limits: () => RoomLimits;
  readonly fanout: Fanout;
  readonly openBus: OpenBus;
  readonly histories: HistoriesOptions;
}

export class Rooms implements BusReceiver, HistoriesRooms {
  /** What all sessions of the tenant were given; whoever delivers to a subscriber alone adds to it. */
  readonly delivered: Delivered = { bytes: 0 };
  readonly #limits: () => RoomLimits;
  readonly #rooms = new Map<string, Room>();
  readonly #inOrder = new OrderedIndex<Room>();
  /** How often rooms are held that exist without members too. */
  readonly #held = new Map<Room, number>();
  /** Distinct rooms of each user. */
  readonly #roomsOfUser = new Map<string, number>();
  readonly #watchers: RoomWatcher[] = [];
  readonly #fanout: Fanout;
  readonly #bus: Bus;
  readonly histories: Histories;
  /** Rooms that somebody is in: others are there for what they keep, which is bounded by its bytes. */
  #occupied = 0;
  #lastId = 0;
  #lastStamp = 0;

  constructor({ limits, fanout, openBus, histories }: RoomsOptions) {
    this.#limits = limits;
    this.#fanout = fanout;
    this.#bus = openBus(this);
    this.histories = new Histories(this, histories);
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

  /**
   * Brings a message of the ext lane to the members of a room, on this node and elsewhere, and keeps it where the room keeps
   * what is said. A room that nobody is in is no fault.
   */
  publish(name: string, frame: Frame, { except, key = null }: PublishOptions = TO_ALL): Published {
    return this.histories.publish(name, frame, except, key) ?? this.#bus.publish(name, frame, except);
  }

  /** The same with a frame of the hot lane, which nobody keeps. @returns to how many of this node it goes, or `BUSY` */
  publishHot(name: string, frame: Frame, { except }: PublishOptions = TO_ALL): number {
    return this.#bus.publish(name, frame, except);
  }

  /** Whether a room of this name keeps what is said in it, with members or without. */
  keeps(name: string): boolean {
    return this.histories.of(name).kept !== null;
  }

  /** For what keeps messages. */
  deliver(name: string, frame: Frame, except: string | null): number {
    return this.#bus.publish(name, frame, except);
  }

  /** For what keeps messages: however much waits for the room already. */
  deliverAnyway(name: string, frame: Frame, except: string | null): number {
    const deliveries = this.deliver(name, frame, except);
    if (deliveries !== BUSY) return deliveries;
    const room = this.#rooms.get(name)!;
    for (const { subscriber } of room.members) if (subscriber.session !== except) subscriber.deliver(frame);
    return room.members.length;
  }

  members(name: string, except: string | null): number {
    const members = this.#rooms.get(name)?.members;
    if (members === undefined) return 0;
    const isLeftOut = except !== null && members.some(({ subscriber }) => subscriber.session === except);
    return members.length - (isLeftOut ? 1 : 0);
  }

  /** For what keeps messages. Each is told where it stands now, as if it had joined again with a cursor that is lost. */
  tellLoss(name: string, reason: LossReason): void {
    const room = this.#rooms.get(name), kept = room?.kept ?? null;
    if (room === undefined || kept === null) return;
    const { epoch, last: offset } = kept;
    for (const { member, subscriber } of room.members) {
      const data = {
        member,
        count: room.members.length,
        epoch,
        offset,
        recovered: false,
        replayed: 0,
        reason,
      };
      subscriber.deliver(sysJoined(subscriber.traceId, name, data, null));
    }
  }

  /** For what keeps messages. Members have heard all of what begins with it. */
  keep(name: string, kept: KeptRoom | null): void {
    const room = this.#rooms.get(name);
    if (kept === null) {
      if (room === undefined || room.kept === null) return;
      room.kept = null;
      return this.release(room);
    }
    const held = room?.kept === null || room === undefined ? this.hold(name) : room;
    held.kept = kept;
    for (const membership of held.members) membership.heardAfter = kept.last;
  }

  /** For the bus. */
  receive(name: string, frame: Frame, except: string | null): number {
    const room = this.#rooms.get(name);
    return room === undefined ? 0 : this.#fanout.publish(room, frame, except);
  }

  /** Has a room exist, with members or without, until `release`. */
  hold(name: string): Room {
    const room = this.#rooms.get(name) ?? this.#add(name);
    this.#held.set(room, (this.#held.get(room) ?? 0) + 1);
    return room;
  }

  release(room: Room): void {
    const times = this.#held.get(room)! - 1;
    if (times > 0) this.#held.set(room, times);
    else {
      this.#held.delete(room);
      this.#dropIfUnused(room);
    }
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
    const found = this.histories.of(name);
    const room = this.#rooms.get(name) ?? this.#add(name);
    if (room.members.length === 0) this.#occupied++;
    const { membership, firstOfUser } = room.add(subscriber, ++this.#lastId);
    if (found.class?.presence) room.setPresence(membership, true);
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
    this.#occupied--;
    this.#fanout.forget(room);
    this.#dropIfUnused(room);
    for (const watcher of this.#watchers) watcher.emptied(room);
  }

  #add(name: string): Room {
    const room = new Room(name, this.delivered);
    this.#rooms.set(name, room);
    this.#inOrder.set(name, room);
    return room;
  }

  #dropIfUnused(room: Room): void {
    if (room.members.length > 0 || this.#held.has(room)) return;
    this.#rooms.delete(room.name);
    this.#inOrder.delete(room.name);
  }

  #refuses(room: Room | undefined, user: string): Refusal | null {
    const limits = this.#limits();
    if (room === undefined || room.members.length === 0) {
      if (limits.max_rooms_total > 0 && this.#occupied >= limits.max_rooms_total) return TOO_MANY_ROOMS;
    } else {
      if (room.hasUser(user)) return null;
      if (limits.max_users_per_room > 0 && room.userCount >= limits.max_users_per_room) return ROOM_FULL;
    }
    const rooms = this.#roomsOfUser.get(user) ?? 0;
    if (limits.max_rooms_per_user > 0 && rooms >= limits.max_rooms_per_user) return USER_IN_TOO_MANY_ROOMS;
    return null;
  }
}
