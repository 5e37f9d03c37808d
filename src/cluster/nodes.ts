// Who is there: each node says so several times a second, and when it goes. A node that was killed is found by asking it:
// NATS knows at once that nobody listens any more. One that is silent but listened to is frozen, or paused for a moment; it
// gets more time. Each start of a gateway is another incarnation.

import type { Log } from "../log.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Link } from "./nats_link.ts";
import type { Subjects } from "./subjects.ts";
import { encode, isCount, isText, KIND } from "./wire.ts";

/** What a node says of itself. */
export interface NodeFacts {
  /** Its name in logs and metrics; another node's MAY be the same. */
  readonly name: string;
  readonly version: string;
  /** Unix time in milliseconds. */
  readonly startedMs: number;
  readonly sessions: number;
  readonly draining: boolean;
}

/** Another node. */
export interface Node {
  readonly incarnation: string;
  facts: NodeFacts;
  /** Small, and the same as long as it is there. */
  readonly number: number;
  /** When it was heard last, by this node's monotonic clock. */
  heardAt: number;
}

export interface NodesOptions {
  readonly incarnation: string;
  readonly link: Link;
  readonly subjects: Subjects;
  readonly facts: () => NodeFacts;
  /** How many entries this node's journal has. */
  readonly journaled: () => number;
  readonly now: () => number;
  readonly log: Log;
}

/** Told of nodes. */
export interface NodesWatcher {
  came(node: Node): void;
  /** @param lost whether it went without a word */
  went(node: Node, lost: boolean): void;
  /** It is there, and its journal has so many entries. */
  beat(node: Node, journaled: number): void;
}

const BEAT_MS = 250;
/** Silence after which a node is asked, and after which it is gone where nobody listens, or where somebody does. */
const DOUBT_MS = 400;
const NOBODY_MS = 700;
const FROZEN_MS = 3400;
/** After this node's own connection was away, the others get this long to be heard again. */
const GRACE_MS = 3000;
/** Short: what is asked in the moment that a node is killed is answered by nobody, not even by NATS. */
const PROBE_MS = 200;
/** Nodes that are known at the same time. */
const NODES_MAX = 250;

export class Nodes {
  /** Nodes that went without a word. */
  lost = 0;
  readonly #options: NodesOptions;
  readonly #nodes = new Map<string, Node>();
  readonly #watchers: NodesWatcher[] = [];
  readonly #probing = new Set<Node>();
  /** Numbers that are given. */
  readonly #numbers = new Set<number>();
  #patientUntil = 0;
  /** Messages of this node that were named. */
  #named = 0;
  #lastBeat = Number.NEGATIVE_INFINITY;
  #lastTick: number;

  constructor(options: NodesOptions) {
    this.#options = options;
    this.#lastTick = options.now();
  }

  get incarnation(): string {
    return this.#options.incarnation;
  }

  /** The others. */
  get others(): ReadonlyMap<string, Node> {
    return this.#nodes;
  }

  get facts(): NodeFacts {
    return this.#options.facts();
  }

  find(incarnation: string): Node | undefined {
    return this.#nodes.get(incarnation);
  }

  /** A small number for a node, the same as long as it is there; 0 for one that is not known. */
  numberOf(incarnation: string): number {
    return this.#nodes.get(incarnation)?.number ?? 0;
  }

  watch(watcher: NodesWatcher): void {
    this.#watchers.push(watcher);
  }

  /** Whether this node has the word where one node of all is to have it: the same on all of them. */
  owns(name: string): boolean {
    const own = this.#options.incarnation, ownWeight = weight(name, own);
    for (const other of this.#nodes.keys()) {
      const theirs = weight(name, other);
      if (theirs > ownWeight || theirs === ownWeight && other > own) return false;
    }
    return true;
  }

  /** Gives a message of this node its name among those of all nodes. */
  name(frame: Frame): void {
    frame.source = this.#options.incarnation;
    frame.sourceNumber = ++this.#named;
  }

  /** Says that this node is there. */
  beat(): void {
    const { link, subjects, incarnation, facts, journaled, now } = this.#options;
    const { name, version, startedMs, sessions, draining } = facts();
    this.#lastBeat = now();
    const said = encode(KIND.beat, incarnation, journaled(), name, version, startedMs, sessions, draining);
    link.publish(subjects.all, said);
  }

