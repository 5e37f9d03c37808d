// The port behind `Rooms.publish`: how a message reaches the members of a room, wherever they are connected. `local.ts`
// hands it to this node alone, `nats_bus.ts` to the others as well.

import type { Frame } from "../protocol/frame.ts";
import type { Peers } from "./peers.ts";

/** Said instead of a number of deliveries: too much waits for the room already, and the message went to nobody. */
export const BUSY = -1;

/** A tenant's rooms on this node, as a bus sees them. */
export interface BusReceiver {
  /**
   * Hands a frame to the members of a room who are connected here, but for the session of this name.
   * @returns how many these are, or `BUSY`; 0 for a room that has none
   */
  receive(room: string, frame: Frame, except: string | null): number;
  /** The same with what another node has published; never `BUSY` where `frame` may not be lost. */
  receiveForeign(room: string, frame: Frame): void;
}

/** One tenant's bus. MUST NOT throw. */
export interface Bus {
  /**
   * Brings a frame to all members of a room, on this node by `BusReceiver.receive`. Frames of one room and lane MUST
   * arrive in the order of these calls.
   * @returns deliveries on this node, or `BUSY`
   */
  publish(room: string, frame: Frame, except: string | null): number;
  /** Brings a frame to the members of this node alone, in one order with what is published. */
  deliverHere(room: string, frame: Frame, except: string | null): number;
  /**
   * Somebody is in a room, where nobody of this node was.
   * @returns when what other nodes say there arrives; null where it does already. Never rejects
   */
  occupied(room: string): Promise<void> | null;
  /** Nobody of this node is in a room any more. */
  vacated(room: string): void;
  /** Hands a frame to a session of another node. */
  deliver(node: string, session: string, frame: Frame): void;
  /** Whether this node has the word about a room where one of all nodes is to have it. */
  owns(room: string): boolean;
  /** What other nodes have of the tenant; null where there are none. */
  readonly peers: Peers | null;
}

/** Makes a tenant's bus. */
export type OpenBus = (receiver: BusReceiver) => Bus;
