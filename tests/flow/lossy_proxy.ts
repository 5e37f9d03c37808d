// A network between a client and a server that loses UDP packets and lets others overtake them, as much as it is told.

import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { Buffer } from "node:buffer";

/** What becomes of packets, by chance. */
export interface Weather {
  /** Of each packet. */
  readonly loss: number;
  /** Of each packet: that it comes so much later. */
  readonly late: number;
  readonly lateMs: number;
}

/** Numbers from 0 to 1 by a seed, so that a run can be had again (mulberry32). */
function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 4_294_967_296;
  };
}

const FINE: Weather = { loss: 0, late: 0, lateMs: 0 };

export class LossyProxy {
  weather: Weather = FINE;
  lost = 0;
  late = 0;
  port = 0;
  readonly #front: Socket = createSocket("udp4");
  readonly #ways = new Map<string, Socket>();
  readonly #random: () => number;
  readonly #toPort: number;

  private constructor(toPort: number, seed: number) {
    this.#toPort = toPort;
    this.#random = chances(seed);
  }

  static async open(toPort: number, seed: number): Promise<LossyProxy> {
    const proxy = new LossyProxy(toPort, seed);
    const front = proxy.#front;
    front.on("message", (packet: Buffer, from: RemoteInfo) => proxy.#forth(packet, from));
    await new Promise<void>((resolve) => front.bind(0, "127.0.0.1", () => resolve()));
    proxy.port = front.address().port;
    return proxy;
  }

  close(): void {
    this.#front.close();
    for (const way of this.#ways.values()) way.close();
  }

  #forth(packet: Buffer, from: RemoteInfo): void {
    const name = `${from.address}:${from.port}`;
    let way = this.#ways.get(name);
    if (way === undefined) {
      this.#ways.set(name, way = createSocket("udp4"));
      way.bind(0, "127.0.0.1"); // by itself it would take every address, which tests may not
      way.on(
        "message",
        (answer: Buffer) => this.#pass(() => this.#front.send(answer, from.port, from.address)),
      );
    }
    const there = way;
    this.#pass(() => there.send(packet, this.#toPort, "127.0.0.1"));
  }

  #pass(send: () => void): void {
    const { loss, late, lateMs } = this.weather;
    const chance = this.#random();
    if (chance < loss) this.lost++;
    else if (chance < loss + late) {
      this.late++;
      setTimeout(() => {
        try {
          send();
        } catch {
          // It was closed meanwhile.
        }
      }, lateMs * this.#random());
    } else send();
  }
}
