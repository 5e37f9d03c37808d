// A node as far as rooms with a history in NATS are concerned: a connection, the streams and a tenant's rooms, with members
// that write down what they hear.

import { within } from "../raw_client.ts";
import { LocalBus } from "../../src/cluster/local.ts";
import { NatsLink } from "../../src/cluster/nats_link.ts";
import { NatsStreams } from "../../src/cluster/nats_streams.ts";
import { SILENT } from "../../src/log.ts";
import { SYSTEM_CLOCK } from "../../src/gateway/clock.ts";
import { extFrame, type Frame, LANE } from "../../src/protocol/frame.ts";
import { Fanout } from "../../src/room/fanout.ts";
import { HistoryBudget } from "../../src/room/history_budget.ts";
import type { KeptRoom, Page, Recovered, Stored, Wish } from "../../src/room/kept_room.ts";
import { RoomClasses, type RoomClassSpec } from "../../src/room/room_class.ts";
import { type Membership, Rooms, type Subscriber } from "../../src/room/rooms.ts";
import { senderKey } from "../../src/room/sent_keys.ts";

export const CLASS: RoomClassSpec = {
  match: "chat:*",
  history: { max_messages: 100, max_bytes: 1_048_576, max_age_ms: 300_000, store: "nats" },
  presence: false,
};

export interface HistoryNodeOptions {
  readonly url: string;
  readonly prefix: string;
  readonly classes?: readonly RoomClassSpec[];
  readonly replicas?: number;
  readonly maxHistoryBytes?: number;
  readonly now?: () => number;
  readonly unixMs?: () => number;
  /** Puts something between the streams and the connection. */
  readonly lossy?: (link: NatsLink) => NatsLink;
}

let members = 0;

interface Message {
  readonly svc: string;
  readonly data: Record<string, unknown>;
  readonly offset: number;
}

/** A member that hears. */
export class Hearer implements Subscriber {
  readonly session = `s${++members}`;
  readonly user = `u${members}`;
  readonly sid = "";
  readonly traceId = "";
  readonly heard: { readonly n: unknown; readonly offset: number }[] = [];
  readonly told: Record<string, unknown>[] = [];
  membership: Membership | null = null;
  #wake: () => void = () => {};

  receive(frame: Frame): void {
    const message = JSON.parse(frame.payload as string) as Message;
    const { svc, data, offset } = message;
    if (svc === "sys") this.told.push(data);
    else this.heard.push({ n: data["n"], offset });
    this.#wake();
  }

  deliver(frame: Frame): void {
    this.receive(frame);
  }

  get said(): unknown[] {
    return this.heard.map(({ n }) => n);
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds()) await within(new Promise<void>((resolve) => this.#wake = resolve), what);
  }
}

export class HistoryNode {
  readonly link: NatsLink;
  readonly streams: NatsStreams;
  readonly rooms: Rooms;
  classes: RoomClasses;
  readonly #fanout: Fanout;

  constructor(
    { url, prefix, classes = [CLASS], replicas = 1, maxHistoryBytes = 0, now, unixMs, lossy }:
      HistoryNodeOptions,
  ) {
    const { wait, random, newId, every } = SYSTEM_CLOCK;
    const clock = { ...SYSTEM_CLOCK, now: now ?? SYSTEM_CLOCK.now, unixMs: unixMs ?? SYSTEM_CLOCK.unixMs };
    this.classes = new RoomClasses(classes);
    this.link = new NatsLink({
      name: "reliable",
      label: "test",
      servers: url.split(","),
      user: null,
      password: null,
      token: null,
      credentials: null,
      tls: null,
      log: SILENT,
      wait,
      random,
    });
    this.streams = new NatsStreams({
      link: lossy?.(this.link) ?? this.link,
      prefix,
      replicas,
      maxBytes: 0,
      log: SILENT,
      clock: { now: clock.now, wait, newId, every },
    });
    this.#fanout = new Fanout(() => queueMicrotask(() => this.#fanout.advance()));
    this.rooms = new Rooms({
      limits: () => ({ max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 }),
      fanout: this.#fanout,
      openBus: (receiver) => new LocalBus(receiver),
      histories: {
        classes: () => this.classes,
        budget: new HistoryBudget(() => maxHistoryBytes),
        disk: null,
        streams: this.streams.of("acme"),
        now: clock.now,
        unixMs: clock.unixMs,
        wait,
        newEpoch: newId,
      },
    });
  }

  async start(): Promise<this> {
    this.streams.start();
    await this.link.start();
    this.rooms.applyClasses();
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.rooms.histories.stop();
    this.streams.stop();
    await this.link.stop();
  }

  /** Says something, and waits for what became of it. */
  async say(
    room: string,
    n: unknown,
    key: string | null = null,
    except: string | null = null,
  ): Promise<Stored | number> {
    const frame = extFrame({ v: 1, svc: "chat", type: "msg", room, data: { n } }, LANE.reliable);
    const options = { except, key: senderKey("user u", key) };
    return await this.rooms.publish(room, frame, options);
  }

  /** The room, once it is known here. */
  async room(name: string, wish: Wish | null = null): Promise<KeptRoom> {
    const kept = this.rooms.histories.look(name)!;
    await kept.prepare(wish);
    return kept;
  }

  /** Joins as the room service does: what was missed comes before what is live. */
  async join(
    name: string,
    wish: Wish | null = null,
    hearer = new Hearer(),
  ): Promise<{ hearer: Hearer; found: Recovered | null }> {
    const membership = this.rooms.join(name, hearer) as Membership;
    hearer.membership = membership;
    const kept = membership.room.kept!;
    await kept.prepare(wish);
    if (wish === null) return { hearer, found: null };
    const found = kept.recover(wish);
    const upTo = Math.min(kept.last, membership.heardAfter);
    if (upTo > found.after) {
      const missed = kept.missed(found.after, upTo);
      const before: Frame[] = [];
      for (let page = missed.next(); page !== null; page = missed.next()) before.push(...page as Frame[]);
      const live = hearer.heard.splice(0);
      for (const frame of before) hearer.receive(frame);
      hearer.heard.push(...live);
    }
    return { hearer, found };
  }

  async page(name: string, range: { after: number } | { before: number }, limit = 100): Promise<Page> {
    return await (await this.room(name)).page({ ...range, limit, maxBytes: 1_000_000 });
  }
}
