// What a gateway with rooms that keep what is said must do, told naively: a list of all that was said, where it stood, and
// who heard it. The rooms, their histories, the room service and the tables of the disk are the real ones; clients, time,
// commits and crashes are a test's.

import { strict as assert } from "node:assert";
import fc from "fast-check";
import { LocalBus } from "../../src/cluster/local.ts";
import type { Envelope } from "../../src/protocol/envelope.ts";
import { extFrame, type Frame, LANE } from "../../src/protocol/frame.ts";
import { Fanout } from "../../src/room/fanout.ts";
import type { Missed, Stored } from "../../src/room/kept_room.ts";
import { RoomClasses } from "../../src/room/room_class.ts";
import { type Membership, Rooms } from "../../src/room/rooms.ts";
import { senderKey } from "../../src/room/sent_keys.ts";
import { RoomService } from "../../src/service/room.ts";
import type { Context } from "../../src/service/service.ts";
import { keeping } from "./kept.ts";
import { TableDisk } from "./table_disk.ts";

export const ROOMS = ["m1", "m2", "d1", "d2"] as const;
type RoomName = (typeof ROOMS)[number];
const CLIENTS = 4;
const MAX_AGE_MS = 60_000;
const KEY_MS = 300_000;

/** One thing that happens. */
export type Step =
  | { do: "join"; client: number; room: RoomName; with: "nothing" | "cursor" | "last" | "forged"; n: number }
  | { do: "leave"; client: number; room: RoomName }
  | { do: "say"; client: number; room: RoomName; key: number | null; bytes: number }
  | { do: "commit" | "fail" | "turn" | "catchUp" | "sweep" }
  | { do: "wait"; ms: number }
  | { do: "clear"; room: RoomName }
  | { do: "page"; room: RoomName; back: boolean; at: number; limit: number }
  | { do: "crash"; committed: boolean }
  | { do: "bounds"; messages: number };

const client = fc.nat(CLIENTS - 1), room = fc.constantFrom(...ROOMS);
const weighted = <T extends Step>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });
const STEP: fc.Arbitrary<Step> = fc.oneof(
  weighted(
    6,
    fc.record({
      do: fc.constant("join" as const),
      client,
      room,
      with: fc.constantFrom(
        "nothing" as const,
        "cursor" as const,
        "cursor" as const,
        "last" as const,
        "forged" as const,
      ),
      n: fc.nat(8),
    }),
  ),
  weighted(3, fc.record({ do: fc.constant("leave" as const), client, room })),
  weighted(
    14,
    fc.record({
      do: fc.constant("say" as const),
      client,
      room,
      key: fc.option(fc.nat(2), { freq: 3 }),
      bytes: fc.nat(300),
    }),
  ),
  weighted(12, fc.record({ do: fc.constantFrom("commit" as const, "turn" as const, "catchUp" as const) })),
  weighted(1, fc.record({ do: fc.constantFrom("fail" as const, "sweep" as const) })),
  weighted(
    1,
    fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(500, 20_000, 61_000, 200_000) }),
  ),
  weighted(1, fc.record({ do: fc.constant("clear" as const), room })),
  weighted(
    1,
    fc.record({
      do: fc.constant("page" as const),
      room,
      back: fc.boolean(),
      at: fc.nat(12),
      limit: fc.integer({ min: 1, max: 5 }),
    }),
  ),
  weighted(1, fc.record({ do: fc.constant("crash" as const), committed: fc.boolean() })),
  weighted(1, fc.record({ do: fc.constant("bounds" as const), messages: fc.integer({ min: 1, max: 6 }) })),
);

/** What was seen, so that a test can say that it has seen enough. */
export class Seen {
  histories = 0;
  deliveries = 0;
  recovered = 0;
  duplicates = 0;
  crashes = 0;
  /** Sessions that ended because they could not be given what they were promised. */
  lost = 0;
  readonly reasons: Record<string, number> = {};
}

/** A message that is kept, or was. */
interface Said {
  readonly epoch: string;
  readonly offset: number;
  readonly bytes: number;
  readonly at: number;
}

interface Known extends Said {
  readonly until: number;
  readonly room: RoomName;
  /** Over a crash, the disk alone knows it, and only its rooms ask there. */
  crashed: boolean;
}

