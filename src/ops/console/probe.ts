// What a console sees of one tenant beyond its numbers: the last decisions of policy, who is denied most, which rooms cost
// most, and live what somebody watches. Attached only while the configuration has a console; all of it is bounded, and a
// flood costs no more than the first messages of it.

import type { Frame } from "../../protocol/frame.ts";
import type { RoomListener, RoomTap } from "../../room/room_tap.ts";
import type { DecisionRecorder, Finding, FoundMessage } from "../../session/recorder.ts";
import type { SessionHandle } from "../../session/session_handle.ts";
import type { Tenant } from "../../session/tenant.ts";
import { type Decision, decisionOf, weightOf } from "./decision.ts";
import { Ring } from "./ring.ts";
import { TopSketch } from "./top_sketch.ts";

/** Denials, and messages that passed, that are kept of one tenant. */
const KEPT_MAX = 250;
const KEPT_CHARS_MAX = 262_144;
/** Of messages that pass, one in so many is kept, and no more than that in a second. Powers of two cost no division. */
const SAMPLE = 32;
const SAMPLED_PER_SECOND = 20;
/** Denials that are kept in a second; of one session and rule one. */
const FOUND_PER_SECOND = 50;
/** Names of users and rooms that are counted, and for how long. */
const NAMES_MAX = 256;
const STRETCH_MS = 60_000;

/** Who watches a session or a room. MUST NOT throw. */
export type Watcher<T> = (seen: T) => void;

/** A message to a room. */
export interface Heard {
  readonly timeMs: number;
  readonly frame: Frame;
  readonly deliveries: number;
}

export interface ProbeOptions {
  readonly tenant: Tenant;
  readonly tap: RoomTap;
  /** Milliseconds of a monotonic clock, and Unix time. */
  readonly now: () => number;
  readonly unixMs: () => number;
}

export class Probe implements DecisionRecorder, RoomListener {
  readonly deniedUsers: TopSketch;
  readonly roomDeliveries: TopSketch;
  readonly #options: ProbeOptions;
  readonly #found = new Ring<Decision>(KEPT_MAX, KEPT_CHARS_MAX, weightOf);
  readonly #passed = new Ring<Decision>(KEPT_MAX, KEPT_CHARS_MAX, weightOf);
  /** By session and by room. */
  readonly #sessionWatchers = new Map<string, Set<Watcher<Decision>>>();
  readonly #roomWatchers = new Map<string, Set<Watcher<Heard>>>();
  /** Denials of this second by session and rule. */
  readonly #recent = new Map<string, Decision>();
  #second = 0;
  #foundNow = 0;
  #sampledNow = 0;
  #skip = SAMPLE;
  #seq = 0;

  constructor(options: ProbeOptions) {
    this.#options = options;
    const now = options.now();
    this.deniedUsers = new TopSketch(NAMES_MAX, STRETCH_MS, now);
    this.roomDeliveries = new TopSketch(NAMES_MAX, STRETCH_MS, now);
  }

  attach(): void {
    const { tenant, tap } = this.#options;
    tenant.recorder = this;
    tap.listener = this;
  }

  detach(): void {
    const { tenant, tap } = this.#options;
    tenant.recorder = null;
    tap.listener = null;
  }

  /** Lets go of what is too old; call it every few seconds. */
  turn(): void {
    const now = this.#options.now();
    this.deniedUsers.turn(now);
    this.roomDeliveries.turn(now);
  }

  /** The last decisions, denials and samples of what passed, oldest first. */
  decisions(): Decision[] {
    return [...this.#found.all(), ...this.#passed.all()].sort((a, b) => a.seq - b.seq);
  }

  /** The last denials, oldest first. */
  findings(): Decision[] {
    return this.#found.all();
  }

  /** Tells of each decision about a session's messages until the returned function is called. */
  watchSession(session: string, watcher: Watcher<Decision>): () => void {
    return watch(this.#sessionWatchers, session, watcher);
  }

  /** Tells of each message to a room until the returned function is called. */
  watchRoom(room: string, watcher: Watcher<Heard>): () => void {
    return watch(this.#roomWatchers, room, watcher);
  }

  passed(session: SessionHandle, lane: "ext" | "hot", body: string | Uint8Array): void {
    if (this.#sessionWatchers.size > 0) {
      const watchers = this.#sessionWatchers.get(session.session);
      if (watchers !== undefined) {
        const decision = this.#decision(session, null, passing(lane, body));
        for (const watcher of watchers) watcher(decision);
      }
    }
    if (--this.#skip > 0) return;
    this.#skip = SAMPLE;
    this.#nextSecond();
    if (this.#sampledNow++ >= SAMPLED_PER_SECOND) return;
    this.#passed.push(this.#decision(session, null, passing(lane, body)));
  }

  found(session: SessionHandle, finding: Finding, message: FoundMessage): void {
    this.deniedUsers.add(session.user, 1);
    const watchers = this.#sessionWatchers.get(session.session);
    this.#nextSecond();
    const key = `${session.session}\n${finding.ruleId}`;
    const known = this.#recent.get(key);
    if (known !== undefined) known.repeats++;
    const isKept = known === undefined && this.#foundNow++ < FOUND_PER_SECOND;
    if (!isKept && watchers === undefined) return;
    const decision = this.#decision(session, finding, message);
    if (isKept) {
      this.#recent.set(key, decision);
      this.#found.push(decision);
    }
    for (const watcher of watchers ?? []) watcher(decision);
  }

  heard(room: string, frame: Frame, deliveries: number): void {
    if (deliveries > 0) this.roomDeliveries.add(room, deliveries);
    if (this.#roomWatchers.size === 0) return;
    const watchers = this.#roomWatchers.get(room);
    if (watchers === undefined) return;
    const heard = { timeMs: this.#options.unixMs(), frame, deliveries };
    for (const watcher of watchers) watcher(heard);
  }

  #decision(session: SessionHandle, finding: Finding | null, message: FoundMessage): Decision {
    return decisionOf({ seq: ++this.#seq, timeMs: this.#options.unixMs(), session, message, finding });
  }

  #nextSecond(): void {
    const second = Math.floor(this.#options.now() / 1000);
    if (second === this.#second) return;
    this.#second = second;
    this.#foundNow = this.#sampledNow = 0;
    this.#recent.clear();
  }
}

function passing(lane: "ext" | "hot", body: string | Uint8Array): FoundMessage {
  return { lane, body, bytes: body.length, service: null };
}

function watch<T>(all: Map<string, Set<Watcher<T>>>, name: string, watcher: Watcher<T>): () => void {
  let watchers = all.get(name);
  if (watchers === undefined) all.set(name, watchers = new Set());
  watchers.add(watcher);
  return () => {
    watchers.delete(watcher);
    if (watchers.size === 0 && all.get(name) === watchers) all.delete(name);
  };
}
