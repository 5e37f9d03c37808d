// Which rooms' messages this node hears from the others: those of rooms that somebody here is in. Subscriptions are cheap,
// and their coming and going is not, so one lingers after the last member has gone; and where rooms come and go by the
// thousands, the group that they fall into is heard as a whole from then on, until nobody is in any of its rooms.

import type { Link, Listening } from "./nats_link.ts";
import { shardOf, type Subjects, token } from "./subjects.ts";

export interface RoomSubscriptionsOptions {
  readonly tenant: string;
  readonly subjects: Subjects;
  /** What is said reliably, and what on the hot lane. */
  readonly links: { readonly m: Link; readonly h: Link };
  readonly heard: (payload: Uint8Array) => void;
  readonly now: () => number;
}

/** How long a room is listened to that nobody is in any more. */
const LINGER_MS = 10_000;
/** Subscriptions of one group within a second above which it is heard as a whole. */
const CHURN_MAX = 32;

interface Listened {
  readonly listening: readonly Listening[];
  /** When nobody was in it any more; infinite while somebody is. */
  emptySince: number;
}

class Shard {
  /** The whole group; null while rooms are listened to one by one. */
  whole: readonly Listening[] | null = null;
  /** Rooms that somebody is in, or that linger, which are listened to by themselves; by their tokens. */
  readonly rooms = new Map<string, Listened>();
  /** Rooms that somebody is in and that have no subscription of their own. */
  readonly covered = new Set<string>();
  /** Subscriptions made in this second. */
  made = 0;
  second = 0;
}

export class RoomSubscriptions {
  readonly #options: RoomSubscriptionsOptions;
  readonly #shards = new Map<number, Shard>();

  constructor(options: RoomSubscriptionsOptions) {
    this.#options = options;
  }

  /** Subscriptions now. */
  get size(): number {
    let size = 0;
    for (const { whole, rooms } of this.#shards.values()) size += (whole === null ? 0 : 2) + 2 * rooms.size;
    return size;
  }

  /** @returns when it is heard; null where it is already */
  add(room: string): Promise<void> | null {
    const number = shardOf(room), name = token(room);
    let shard = this.#shards.get(number);
    if (shard === undefined) this.#shards.set(number, shard = new Shard());
    const known = shard.rooms.get(name);
    if (known !== undefined) {
      known.emptySince = Number.POSITIVE_INFINITY;
      return null;
    }
    if (shard.whole !== null) {
      shard.covered.add(name);
      return null;
    }
    const { tenant, subjects } = this.#options;
    if (this.#churns(shard)) {
      const own = shard.rooms;
      shard.whole = this.#listen((lane) => subjects.shard(lane, tenant, number), (one) => !own.has(one));
      shard.covered.add(name);
    } else {
      shard.rooms.set(name, {
        listening: this.#listen((lane) => subjects.room(lane, tenant, room), () => true),
        emptySince: Number.POSITIVE_INFINITY,
      });
    }
    const { m, h } = this.#options.links;
    return Promise.all([m.settled(), h.settled()]).then(() => {});
  }

  remove(room: string): void {
    const shard = this.#shards.get(shardOf(room));
    if (shard === undefined) return;
    const name = token(room);
    shard.covered.delete(name);
    const known = shard.rooms.get(name);
    if (known !== undefined) known.emptySince = this.#options.now();
  }

  /** Listens no more to what has lingered; call it each second or so. */
  sweep(): void {
    const before = this.#options.now() - LINGER_MS;
    for (const [number, shard] of this.#shards) {
      for (const [name, { emptySince, listening }] of shard.rooms) {
        if (emptySince > before) continue;
        shard.rooms.delete(name);
        for (const one of listening) one.stop();
      }
      if (shard.rooms.size > 0 || shard.covered.size > 0) continue;
      for (const one of shard.whole ?? []) one.stop();
      this.#shards.delete(number);
    }
  }

  stop(): void {
    for (const { whole, rooms } of this.#shards.values()) {
      for (const one of whole ?? []) one.stop();
      for (const { listening } of rooms.values()) for (const one of listening) one.stop();
    }
    this.#shards.clear();
  }

  #churns(shard: Shard): boolean {
    const second = Math.floor(this.#options.now() / 1000);
    if (shard.second !== second) {
      shard.second = second;
      shard.made = 0;
    }
    return ++shard.made > CHURN_MAX;
  }

  /** @param wanted whether what comes for the room of this token is not heard otherwise */
  #listen(subject: (lane: "m" | "h") => string, wanted: (room: string) => boolean): Listening[] {
    const { links, heard } = this.#options;
    return (["m", "h"] as const).map((lane) =>
      links[lane].listen(subject(lane), (payload, message) => {
        const { subject } = message;
        if (wanted(subject.slice(subject.lastIndexOf(".") + 1))) heard(payload);
      })
    );
  }
}
