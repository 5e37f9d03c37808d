// A tenant's rooms: who is in which, exact limits, and fan-out. Membership is counted twice, because two questions are
// asked: sessions receive messages, users are limited. All of it runs synchronously, so a limit is never overshot.
// `Rooms.publish` is the only way in for a message. A room without members is gone, unless it is held for what it keeps.

import { type Bus, type BusReceiver, BUSY, type OpenBus } from "../cluster/bus.ts";
import type { ForeignMember, ForeignRoom, LeaveReason, Peers } from "../cluster/peers.ts";
import { OrderedIndex } from "../collections/ordered_index.ts";
import type { Refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import { sysMissed } from "../protocol/sys.ts";
import type { Delivered, Fanout } from "./fanout.ts";
import { ForeignMembers, type ForeignMembersRooms } from "./foreign_members.ts";
import { Histories, type HistoriesOptions, type HistoriesRooms, type Loss } from "./histories.ts";
import { type KeptRoom, NO_MORE_ROOMS, type Published } from "./kept_room.ts";
import { type Membership, Room, type Subscriber } from "./room.ts";
import {
  type PublishOptions,
  ROOM_FULL,
  type RoomLimits,
  type RoomSeat,
  type RoomWatcher,
  TOO_MANY_ROOMS,
  USER_IN_TOO_MANY_ROOMS,
} from "./room_watcher.ts";

export { BUSY };
export {
  type PublishOptions,
  ROOM_FULL,
  type RoomLimits,
  type RoomSeat,
  type RoomWatcher,
  TOO_MANY_ROOMS,
  USER_IN_TOO_MANY_ROOMS,
} from "./room_watcher.ts";
export { type Membership, Observers, Room, type Subscriber } from "./room.ts";

const TO_ALL: PublishOptions = { except: null };

export interface RoomsOptions {
  /** Those that hold now; who is in already stays whatever they become. */
  readonly limits: () => RoomLimits;
  readonly fanout: Fanout;
  readonly openBus: OpenBus;
  readonly histories: HistoriesOptions;
  /** Draws member numbers where there are other nodes. */
  readonly random?: () => number;
}

export class Rooms implements BusReceiver, HistoriesRooms, ForeignMembersRooms {
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
  readonly #random: (() => number) | null;
  readonly histories: Histories;
  /** Rooms that somebody is in: others are there for what they keep, which is bounded by its bytes. */
  #occupied = 0;
  #lastId = 0;
  #lastStamp = 0;

  constructor({ limits, fanout, openBus, histories, random = Math.random }: RoomsOptions) {
    this.#limits = limits;
    this.#fanout = fanout;
    this.#bus = openBus(this);
    const { peers } = this.#bus;
    this.#random = peers === null ? null : random;
    this.histories = new Histories(this, histories);
    if (peers !== null) new ForeignMembers(peers, this);
  }

  /** Rooms that exist, those that only keep something among them. */
  get size(): number {
    return this.#rooms.size;
  }

  /** Rooms with members. */
  get occupied(): number {
    return this.#occupied;
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
    const room = this.#rooms.get(name);
    const kept = room === undefined ? this.#begin(name) : room.kept;
    if (kept === NO_MORE_ROOMS) return kept;
    if (kept === null && key === null) return this.#bus.publish(name, frame, except);
    return this.histories.publish(name, frame, { kept, except, key });
  }

  /** The same with a frame of the hot lane, which nobody keeps. @returns to how many of this node it goes, or `BUSY` */
  publishHot(name: string, frame: Frame, { except }: PublishOptions = TO_ALL): number {
    return this.#bus.publish(name, frame, except);
  }

  /** Whether a room of this name keeps what is said in it, or would if something were. */
  keeps(name: string): boolean {
    const room = this.#rooms.get(name);
    return room === undefined ? this.histories.classOf(name)?.history != null : room.kept !== null;
  }

  /** Other classes of rooms hold from now on. */
  applyClasses(): void {
    this.histories.applyStreams();
    for (const room of [...this.#rooms.values()]) {
      room.class = this.histories.classOf(room.name);
      this.histories.apply(room.name, room.class);
    }
  }

  /** For what keeps messages. */
  deliver(name: string, frame: Frame, except: string | null): number {
    return this.#bus.publish(name, frame, except);
  }

  /** For what has all nodes hear of a message by itself. */
  deliverHere(name: string, frame: Frame, except: string | null): number {
    return this.#bus.deliverHere(name, frame, except);
  }

  /** For what keeps messages. */
  isFull(name: string): boolean {
    const room = this.#rooms.get(name);
    return room !== undefined && this.#fanout.isFull(room);
  }

  members(name: string, except: string | null): number {
    const members = this.#rooms.get(name)?.members;
    if (members === undefined) return 0;
    const isLeftOut = except !== null && members.some(({ subscriber }) => subscriber.session === except);
    return members.length - (isLeftOut ? 1 : 0);
  }

  tellLoss(name: string, { reason, offset, traceId }: Loss): void {
    const room = this.#rooms.get(name), kept = room?.kept ?? null;
    if (room === undefined || kept === null) return;
    const { epoch } = kept;
    const data = { count: room.count, epoch, offset, recovered: false, replayed: 0, reason };
    this.deliverHere(name, sysMissed(traceId, name, data), null);
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
    if (room === undefined) return 0;
    return this.#fanout.publish(
      room,
      frame,
      except,
      frame.isExt && room.kept !== null && room.kept.storesFirst,
    );
  }

  receiveForeign(name: string, frame: Frame): void {
    const room = this.#rooms.get(name);
    if (room === undefined) return;
    // Its publisher has been told that it goes to all.
    if (this.#fanout.publish(room, frame, null) === BUSY && frame.isExt) room.overtake(frame, null);
  }

  setForeign(name: string, foreign: ForeignRoom | null): void {
    const room = this.#rooms.get(name);
    if (room !== undefined) room.foreign = foreign;
  }

  /** Hands a frame to one member on another node. */
  deliverForeign({ session: { session, node } }: ForeignMember, frame: Frame): void {
    this.#bus.deliver(node.incarnation, session, frame);
  }

  foreignJoined(member: ForeignMember, count: number): void {
    for (const watcher of this.#watchers) watcher.foreignJoined?.(member, count);
  }

  foreignLeft(member: ForeignMember, count: number, reason: LeaveReason | null): void {
    for (const watcher of this.#watchers) watcher.foreignLeft?.(member, count, reason);
  }

  /** How many are in a room, on all nodes. */
  count(name: string): number {
    const room = this.#rooms.get(name), here = room === undefined ? 0 : room.members.length - room.arriving;
    return here + (this.#bus.peers?.rooms.get(name)?.members.size ?? 0);
  }

  /** Members of a room on other nodes; null for none. */
  foreign(name: string): ForeignRoom | null {
    return this.#bus.peers?.rooms.get(name) ?? null;
  }

  /** What other nodes have of the tenant; null where there are none. */
  get peers(): Peers | null {
    return this.#bus.peers;
  }

  /** Whether this node has the word about a room where one of all nodes is to have it. */
  owns(name: string): boolean {
    return this.#bus.owns(name);
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
    const refused = this.#refuses(name, user);
    if (refused !== null) return refused;
    const membership = this.#enter(name, subscriber);
    const { room } = membership;
    // Who is told later that it is in the room hears of itself then.
    const isTold = room.class?.presence === true && room.live === null;
    if (isTold) room.setPresence(membership, true);
    for (const watcher of this.#watchers) watcher.joined(membership);
    if (room.class?.presence && !isTold) room.setPresence(membership, true);
    return membership;
  }

  /** Removes a membership; call it once for each. */
  leave(membership: Membership): void {
    this.#remove(membership);
    for (const watcher of this.#watchers) watcher.left(membership);
    this.#vacate(membership.room);
  }

  /**
   * Adds a member of another node that is about to go on here, by its number there: it hears what is said from now on, and
   * is counted with those of the other node until `arrived`, or `depart` where nothing comes of it.
   */
  arrive(name: string, subscriber: Subscriber, { member, presence }: RoomSeat): Membership {
    const membership = this.#enter(name, subscriber, member);
    membership.room.arriving++;
    if (presence) membership.room.setPresence(membership, true);
    return membership;
  }

  /** It is this node's from now on, and MUST NOT be the other's any more. */
  arrived(membership: Membership): void {
    membership.room.arriving--;
    for (const watcher of this.#watchers) watcher.arrived?.(membership);
  }

  /** Removes a member that goes on at another node, which counts it from now on, or that has not come from there. */
  depart(membership: Membership, hasArrived: boolean): void {
    if (!hasArrived) membership.room.arriving--;
    this.#remove(membership);
    if (hasArrived) { for (const watcher of this.#watchers) watcher.departed?.(membership); }
    this.#vacate(membership.room);
  }

  /** What waits in a room's line for a member that goes on elsewhere. */
  due({ room, subscriber: { session } }: Membership): Frame[] {
    return this.#fanout.due(room, session);
  }

  #enter(name: string, subscriber: Subscriber, member?: number): Membership {
    const { user } = subscriber, room = this.#rooms.get(name) ?? this.#add(name);
    if (room.members.length === 0) this.#occupy(room);
    if (room.kept === null) this.histories.begin(name, room.class);
    const { membership, firstOfUser } = room.add(subscriber, ++this.#lastId, member);
    if (firstOfUser) this.#roomsOfUser.set(user, (this.#roomsOfUser.get(user) ?? 0) + 1);
    return membership;
  }

  #remove(membership: Membership): void {
    const { room, subscriber: { user } } = membership;
    if (!room.remove(membership)) return;
    const rooms = this.#roomsOfUser.get(user)! - 1;
    if (rooms > 0) this.#roomsOfUser.set(user, rooms);
    else this.#roomsOfUser.delete(user);
  }

  #vacate(room: Room): void {
    if (room.members.length > 0) return;
    this.#occupied--;
    this.#bus.vacated(room.name);
    room.kept?.touch();
    this.#fanout.forget(room);
    this.#dropIfUnused(room);
    for (const watcher of this.#watchers) watcher.emptied(room);
  }

  #occupy(room: Room): void {
    this.#occupied++;
    room.kept?.touch();
    const live = room.live = this.#bus.occupied(room.name);
    void live?.then(() => {
      if (room.live === live) room.live = null;
    });
  }

  #add(name: string): Room {
    const room = new Room(name, this.delivered, 0, this.#random);
    room.foreign = this.#bus.peers?.rooms.get(name) ?? null;
    room.class = this.histories.classOf(name);
    this.#rooms.set(name, room);
    this.#inOrder.set(name, room);
    return room;
  }

  /** A room that does not exist begins with what is said in it, where it keeps that. */
  #begin(name: string): KeptRoom | null | typeof NO_MORE_ROOMS {
    const found = this.histories.classOf(name);
    if (found === null || found.history === null) return null;
    const max = this.#limits().max_rooms_total;
    return max > 0 && this.#rooms.size >= max ? NO_MORE_ROOMS : this.histories.begin(name, found);
  }

  #dropIfUnused(room: Room): void {
    if (room.members.length > 0 || this.#held.has(room)) return;
    this.#rooms.delete(room.name);
    this.#inOrder.delete(room.name);
  }

  /** Whether another user would be one too many, on all nodes. */
  #isFull(name: string, user: string, max: number): boolean {
    const room = this.#rooms.get(name), foreign = this.#bus.peers?.rooms.get(name);
    if (foreign?.hasUser(user)) return false;
    return (room?.userCount ?? foreign?.userCount ?? 0) >= max;
  }

  #refuses(name: string, user: string): Refusal | null {
    const room = this.#rooms.get(name);
    const limits = this.#limits();
    if (room === undefined || room.members.length === 0) {
      if (limits.max_rooms_total > 0 && this.#occupied >= limits.max_rooms_total) return TOO_MANY_ROOMS;
    } else if (room.hasUser(user)) return null;
    if (limits.max_users_per_room > 0 && this.#isFull(name, user, limits.max_users_per_room)) {
      return ROOM_FULL;
    }
    const rooms = this.#roomsOfUser.get(user) ?? 0;
    if (limits.max_rooms_per_user > 0 && rooms >= limits.max_rooms_per_user) return USER_IN_TOO_MANY_ROOMS;
    return null;
  }
}
