// Several nodes with rooms in NATS, members that come and go, and everything that can go wrong with what lies between, by
// chance that can be had again; and the model that says what every member must have heard.

import { strict as assert } from "node:assert";
import { cpSync, rmSync } from "node:fs";
import { jetstreamManager } from "@nats-io/jetstream";
import { extFrame, type Frame, LANE } from "../../src/protocol/frame.ts";
import type { Stored } from "../../src/room/kept_room.ts";
import type { RoomClassSpec } from "../../src/room/room_class.ts";
import type { Membership, Subscriber } from "../../src/room/rooms.ts";
import { senderKey } from "../../src/room/sent_keys.ts";
import type { NatsLink } from "../../src/cluster/nats_link.ts";
import { until } from "../flow/gateway_process.ts";
import { TcpProxy } from "../flow/tcp_proxy.ts";
import { NatsServer } from "../nats/server.ts";
import { HistoryNode } from "./history_node.ts";

export interface ChaosTally {
  deliveries: number;
  stored: number;
  unsaid: number;
  recovered: number;
  unrecovered: number;
  losses: number;
  epochs: number;
  lostRecords: number;
  restarts: number;
  cuts: number;
}

export interface ChaosOptions {
  readonly seed: number;
  readonly steps: number;
  /** What goes wrong with the server: it is killed, it loses its end, its stream is deleted. */
  readonly server: boolean;
  readonly maxMessages: number;
  readonly clients: number;
  /** Messages that are said at once, now and then. */
  readonly burst: number;
}

const NODES = 3;
const ROOMS = ["chat:a", "chat:b", "chat:c"];

/** Chance that can be had again (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Message {
  readonly svc: string;
  readonly data: Record<string, unknown>;
  readonly offset: number;
}

/** Somebody who is in a room, on one node after another. */
class Client implements Subscriber {
  readonly session: string;
  readonly user: string;
  readonly sid = "";
  readonly traceId = "";
  readonly room: string;
  membership: Membership | null = null;
  node: HistoryNode | null = null;
  /** The newest that it has heard. */
  cursor: { epoch: string; offset: number } | null = null;
  /** From where on it must have heard all, in the epoch of the cursor. */
  from = 0;
  readonly heard = new Map<string, Map<number, string>>();
  readonly #chaos: Chaos;

  constructor(chaos: Chaos, name: string, room: string) {
    this.#chaos = chaos;
    this.session = this.user = name;
    this.room = room;
  }

  receive(frame: Frame): void {
    const message = JSON.parse(frame.payload as string) as Message;
    const { svc, data, offset } = message;
    if (svc !== "sys") return this.hear(this.membership!.room.kept!.epoch, offset, data["n"] as string);
    // It has been told that there is a gap.
    this.#chaos.tally.losses++;
    this.cursor = { epoch: data["epoch"] as string, offset: data["offset"] as number };
    this.from = this.cursor.offset;
  }

  deliver(frame: Frame): void {
    this.receive(frame);
  }

  hear(epoch: string, offset: number, n: string): void {
    this.#chaos.tally.deliveries++;
    if (this.cursor?.epoch !== epoch) assert.fail(`${this.session} hears of an epoch that it was not told`);
    assert.ok(offset > this.cursor.offset, `${this.session} hears ${offset} after ${this.cursor.offset}`);
    this.cursor = { epoch, offset };
    this.#chaos.check(this.room, epoch, offset, n);
    let heard = this.heard.get(epoch);
    if (heard === undefined) this.heard.set(epoch, heard = new Map());
    heard.set(offset, n);
  }
}

export class Chaos {
  readonly tally: ChaosTally;
  readonly #options: ChaosOptions;
  readonly #random: () => number;
  #nats!: NatsServer;
  readonly #proxies: TcpProxy[] = [];
  readonly #nodes: HistoryNode[] = [];
  readonly #clients: Client[] = [];
  /** What stands at an offset, as anybody has heard it or was told. */
  readonly #stands = new Map<string, string>();
  /** What senders were told that it is stored, by room and epoch. */
  readonly #stored = new Map<string, Map<number, string>>();
  readonly #saying = new Set<Promise<void>>();
  #said = 0;
  #keys: string[] = [];
  #loses = 0;
  #isRefused = false;

  constructor(options: ChaosOptions, tally: ChaosTally) {
    this.#options = options;
    this.#random = chance(options.seed);
    this.tally = tally;
  }