  /** Says that this node goes. */
  goodbye(): void {
    this.#options.link.publish(this.#options.subjects.all, encode(KIND.bye, this.#options.incarnation));
  }

  /** NATS is there again, or for the first time: nobody is missed for a while. */
  connected(): void {
    this.#patientUntil = this.#options.now() + GRACE_MS;
    this.beat();
  }

  /** Somebody's beat, its fields. @returns false where it cannot be read */
  heardBeat(
    [incarnation, journaled, name, version, startedMs, sessions, draining]: readonly unknown[],
  ): boolean {
    if (!isText(incarnation) || !isText(name) || !isText(version)) return false;
    if (!isCount(journaled) || !isCount(sessions)) return false;
    if (typeof startedMs !== "number" || incarnation === "" || incarnation.length > 64) return false;
    if (incarnation === this.#options.incarnation) return true;
    const facts = { name, version, startedMs, sessions, draining: draining === true };
    let node = this.#nodes.get(incarnation);
    if (node === undefined) {
      const number = this.#freeNumber();
      if (number === null) return true;
      node = { incarnation, facts, number, heardAt: this.#options.now() };
      this.#nodes.set(incarnation, node);
      this.#numbers.add(number);
      this.#options.log.info("node has come", { node: name, incarnation });
      // So that it need not wait to know of this one.
      this.beat();
      for (const watcher of this.#watchers) watcher.came(node);
    }
    node.facts = facts;
    node.heardAt = this.#options.now();
    for (const watcher of this.#watchers) watcher.beat(node, journaled);
    return true;
  }

  heardGoodbye([incarnation]: readonly unknown[]): boolean {
    if (typeof incarnation !== "string") return false;
    const node = this.#nodes.get(incarnation);
    if (node !== undefined) this.#remove(node, false);
    return true;
  }

  /** Something else came from a node: it lives. */
  heard(incarnation: string): Node | undefined {
    const node = this.#nodes.get(incarnation);
    if (node !== undefined) node.heardAt = this.#options.now();
    return node;
  }

  /** Beats, and looks who is silent; call it every 50 ms or so. */
  tick(): void {
    const now = this.#options.now();
    // This process itself was paused: what it has not read yet is no silence of others.
    if (now - this.#lastTick > DOUBT_MS) this.#patientUntil = Math.max(this.#patientUntil, now + DOUBT_MS);
    this.#lastTick = now;
    if (now - this.#lastBeat >= BEAT_MS) this.beat();
    if (!this.#options.link.isUp || now < this.#patientUntil) return;
    for (const node of this.#nodes.values()) {
      const silentMs = now - node.heardAt;
      if (silentMs >= FROZEN_MS) this.#remove(node, true);
      else if (silentMs >= DOUBT_MS && !this.#probing.has(node)) void this.#probe(node);
    }
  }

  async #probe(node: Node): Promise<void> {
    const { link, subjects, now } = this.#options;
    this.#probing.add(node);
    const answer = await link.ask(subjects.node(node.incarnation), encode(KIND.probe), PROBE_MS);
    this.#probing.delete(node);
    if (this.#nodes.get(node.incarnation) !== node) return;
    if (answer instanceof Uint8Array) node.heardAt = now();
    else if (answer === "nobody" && now() - node.heardAt >= NOBODY_MS && now() >= this.#patientUntil) {
      this.#remove(node, true);
    }
  }

  #remove(node: Node, lost: boolean): void {
    const { log, now } = this.#options;
    this.#nodes.delete(node.incarnation);
    this.#numbers.delete(node.number);
    const fields = { node: node.facts.name, incarnation: node.incarnation };
    if (lost) this.lost++;
    if (lost) log.warn("node is lost", { ...fields, silent_ms: Math.round(now() - node.heardAt) });
    else log.info("node has gone", fields);
    for (const watcher of this.#watchers) watcher.went(node, lost);
  }

  #freeNumber(): number | null {
    for (let number = 1; number <= NODES_MAX; number++) if (!this.#numbers.has(number)) return number;
    return null;
  }
}

/** How much a node is meant for a name: the highest of all has it, and few names move when a node comes or goes. */
function weight(name: string, incarnation: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < incarnation.length; i++) hash = Math.imul(hash ^ incarnation.charCodeAt(i), 0x01000193);
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  // FNV's last bits of similar texts are similar.
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x85ebca6b);
  return (hash ^ hash >>> 13) >>> 0;
}