/** How many promises stand behind each other at most, and some more. */
async function settle(): Promise<void> {
  for (let i = 0; i < 24; i++) await null;
}

class Client {
  readonly context: Context;
  readonly house: HistoryHouse;
  /** What it was told in each room: its cursor, and what has to come next. */
  readonly cursors = new Map<string, { epoch: string; offset: number }>();
  readonly memberships = new Map<string, Membership>();
  readonly #missed: Missed[] = [];
  #behind: Frame[] = [];
  /** Offsets that it was promised, of the replay that is told. */
  readonly #next = new Map<string, { epoch: string; offset: number; sure: boolean }>();
  /** In rooms that it is in: the offset after which it has been given everything. */
  readonly #first = new Map<string, number>();
  /** What is told to it of before that. */
  readonly #older = new Map<string, { epoch: string; offset: number; left: number }>();
  #asked: { with: string; since: { epoch: string; offset: number } | null } | null = null;

  constructor(house: HistoryHouse, user: string) {
    this.house = house;
    const take = (frame: Frame) =>
      this.#missed.length > 0 ? void this.#behind.push(frame) : this.#take(frame);
    const partial: Partial<Context> = {
      user,
      sid: "",
      session: user,
      traceId: user,
      receive: take,
      deliver: take,
      membership: (name) => this.memberships.get(name),
      mayExt: () => true,
      join: (name) => {
        const known = this.memberships.get(name);
        if (known !== undefined) return known;
        const joined = house.rooms.join(name, this.context);
        if (!("ok" in joined)) this.memberships.set(name, joined);
        return joined;
      },
      leave: (membership) => {
        if (membership.index < 0) return;
        const { name } = membership.room;
        house.rooms.leave(membership);
        this.memberships.delete(name);
        this.#next.delete(name);
        this.#older.delete(name);
      },
      recover: (missed) => void this.#missed.push(missed),
    };
    this.context = partial as Context;
  }

  get isBehind(): boolean {
    return this.#missed.length > 0;
  }

  join(name: RoomName, how: Step & { do: "join" }): void {
    // One at a time, so that an answer has its question.
    if (this.isBehind) return;
    const known = this.cursors.get(name) ?? null;
    const cursor = how.with === "forged" && known !== null
      ? { ...known, offset: known.offset + how.n + 50 }
      : known;
    const since = (how.with === "cursor" || how.with === "forged") ? cursor : null;
    const data = since !== null ? { since } : how.with === "last" ? { last: how.n } : {};
    this.#asked = { with: since === null ? how.with : how.with, since };
    const value = { read: () => ({ ok: true, value: data }) };
    const message = { svc: "room", type: "join", room: name, seq: null, data: value } as unknown as Envelope;
    void this.house.service.handle(this.context, message);
  }

  leave(name: RoomName): void {
    if (this.isBehind) return;
    const membership = this.memberships.get(name);
    if (membership === undefined) return;
    this.context.leave(membership);
  }

  /** Is given what it missed, as far as that can be read now. */
  async catchUp(): Promise<void> {
    while (this.#missed.length > 0) {
      const page = this.#missed[0]!.next();
      if (page instanceof Promise) {
        let isThere = false, failed = false;
        const waiting = page.then((frames) => {
          isThere = true;
          return frames;
        }, () => {
          failed = true;
          return null;
        });
        for (let tries = 0; tries < 3 && !isThere && !failed; tries++) {
          this.house.disk.commit();
          await settle();
        }
        assert.ok(isThere || failed, "a page comes");
        const frames = await waiting;
        if (failed) return this.#lose();
        this.#told(frames);
      } else this.#told(page);
    }
    for (const frame of this.#behind.splice(0)) this.#take(frame);
  }

  /** It was promised what cannot be read any more: its session ends, and it comes back as another. */
  #lose(): void {
    for (const membership of [...this.memberships.values()]) this.context.leave(membership);
    for (const missed of this.#missed) missed.stop();
    this.cut();
    this.house.seen.lost++;
  }

  /** Its gateway is gone. */
  cut(): void {
    this.#missed.length = 0;
    this.#behind = [];
    this.memberships.clear();
    this.#next.clear();
    this.#older.clear();
  }

  /** It hears nothing more: was it given all there is? */
  checkUpToDate(): void {
    for (const [name, { room }] of this.memberships) {
      const kept = room.kept!, next = this.#next.get(name);
      if (next === undefined || next.epoch !== kept.epoch) continue;
      assert.equal(next.offset, kept.last + 1, `${this.context.user} has heard all of ${name}`);
    }
  }

  #told(page: readonly Frame[] | null): void {
    if (page === null) this.#missed.shift();
    else for (const frame of page) this.#take(frame);
  }

