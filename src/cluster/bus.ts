// The port behind `Rooms.publish`: how a message reaches the members of a room, wherever they are connected. `local.ts`
// hands it to this node alone.

import type { Frame } from "../protocol/frame.ts";

/** Said instead of a number of deliveries: too much waits for the room already, and the message went to nobody. */
export const BUSY = -1;

/** A tenant's rooms on this node, as a bus sees them. */
export interface BusReceiver {
  /**
   * Hands a frame to the members of a room who are connected here, but for the session of this name.
   * @returns how many these are, or `BUSY`; 0 for a room that has none
   */
  receive(room: string, frame: Frame, except: string | null): number;
}

/** One tenant's bus. MUST NOT throw. */
export interface Bus {
  /**
   * Brings a frame to all members of a room, on this node by `BusReceiver.receive`. Frames of one room and lane MUST
   * arrive in the order of these calls.
   * @returns deliveries on this node, or `BUSY`
   */
  publish(room: string, frame: Frame, except: string | null): number;
}

/** Makes a tenant's bus. */
export type OpenBus = (receiver: BusReceiver) => Bus;
