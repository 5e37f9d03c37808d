// What happens in the tenants, for administrators who watch: sessions, rooms and denials as they come, drops once a second.
// As long as nobody watches, it costs nothing: no tenant is followed.

import type { AdminContext, AdminTenant, EventSink, SessionEvent } from "./admin_context.ts";
import { EventStream } from "./event_stream.ts";
import type { AdminKey } from "./keys.ts";

/** Between two looks at what was dropped, and at who is still there. */
const TICK_MS = 1000;
/** Ticks between two signs of life to a reader that hears nothing else. */
const BEAT_TICKS = 5;
/** Readers at the same time, and those of one key: what it takes is not the others'. */
const READERS_MAX = 64;
const KEY_READERS_MAX = 16;
/** Readers that are left to keys without any. */
const READERS_SPARE = 16;

/** What an event can be. */
export const FEED_TYPES = [
  "session.connected",
  "session.disconnected",
  "session.detached",
  "session.resumed",
  "room.occupied",
  "room.joined",
  "room.left",
  "room.vacated",
  "policy.denied",
  "delivery.dropped",
] as const;
/** One of `FEED_TYPES`. */
export type FeedType = (typeof FEED_TYPES)[number];

/** What somebody wants to see. */
export interface Watching {
  readonly key: AdminKey;
  /** Null for all that the key is good for. */
  readonly tenant: string | null;
  readonly types: ReadonlySet<string>;
}

interface Reader extends Watching {
  readonly stream: EventStream;
}

/** A tenant that is followed. */
interface Followed {
  readonly seat: AdminTenant;
  readonly unwatch: () => void;
  /** Messages dropped before, by lane and reason. */
  dropped: Map<string, number>;
}

export class EventFeed {
  readonly #context: AdminContext;
  #readers: Reader[] = [];
  /** Streams that something else feeds. */
  #adopted: { readonly key: AdminKey; readonly stream: EventStream }[] = [];
  readonly #followed = new Map<AdminTenant, Followed>();
  #stopTicking: (() => void) | null = null;
  #ticks = 0;
  #lastId = 0;

  constructor(context: AdminContext) {
    this.#context = context;
  }

  /** What is to be read by somebody; null when too many read already, in all or with this key. */
  open(watching: Watching): ReadableStream<Uint8Array> | null {
    this.#forgetEnded();
    if (!this.#hasRoom(watching.key)) return null;
    const stream = new EventStream();
    this.#readers.push({ ...watching, stream });
    this.#stopTicking ??= this.#context.every(TICK_MS, () => this.#tick());
    this.#follow();
    return stream.body;
  }

  /** Counts a stream of somebody else's making among the readers. @returns false when too many read already */
  adopt(key: AdminKey, stream: EventStream): boolean {
    this.#adopted = this.#adopted.filter((reader) => !reader.stream.ended);
    this.#forgetEnded();
    if (!this.#hasRoom(key)) return false;
    this.#adopted.push({ key, stream });
    return true;
  }

  /** Ends those who may not read any more. */
  keep(mayStay: (key: AdminKey) => boolean): void {
    for (const { key, stream } of this.#all) if (!mayStay(key)) stream.end("key is not valid any more");
  }

  stop(): void {
    for (const { stream } of this.#all) stream.end("gateway stops");
    this.#tick();
  }

  #tick(): void {
    this.#forgetEnded();
    if (this.#readers.length === 0) {
      // Not when the last reader goes: that may be found out while a watcher is told of something.
      for (const { unwatch } of this.#followed.values()) unwatch();
      this.#followed.clear();
      this.#stopTicking?.();
      this.#stopTicking = null;
      return;
    }
    this.#follow();
    for (const followed of this.#followed.values()) this.#tellDrops(followed);
    if (++this.#ticks % BEAT_TICKS === 0) { for (const { stream } of this.#readers) stream.beat(); }
  }

  get #all(): readonly { readonly key: AdminKey; readonly stream: EventStream }[] {
    return [...this.#readers, ...this.#adopted];
  }

  #hasRoom(key: AdminKey): boolean {
    const all = this.#all.filter(({ stream }) => !stream.ended);
    const own = all.filter((reader) => reader.key.id === key.id).length;
    if (own >= KEY_READERS_MAX) return false;
    // Keys together cannot shut out one that comes later.
    return all.length < (own === 0 ? READERS_MAX : READERS_MAX - READERS_SPARE);
  }

  #forgetEnded(): void {
    this.#readers = this.#readers.filter(({ stream }) => !stream.ended);
  }

  /** Follows the tenants that there are now. */
  #follow(): void {
    const served = new Set(this.#context.tenants());
    for (const seat of served) {
      if (this.#followed.has(seat)) continue;
      const unwatch = seat.watch(this.#sink(seat.tenant.id));
      this.#followed.set(seat, { seat, unwatch, dropped: dropsOf(seat) });
    }
    for (const [seat, { unwatch }] of this.#followed) {
      if (served.has(seat)) continue;
      unwatch();
      this.#followed.delete(seat);
    }
  }

  #sink(tenant: string): EventSink {
    const wants = (type: string) => this.#readers.some(({ types }) => types.has(type));
    const tell = ({ type, subject: { user, sid, session }, room, data }: SessionEvent) =>
      this.#tell(tenant, type, { user, sid, session, room, data });
    return {
      any: true,
      wants,
      tell,
      connected: (subject) => {
        tell({ type: "session.connected", subject });
        return null;
      },
      disconnected: (subject, data) => tell({ type: "session.disconnected", subject, data }),
    };
  }

  #tellDrops(followed: Followed): void {
    const { seat } = followed, now = dropsOf(seat);
    for (const [what, messages] of now) {
      const more = messages - (followed.dropped.get(what) ?? 0);
      if (more === 0) continue;
      const [lane, reason] = what.split(" ");
      this.#tell(seat.tenant.id, "delivery.dropped", { data: { lane, reason, messages: more } });
    }
    followed.dropped = now;
  }

  #tell(tenant: string, type: string, more: object): void {
    let text: string | null = null;
    for (const { key, tenant: only, types, stream } of this.#readers) {
      if (!types.has(type) || only !== null && only !== tenant || !key.reaches(tenant)) continue;
      text ??= this.#write(tenant, type, more);
      stream.push(text);
    }
  }

  #write(tenant: string, type: string, more: object): string {
    const event = { type, time_ms: Math.round(this.#context.unixMs()), tenant, ...more };
    return `id: ${++this.#lastId}\nevent: ${type}\ndata: ${JSON.stringify(event)}\n\n`;
  }
}

/** Messages dropped so far, by lane and reason; few of each. */
function dropsOf({ tenant }: AdminTenant): Map<string, number> {
  const drops = new Map<string, number>();
  for (const { labels, value } of tenant.metrics.drops.messages()) {
    drops.set(`${labels["lane"]} ${labels["reason"]}`, value);
  }
  return drops;
}