  #take(frame: Frame): void {
    const message = JSON.parse(frame.payload as string);
    if (message.svc === "sys") {
      if (message.type === "joined") this.#joined(message.room, message.data);
      return;
    }
    const { seen } = this.house;
    seen.deliveries++;
    const name = message.room as RoomName, { offset } = message;
    const epoch = this.house.place(name, message.data.text, offset);
    const older = this.#older.get(name);
    if (older !== undefined) {
      assert.deepEqual(
        [epoch, offset],
        [older.epoch, older.offset],
        `${name}: what it had not heard, in order`,
      );
      older.offset++;
      if (--older.left === 0) this.#older.delete(name);
      return;
    }
    const next = this.#next.get(name);
    if (next !== undefined) {
      if (next.epoch === epoch || next.sure) {
        assert.equal(epoch, next.epoch, `${name} goes on in its epoch`);
        assert.equal(offset, next.offset, `${name}: the next message, neither twice nor one missing`);
      } else assert.equal(offset, 1, `${name}: a new epoch begins at its beginning`);
    }
    this.#next.set(name, { epoch, offset: offset + 1, sure: false });
    const cursor = this.cursors.get(name);
    if (cursor !== undefined) this.cursors.set(name, { epoch: cursor.epoch, offset });
  }

  // deno-lint-ignore no-explicit-any -- what the wire says
  #joined(name: RoomName, { epoch, offset, recovered, replayed, reason }: any): void {
    const asked = this.#asked!, { seen, rooms } = this.house;
    assert.ok(typeof epoch === "string" && epoch.length > 0, "no empty epoch");
    let after = offset;
    if (asked.since !== null) {
      const { since } = asked;
      seen.reasons[reason ?? "recovered"] = (seen.reasons[reason ?? "recovered"] ?? 0) + 1;
      assert.equal(recovered, reason === undefined);
      if (recovered) {
        seen.recovered++;
        assert.equal(since.epoch, epoch);
        // A member that joins once more is given only what it has not heard: all between these it has.
        after = since.offset;
      } else {
        this.house.checkReason(name, since, { epoch, offset, reason });
        if (asked.with === "cursor" && !this.house.isTight) {
          assert.notEqual(reason, "ahead", "an honest cursor is never ahead");
        }
      }
    }
    const before = this.#next.get(name);
    this.cursors.set(name, { epoch, offset: before === undefined ? offset - (replayed ?? 0) : offset });
    const kept = rooms.find(name)?.kept;
    if (kept === undefined || kept === null) return;
    const first = offset - replayed + 1;
    if (before === undefined) {
      this.#first.set(name, offset - (replayed ?? 0));
      // Its first time: the replay, which ends where it is told to be, then what is live.
      if (recovered && asked.since !== null) assert.equal(replayed, offset - after, "all after the cursor");
      if (replayed === undefined || replayed === 0) {
        this.#next.set(name, { epoch, offset: offset + 1, sure: false });
      } else this.#next.set(name, { epoch, offset: first, sure: true });
    } else if (replayed > 0) {
      // What it had not heard when it came first; what is live goes on behind that.
      const end = this.#first.get(name)!;
      this.#older.set(name, { epoch, offset: end - replayed + 1, left: replayed });
      this.#first.set(name, end - replayed);
    }
  }
}