  async run(): Promise<void> {
    this.#nats = await NatsServer.start();
    try {
      await this.#begin();
      for (let step = 0; step < this.#options.steps; step++) await this.#step();
      await this.#calm();
      this.#judge();
    } finally {
      for (const node of this.#nodes) await node[Symbol.asyncDispose]();
      for (const proxy of this.#proxies) await proxy[Symbol.asyncDispose]();
      await this.#nats[Symbol.asyncDispose]();
    }
  }

  /** The same message stands at an offset for everybody. */
  check(room: string, epoch: string, offset: number, n: string): void {
    const place = `${room} ${epoch} ${offset}`;
    const known = this.#stands.get(place);
    if (known === undefined) this.#stands.set(place, n);
    else assert.equal(n, known, `two messages stand at ${place}`);
  }

  async #begin(): Promise<void> {
    const classes: RoomClassSpec[] = [{
      match: "chat:*",
      history: {
        max_messages: this.#options.maxMessages,
        max_bytes: 1_000_000,
        max_age_ms: 300_000,
        store: "nats",
      },
      presence: false,
    }];
    for (let i = 0; i < NODES; i++) {
      const proxy = await TcpProxy.to(this.#nats.port);
      this.#proxies.push(proxy);
      const url = proxy.origin.replace("http", "nats");
      const node = new HistoryNode({ url, prefix: "c", classes, lossy: (link) => this.#lossy(link) });
      this.#nodes.push(await node.start());
    }
    for (let i = 0; i < this.#options.clients; i++) {
      this.#clients.push(new Client(this, `c${i}`, ROOMS[i % ROOMS.length]!));
    }
  }

  /** Some of what the server tells of is lost on the way, comes twice or late. */
  #lossy(link: NatsLink): NatsLink {
    const listen = link.listen.bind(link);
    link.listen = (subject, heard) =>
      listen(subject, (payload, message) => {
        const dice = this.#random();
        if (dice < 0.03 * this.#loses) return void this.tally.lostRecords++;
        heard(payload, message);
        if (dice > 1 - 0.02 * this.#loses) heard(payload, message);
        else if (dice > 1 - 0.05 * this.#loses) {
          setTimeout(() => heard(payload, message), 10 * this.#random());
        }
      });
    return link;
  }

  async #step(): Promise<void> {
    this.#loses = 1;
    const dice = this.#random();
    if (dice < 0.80) return await this.#say();
    if (dice < 0.975) return void await this.#hop();
    if (dice < 0.985) return this.#cut();
    if (dice < 0.990) return await this.#pause();
    if (this.#options.server && dice < 0.993) return await this.#serverEvent();
  }

  #pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)]!;
  }

  async #say(): Promise<void> {
    const node = this.#pick(this.#nodes), room = this.#pick(ROOMS);
    for (let burst = this.#random() < 0.1 ? this.#options.burst : 1; burst > 0; burst--) {
      // Now and then something is said again under its key, as who does not know what became of it does.
      const again = this.#keys.length > 0 && this.#random() < 0.1;
      const n = again ? this.#pick(this.#keys) : `m${++this.#said}`;
      if (!again && this.#random() < 0.3) this.#keys.push(n);
      const isKeyed = this.#keys.includes(n);
      if (this.#keys.length > 20) this.#keys.shift();
      const frame = extFrame({ v: 1, svc: "chat", type: "msg", room, data: { n } }, LANE.reliable);
      const key = isKeyed ? senderKey(`user ${room}`, n) : null;
      const saying = Promise.resolve(node.rooms.publish(room, frame, { except: null, key }))
        .then((outcome) => this.#saidIn(room, n, outcome)).finally(() => void this.#saying.delete(saying));
      this.#saying.add(saying);
    }
    // Who is refused waits a little before it says more.
    if (this.#isRefused) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#isRefused = false;
    if (this.#saying.size > 100 || this.#random() < 0.2) await Promise.all(this.#saying);
  }

  #saidIn(room: string, n: string, outcome: Stored | number): void {
    if (typeof outcome === "number") {
      this.#isRefused = true;
      return void this.tally.unsaid++;
    }
    this.tally.stored++;
    const { offset, epoch } = outcome;
    const place = `${room} ${epoch}`;
    let stored = this.#stored.get(place);
    if (stored === undefined) this.#stored.set(place, stored = new Map());
    stored.set(offset!, n);
    this.check(room, epoch!, offset!, n);
  }

  /** Somebody leaves, and comes again on any node with its cursor. */
  async #hop(client = this.#pick(this.#clients)): Promise<boolean> {
    if (client.membership !== null) {
      client.node!.rooms.leave(client.membership);
      client.membership = null;
    }
    const node = this.#pick(this.#nodes);
    const restore = () => {
      delete (client as Partial<Client>).receive;
      delete (client as Partial<Client>).deliver;
    };
    // What is live meanwhile is told with what was missed, as a session has it.
    client.receive = client.deliver = () => {};
    const membership = node.rooms.join(client.room, client) as Membership;
    client.membership = membership;
    client.node = node;
    const kept = membership.room.kept!;
    const { cursor } = client;
    const wish = cursor === null ? { last: 0 } : { since: cursor };
    try {
      await kept.prepare(wish);
    } catch {
      node.rooms.leave(membership);
      client.membership = null;
      restore();
      return false;
    }
    membership.heardAfter = kept.last;
    const found = kept.recover(wish);
    const upTo = Math.min(kept.last, membership.heardAfter);
    if (found.recovered) this.tally.recovered++;
    else this.tally.unrecovered++;
    const missed = upTo > found.after ? kept.missed(found.after, upTo) : null;
    const frames: Frame[] = [];
    for (let page = missed?.next() ?? null; page !== null; page = missed!.next()) {
      frames.push(...page as Frame[]);
    }
    restore();
    if (!found.recovered || cursor === null) {
      client.cursor = { epoch: found.epoch, offset: found.after };
      client.from = found.after;
    }
    for (const frame of frames) client.receive(frame);
    return true;
  }

  #cut(): void {
    this.tally.cuts++;
    const proxy = this.#pick(this.#proxies);
    if (this.#random() < 0.5) return proxy.cut();
    proxy.refuse(true);
    proxy.cut();
    setTimeout(() => proxy.refuse(false), 400 * this.#random());
  }

  async #pause(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 200 * this.#random()));
  }

  async #serverEvent(): Promise<void> {
    this.tally.restarts++;
    const dice = this.#random();
    if (dice < 0.2) {
      const up = this.#nodes.find(({ link }) => link.isUp);
      if (up === undefined) return;
      try {
        const manager = await jetstreamManager(up.link.connection!, { timeout: 2000 });
        for await (const { config: { name } } of manager.streams.list()) await manager.streams.delete(name);
      } catch {
        // It was cut off in this very moment.
      }
      return;
    }
    await this.#nats.kill();
    if (dice < 0.4) {
      const copy = `${this.#nats.folder}-copy`;
      cpSync(this.#nats.folder, copy, { recursive: true });
      await this.#nats.resume();
      for (let i = 0; i < 30; i++) await this.#say();
      await Promise.all(this.#saying);
      await this.#nats.kill();
      rmSync(this.#nats.folder, { recursive: true });
      cpSync(copy, this.#nats.folder, { recursive: true });
      rmSync(copy, { recursive: true });
    }
    await this.#nats.resume();
  }

  /** Everything works again, and everybody is there and has been told what there is. */
  async #calm(): Promise<void> {
    this.#loses = 0;
    await Promise.all(this.#saying);
    for (const proxy of this.#proxies) proxy.refuse(false);
    await until(
      "all streams",
      () => this.#nodes.some(({ streams }) => streams.isDegraded) ? null : true,
      60_000,
    );
    for (const client of this.#clients) {
      await until(`${client.session} there`, async () => await this.#hop(client) ? true : null, 60_000);
    }
    // The last word in each room is heard by all, so that they have heard all before it.
    for (const room of ROOMS) {
      const last = `last of ${room}`;
      await until("a last word", async () => {
        const frame = extFrame({ v: 1, svc: "chat", type: "msg", room, data: { n: last } }, LANE.reliable);
        const outcome = await this.#nodes[0]!.rooms.publish(room, frame, {
          except: null,
          key: senderKey("all", `last.${room.at(-1)}`),
        });
        this.#saidIn(room, last, outcome);
        return typeof outcome === "object" ? true : null;
      }, 60_000);
      for (const client of this.#clients) {
        if (client.room !== room) continue;
        await until(`${client.session} to hear the last word`, () => {
          for (const heard of client.heard.values()) {
            for (const n of heard.values()) if (n === last) return true;
          }
          return null;
        }, 60_000);
      }
    }
  }

  #judge(): void {
    for (const { room, session, cursor, from, heard } of this.#clients) {
      const { epoch, offset: upTo } = cursor!;
      for (const [offset, n] of this.#stored.get(`${room} ${epoch}`) ?? []) {
        if (offset <= from || offset > upTo) continue;
        assert.equal(
          heard.get(epoch)?.get(offset),
          n,
          `${session} has missed ${n} at ${offset} of ${room} in ${epoch}`,
        );
      }
    }
    this.tally.epochs += this.#stored.size;
  }
}

export function newTally(): ChaosTally {
  return {
    deliveries: 0,
    stored: 0,
    unsaid: 0,
    recovered: 0,
    unrecovered: 0,
    losses: 0,
    epochs: 0,
    lostRecords: 0,
    restarts: 0,
    cuts: 0,
  };
}
