// A tenant's bus where there are several nodes. Members of this node are handed a message at once, those of others over
// NATS: order holds for what one node publishes in a room. While NATS is away, those of this node go on among themselves.

import { SPAN_KIND, type Tracer } from "../tracing/tracer.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Bus, BusReceiver } from "./bus.ts";
import { BUSY } from "./bus.ts";
import type { Link } from "./nats_link.ts";
import type { Nodes } from "./nodes.ts";
import type { Peers } from "./peers.ts";
import { RoomSubscriptions } from "./room_subscriptions.ts";
import type { Subjects } from "./subjects.ts";
import {
  decode,
  encode,
  encodeFrame,
  frameOf,
  KIND,
  name,
  ORDER,
  type WireCounts,
  wireFrame,
} from "./wire.ts";

export interface NatsBusOptions {
  readonly tenant: string;
  readonly receiver: BusReceiver;
  readonly nodes: Nodes;
  readonly peers: Peers;
  readonly subjects: Subjects;
  /** What is said reliably, and what on the hot lane: the one never waits for the other. */
  readonly links: { readonly m: Link; readonly h: Link };
  readonly counts: WireCounts;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  readonly now: () => number;
}

export class NatsBus implements Bus {
  readonly peers: Peers;
  readonly #options: NatsBusOptions;
  readonly #subscriptions: RoomSubscriptions;
  readonly #subjects = new Map<string, { readonly m: string; readonly h: string }>();
  /** Messages published to others, and heard of them. */
  published = 0;
  heard = 0;

  constructor(options: NatsBusOptions) {
    this.#options = options;
    this.peers = options.peers;
    const { tenant, subjects, links, now } = options;
    const heard = (payload: Uint8Array) => this.#hear(payload);
    this.#subscriptions = new RoomSubscriptions({ tenant, subjects, links, heard, now });
  }

  /** Subscriptions of rooms. */
  get size(): number {
    return this.#subscriptions.size;
  }

  publish(room: string, frame: Frame, except: string | null): number {
    const { receiver, nodes, links, tracer } = this.#options;
    if (frame.isExt) nodes.name(frame);
    const deliveries = receiver.receive(room, frame, except);
    // Nobody else is there to hear it.
    if (deliveries === BUSY || nodes.others.size === 0) return deliveries;
    const lane = frame.isExt ? "m" : "h";
    const subject = this.#subjects.get(room)?.[lane] ??
      this.#options.subjects.room(lane, this.#options.tenant, room);
    const span = frame.isExt ? tracer?.active?.child("bus publish", SPAN_KIND.producer) ?? null : null;
    const encoded = encodeFrame(room, frame, nodes.incarnation, span?.traceparent);
    if (links[lane].publish(subject, encoded)) this.published++;
    else span?.fail("NATS is away");
    span?.end();
    return deliveries;
  }

  deliverHere(room: string, frame: Frame, except: string | null): number {
    return this.#options.receiver.receive(room, frame, except);
  }

  occupied(room: string): Promise<void> | null {
    const { subjects, tenant } = this.#options;
    this.#subjects.set(room, { m: subjects.room("m", tenant, room), h: subjects.room("h", tenant, room) });
    return this.#subscriptions.add(room);
  }

  vacated(room: string): void {
    this.#subjects.delete(room);
    this.#subscriptions.remove(room);
  }

  deliver(node: string, session: string, frame: Frame): void {
    const { tenant, subjects, links, nodes } = this.#options;
    const order = encode(KIND.order, tenant, ORDER.sessions, wireFrame(frame, nodes.incarnation), null, [
      session,
    ]);
    links.m.publish(subjects.node(node), order);
  }

  owns(room: string): boolean {
    return this.#options.nodes.owns(room);
  }

  /** Call it each second or so. */
  sweep(): void {
    this.#subscriptions.sweep();
  }

  stop(): void {
    this.#subscriptions.stop();
  }

  #hear(payload: Uint8Array): void {
    const { counts, receiver, nodes, tracer, tenant } = this.#options;
    const message = decode(payload, counts);
    if (message === null) return;
    const { kind, fields } = message;
    if (kind !== KIND.ext && kind !== KIND.hot) return void counts.unknown++;
    const [room, ...wired] = fields;
    const frame = frameOf(wired, (node) => nodes.numberOf(node));
    if (frame === null || typeof room !== "string") return void counts.broken++;
    this.heard++;
    if (kind === KIND.ext) name(frame, wired[3], wired[4]);
    const parent = kind === KIND.ext && tracer !== null ? wired[2] : null;
    const span = typeof parent === "string" && parent !== ""
      ? tracer!.goOn("bus deliver", SPAN_KIND.consumer, parent)
      : null;
    receiver.receiveForeign(room, frame);
    if (span === null) return;
    Object.assign(span.attributes, { "wsprism.tenant": tenant, "wsprism.room": room });
    span.end();
  }
}
