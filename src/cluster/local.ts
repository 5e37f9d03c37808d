// The bus of a gateway that is alone: all members are here.

import type { Frame } from "../protocol/frame.ts";
import type { Bus, BusReceiver } from "./bus.ts";

export class LocalBus implements Bus {
  readonly peers = null;
  readonly #receiver: BusReceiver;

  constructor(receiver: BusReceiver) {
    this.#receiver = receiver;
  }

  publish(room: string, frame: Frame, except: string | null): number {
    return this.#receiver.receive(room, frame, except);
  }

  deliverHere(room: string, frame: Frame, except: string | null): number {
    return this.#receiver.receive(room, frame, except);
  }

  occupied(): null {
    return null;
  }

  vacated(): void {}

  deliver(): void {}

  owns(): boolean {
    return true;
  }
}