export class HistoryHouse {
  readonly seen: Seen;
  readonly service = new RoomService();
  readonly disk: TableDisk;
  rooms!: Rooms;
  now = 1_000_000;
  #fanout!: Fanout;
  #clients: Client[] = [];
  #epochs = 0;
  #said = 0;
  #messages = 6;
  /** The least that was ever kept. */
  #leastMessages = 6;
  readonly #budget: number;
  /** By text. */
  readonly #log = new Map<string, Said & { room: RoomName }>();
  /** The text at each place. */
  readonly #places = new Map<string, string>();
  readonly #keys = new Map<string, Known>();
  /** Keys of messages of which it is not known what becomes of them, by text. */
  readonly #pending = new Map<string, string>();
  /** Keys of those of which nobody was told, because of a crash. */
  readonly #lost = new Set<string>();
  /** Rooms whose epoch may have changed on disk, by what administrators or time have done. */
  readonly #renewed = new Set<string>();
  readonly #diskEpochs = new Map<string, string>();
  readonly #settling: Promise<void>[] = [];
  readonly #faults: unknown[] = [];
  #classes!: RoomClasses;

  constructor(seen: Seen, budget: number) {
    this.seen = seen;
    this.#budget = budget;
    this.disk = new TableDisk(() => this.now);
    this.#bound();
    this.#start();
    seen.histories++;
  }

  /** Rooms push each other out, with messages under way. */
  get isTight(): boolean {
    return this.#budget > 0;
  }

