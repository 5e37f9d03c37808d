// Stands between a bus and a tenant's rooms for whoever wants to see what goes through them. Nobody does by default, and
// then it is one call more for each message to a room, however many members that has.

import type { BusReceiver } from "../cluster/bus.ts";
import type { Frame } from "../protocol/frame.ts";

/** Told of each message that reached a room's members. MUST NOT throw, publish, join or leave. */
export interface RoomListener {
  /** @param deliveries to how many members of this node it went; `BUSY` where it did not go */
  heard(room: string, frame: Frame, deliveries: number): void;
}

export class RoomTap implements BusReceiver {
  /** Null for nobody. */
  listener: RoomListener | null = null;
  readonly #rooms: BusReceiver;
  readonly #membersOf: (room: string) => number;

  /** @param membersOf how many members of this node a room has */
  constructor(rooms: BusReceiver, membersOf: (room: string) => number) {
    this.#rooms = rooms;
    this.#membersOf = membersOf;
  }

  receive(room: string, frame: Frame, except: string | null): number {
    const deliveries = this.#rooms.receive(room, frame, except);
    if (this.listener !== null) this.listener.heard(room, frame, deliveries);
    return deliveries;
  }

  receiveForeign(room: string, frame: Frame): void {
    this.#rooms.receiveForeign(room, frame);
    if (this.listener !== null) this.listener.heard(room, frame, this.#membersOf(room));
  }
}
