// The hot service `state`: keeps the latest frame per sender and opcode in each room, and every tick
// sends each member what the others changed. Ten updates between two ticks cost their room one. Who joins
// gets all there is; who leaves is forgotten. Held at most: members × allowed opcodes × max_frame_bytes.

import type { ForeignMember } from "../cluster/peers.ts";
import type { Refusal } from "../protocol/codes.ts";
import { type Frame, hotFrame, LANE } from "../protocol/frame.ts";
import { HOT_AT, wasOvertaken, withSender } from "../protocol/hot.ts";
import {
  BUSY,
  type Membership,
  type Room,
  type Rooms,
  type RoomWatcher,
  type Subscriber,
} from "../room/rooms.ts";
import { conflationKey, type Context, type Every, type HotService } from "./service.ts";

/** The latest frame of one sender and opcode. */
interface Cell {
  readonly sender: Subscriber;
  frame: Frame;
  /** Of the frame that was sent last, 0 for none. */
  sentStamp: number;
  /** Waiting for the next tick. */
  changed: boolean;
}

interface RoomState {
  readonly room: Room;
  /** By member number, then opcode. */
  readonly senders: Map<number, Map<number, Cell>>;
  changed: Cell[];
  /** In the list of rooms that the next tick serves. */
  queued: boolean;
}

export class StateService implements HotService, RoomWatcher {
  readonly #rooms: Rooms;
  readonly #tickMs: number;
  readonly #every: Every;
  readonly #states = new Map<Room, RoomState>();
  #dirty: RoomState[] = [];
  #stopTicking: (() => void) | null = null;
  #watching = false;

  /** @param tickMs milliseconds between two rounds of changes */
  constructor(rooms: Rooms, tickMs: number, every: Every) {
    this.#rooms = rooms;
    this.#tickMs = tickMs;
    this.#every = every;
  }

  handle(context: Context, frame: Uint8Array): Refusal | null {
    const { active } = context;
    if (active === null) return null;
    const state = this.#stateOf(active.room);
    let cells = state.senders.get(active.member);
    if (cells === undefined) state.senders.set(active.member, cells = new Map());
    const opcode = frame[HOT_AT.opcode]!;
    let cell = cells.get(opcode);
    // Datagrams overtake each other, and what is older is not the latest.
    if (
      cell !== undefined && context.transport === "webtransport" &&
      wasOvertaken(frame, cell.frame.payload as Uint8Array)
    ) {
      return null;
    }
    // withSender copies, so that a kept frame does not pin the read buffer it arrived in.
    const latest = hotFrame(withSender(frame, active.member), LANE.latest, conflationKey(active, frame));
    if (cell === undefined) {
      cells.set(opcode, cell = { sender: active.subscriber, frame: latest, sentStamp: 0, changed: false });
    }
    cell.frame = latest;
    if (!cell.changed) this.#mark(state, cell);
    return null;
  }

  joined(membership: Membership): void {
    const state = this.#states.get(membership.room);
    if (state === undefined) return;
    for (const cells of state.senders.values()) {
      // What waits for the tick comes with it, to the new member too.
      for (const cell of cells.values()) if (!cell.changed) membership.subscriber.deliver(cell.frame);
    }
  }

  /** The latest frame of each sender and opcode here; each node tells of those that it has. */
  foreignJoined(member: ForeignMember): void {
    const state = this.#named(member.room);
    if (state === undefined) return;
    for (const cells of state.senders.values()) {
      for (const cell of cells.values()) if (!cell.changed) this.#rooms.deliverForeign(member, cell.frame);
    }
  }

  resumed(membership: Membership): void {
    this.joined(membership);
  }

  left(membership: Membership): void {
    const state = this.#states.get(membership.room);
    const cells = state?.senders.get(membership.member);
    if (state === undefined || cells === undefined) return;
    state.senders.delete(membership.member);
    state.changed = state.changed.filter((cell) => cell.sender !== membership.subscriber);
  }

  departed(membership: Membership): void {
    this.left(membership);
  }

  emptied(room: Room): void {
    this.#states.delete(room);
  }

  stop(): void {
    this.#stopTicking?.();
    this.#stopTicking = null;
    this.#dirty = [];
    this.#states.clear();
    this.#rooms.unwatch(this);
    this.#watching = false;
  }

  #stateOf(room: Room): RoomState {
    let state = this.#states.get(room);
    if (state === undefined) {
      if (!this.#watching) {
        this.#watching = true;
        this.#rooms.watch(this);
      }
      this.#states.set(room, state = { room, senders: new Map(), changed: [], queued: false });
    }
    return state;
  }

  #named(name: string): RoomState | undefined {
    const room = this.#rooms.find(name);
    return room === undefined ? undefined : this.#states.get(room);
  }

  #mark(state: RoomState, cell: Cell): void {
    cell.changed = true;
    if (!state.queued) {
      state.queued = true;
      this.#dirty.push(state);
    }
    state.changed.push(cell);
    this.#stopTicking ??= this.#every(this.#tickMs, () => this.#tick());
  }

  #tick(): void {
    const dirty = this.#dirty;
    if (dirty.length === 0) {
      this.#stopTicking?.();
      this.#stopTicking = null;
      return;
    }
    this.#dirty = [];
    for (const state of dirty) {
      const changed = state.changed;
      state.changed = [];
      state.queued = false;
      for (const cell of changed) {
        cell.changed = false;
        cell.frame.stampBefore = cell.sentStamp;
        cell.frame.stamp = cell.sentStamp = this.#rooms.nextStamp();
        // A room with too much to deliver already gets it with the next tick, or what is the latest by then.
        const { frame, sender } = cell;
        const deliveries = this.#rooms.publishHot(state.room.name, frame, { except: sender.session });
        if (deliveries === BUSY) this.#mark(state, cell);
      }
    }
  }
}