  async run(steps: readonly Step[]): Promise<void> {
    try {
      for (const step of steps) {
        await this.#step(step);
        this.#check();
      }
      await this.#quiet();
      for (const one of this.#clients) one.checkUpToDate();
    } finally {
      this.rooms.histories.stop();
      this.disk.close();
    }
  }

  /** Where a message that was heard stands: as its sender was told, and as all others heard it. @returns its epoch */
  place(room: RoomName, text: string, offset: number): string {
    const known = this.#log.get(text);
    const epoch = known?.epoch ?? this.rooms.find(room)!.kept!.epoch;
    assert.ok(known === undefined || known.offset === offset && known.room === room, `${text} at ${offset}`);
    this.#put(text, { epoch, offset, room, bytes: 0, at: this.now });
    return epoch;
  }

  checkReason(
    name: RoomName,
    since: { epoch: string; offset: number },
    told: { epoch: string; offset: number; reason: string },
  ): void {
    const isOther = since.epoch !== told.epoch;
    assert.equal(told.reason === "epoch", isOther, `${name}: the epoch is told first`);
    if (isOther) return;
    assert.equal(told.reason === "ahead", since.offset > told.offset);
    if (told.reason !== "trimmed") return;
    // Something between the cursor and the oldest message may not be there any more: by one bound or another.
    const gone = [...this.#log.values()].find((said) =>
      said.room === name && said.epoch === since.epoch && said.offset === since.offset + 1
    );
    if (gone === undefined) return;
    // A late answer may stand behind messages that are on their way to this member already.
    const last = Math.max(told.offset, this.rooms.find(name)?.kept?.last ?? 0);
    const isMany = last - since.offset > this.#leastMessages;
    const isOld = this.now - gone.at >= MAX_AGE_MS;
    const isLarge = this.#bytesAfter(name, since) > MAX_BYTES;
    assert.ok(isMany || isOld || isLarge, `${name}: nothing says that ${since.offset + 1} had to go`);
  }

  async #step(step: Step): Promise<void> {
    switch (step.do) {
      case "join":
        return this.#clients[step.client]!.join(step.room, step);
      case "leave":
        return this.#clients[step.client]!.leave(step.room);
      case "say":
        return this.#say(step);
      case "commit":
        this.disk.commit();
        return await settle();
      case "fail":
        this.disk.fail();
        return await settle();
      case "turn":
        return void this.#fanout.advance();
      case "catchUp":
        for (const one of this.#clients) await one.catchUp();
        return;
      case "sweep":
        // Rooms in use say so far more often than those go that nobody uses.
        this.rooms.histories.sweep();
        this.disk.commit();
        await settle();
        return this.disk.sweep();
      case "wait":
        this.now += step.ms;
        if (step.ms > MAX_AGE_MS) { for (const name of ROOMS) this.#renewed.add(name); }
        return;
      case "clear": {
        // What is under way comes first: messages name no epoch, and a member that joins once more meanwhile hears them behind
        // an answer with the next one.
        this.disk.commit();
        await settle();
        while (this.#fanout.advance());
        for (const one of this.#clients) await one.catchUp();
        this.#renewed.add(step.room);
        const cleared = this.rooms.find(step.room)?.kept?.clear();
        cleared?.catch(() => {});
        return await settle();
      }
      case "page":
        return await this.#page(step);
      case "crash":
        return this.#crash(step.committed);
      case "bounds":
        this.#messages = step.messages;
        this.#leastMessages = Math.min(this.#leastMessages, step.messages);
        this.#bound();
        return this.rooms.applyClasses();
    }
  }

  #say({ client: number, room: name, key, bytes }: Step & { do: "say" }): void {
    const speaker = this.#clients[number]!;
    if (!speaker.memberships.has(name)) {
      speaker.join(name, { do: "join", client: number, room: name, with: "cursor", n: 0 });
    }
    if (!speaker.memberships.has(name)) return;
    const user = speaker.context.user, text = `t${++this.#said}${"x".repeat(bytes)}`;
    const frame = extFrame({ v: 1, svc: "chat", type: "msg", room: name, data: { text } }, LANE.reliable);
    const as = senderKey(user, key === null ? null : `k${key}`);
    const at = this.now, house = this.rooms;
    const note = (outcome: number | Stored) => {
      if (house !== this.rooms || typeof outcome === "number") return;
      const { epoch, offset, duplicate } = outcome;
      assert.ok(epoch !== null && offset !== null);
      this.#pending.delete(text);
      const known = this.#keys.get(`${user} ${key}`);
      if (duplicate) {
        this.seen.duplicates++;
        // Said before a crash, and its ack was lost.
        if (this.#lost.has(`${user} ${key}`)) return;
        assert.ok(known !== undefined && this.now <= known.until + KEY_MS, `${user} has said ${key} before`);
        assert.deepEqual([epoch, offset], [known.epoch, known.offset]);
        assert.equal(this.#log.get(text), undefined, "a duplicate is not said again");
        return;
      }
      if (known !== undefined) {
        if (known.crashed) this.#lost.add(`${user} ${key}`);
        assert.ok(
          this.now >= known.until || known.crashed && name.startsWith("m"),
          `${user} said ${key} at ${known.offset} of ${known.room}`,
        );
      }
      this.#put(text, { epoch, offset, room: name, bytes: frame.bytes, at });
      if (key !== null) {
        this.#keys.set(`${user} ${key}`, {
          ...this.#log.get(text)!,
          until: at + KEY_MS,
          room: name,
          crashed: false,
        });
      }
    };
    if (key !== null) this.#pending.set(text, `${user} ${key}`);
    const outcome = house.publish(name, frame, { except: null, key: as });
    if (outcome instanceof Promise) {
      this.#settling.push(outcome.then(note).catch((fault: unknown) => void this.#faults.push(fault)));
    } else note(outcome);
  }

  /** @throws where one place would have two messages, or one message two places */
  #put(text: string, said: Said & { room: RoomName }): void {
    const place = `${said.room} ${said.epoch} ${said.offset}`;
    const there = this.#places.get(place);
    assert.ok(there === undefined || there === text, `${place} has two messages`);
    this.#places.set(place, text);
    const known = this.#log.get(text);
    if (known !== undefined) {
      assert.deepEqual([known.room, known.epoch, known.offset], [said.room, said.epoch, said.offset], text);
    }
    if (known === undefined || known.bytes === 0) this.#log.set(text, said);
  }

  async #page({ room: name, back, at, limit }: Step & { do: "page" }): Promise<void> {
    const kept = this.rooms.histories.look(name);
    if (kept === null) return;
    const asked = kept.page(
      back ? { before: at, limit, maxBytes: 1e6 } : { after: at, limit, maxBytes: 1e6 },
    );
    if (asked instanceof Promise) {
      this.disk.commit();
      await settle();
    }
    const { frames, first, last, epoch } = await asked;
    const offsets = frames.map(({ payload }) => {
      const { offset, data: { text } } = JSON.parse(payload as string);
      const known = this.#log.get(text);
      if (known !== undefined) assert.deepEqual([known.epoch, known.offset], [epoch, offset]);
      return offset as number;
    });
    assert.ok(offsets.length <= limit);
    offsets.forEach((offset, i) => {
      assert.ok(offset >= first && offset <= last);
      if (i > 0) assert.equal(offset, offsets[i - 1]! + 1);
    });
    if (!back && offsets.length > 0) assert.equal(offsets[0], Math.max(first, at + 1));
    if (back && offsets.length > 0) assert.equal(offsets.at(-1), Math.min(last, at - 1));
  }

  #crash(committed: boolean): void {
    this.seen.crashes++;
    const former = this.rooms;
    this.disk.crash(committed);
    for (const [name, known] of [...this.#keys]) if (known.room.startsWith("m")) this.#keys.delete(name);
    for (const known of this.#keys.values()) known.crashed = true;
    for (const key of this.#pending.values()) this.#lost.add(key);
    this.#pending.clear();
    this.#settling.length = 0;
    this.#start();
    former.histories.stop();
  }

  #start(): void {
    this.#fanout = new Fanout(() => {}, 3);
    const openBus = (receiver: ConstructorParameters<typeof LocalBus>[0]) => new LocalBus(receiver);
    const limits = { max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 };
    const histories = {
      ...keeping([], {
        disk: this.disk,
        maxBytes: this.#budget,
        now: () => this.now,
        classes: () => this.#classes,
      }),
      newEpoch: () => `e${++this.#epochs}`,
    };
    this.rooms = new Rooms({ limits: () => limits, fanout: this.#fanout, openBus, histories });
    if (this.#clients.length === 0) {
      this.#clients = Array.from({ length: CLIENTS }, (_, i) => new Client(this, `u${i}`));
    } else for (const one of this.#clients) one.cut();
  }

  #bound(): void {
    const history = { max_messages: this.#messages, max_bytes: MAX_BYTES, max_age_ms: MAX_AGE_MS };
    this.#classes = new RoomClasses([
      { match: "m*", history: { ...history, store: "memory" }, presence: false },
      { match: "d*", history: { ...history, store: "disk" }, presence: false },
    ]);
  }

  #bytesAfter(name: RoomName, { epoch, offset }: { epoch: string; offset: number }): number {
    let bytes = 0;
    for (const said of this.#log.values()) {
      if (said.room === name && said.epoch === epoch && said.offset > offset) bytes += said.bytes;
    }
    return bytes;
  }

  /** What must hold at any time. */
  #check(): void {
    if (this.#faults.length > 0) throw this.#faults[0];
    let messages = 0, bytes = 0;
    for (const name of ROOMS) {
      const kept = this.rooms.find(name)?.kept;
      if (kept === undefined || kept === null) continue;
      messages += kept.size;
      bytes += kept.bytes;
      assert.ok(name.startsWith("d") || kept.size <= this.#messages, `${name} keeps no more than it may`);
      if (!name.startsWith("d") || kept.epoch === "" || kept.last === 0) continue;
      const known = this.#diskEpochs.get(name);
      if (known !== undefined && known !== kept.epoch) {
        assert.ok(this.#renewed.delete(name), `${name} on disk has another epoch without a reason`);
      }
      this.#diskEpochs.set(name, kept.epoch);
    }
    const { counts } = this.rooms.histories;
    assert.deepEqual([counts.messages, counts.bytes], [messages, bytes]);
  }

  async #quiet(): Promise<void> {
    for (let rounds = 0; rounds < 10; rounds++) {
      this.disk.commit();
      await settle();
      while (this.#fanout.advance());
      for (const one of this.#clients) await one.catchUp();
    }
    await Promise.all(this.#settling);
    this.#check();
  }
}

const MAX_BYTES = 1500;

/** What happens, up to so many steps, and the budget of all rooms: none, or one in which they push each other out. */
export function historyOf(steps: number): fc.Arbitrary<{ steps: Step[]; budget: number }> {
  return fc.record({
    steps: fc.array(STEP, { minLength: 5, maxLength: steps, size: "max" }),
    budget: fc.constantFrom(0, 0, 2600),
  });
}

export const HISTORY = historyOf(60);
