// This gateway as one node of several: its connections to NATS, who else is there, and what these have. The composition root
// of this folder.

import type { Tracer } from "../tracing/tracer.ts";
import type { ClusterConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { Bus, BusReceiver } from "./bus.ts";
import { type Change, Journal } from "./journal.ts";
import { NatsBus } from "./nats_bus.ts";
import { NatsLink } from "./nats_link.ts";
import { NatsStreams } from "./nats_streams.ts";
import { natsServers } from "./nats_servers.ts";
import { type NodeFacts, Nodes } from "./nodes.ts";
import type { Peers } from "./peers.ts";
import { Replicas } from "./replicas.ts";
import { Subjects } from "./subjects.ts";
import { decode, encode, KIND, type WireCounts } from "./wire.ts";

/** What is decided about a tenant. */
export interface TenantDecisions {
  /** Another node's decisions. @returns false where one cannot be read */
  heard(decisions: readonly unknown[]): boolean;
  /** Tells a node, null for all others, of all there are. */
  tell(node: string | null): void;
}

export interface ClusterOptions {
  readonly config: ClusterConfig;
  readonly version: string;
  readonly clock: {
    readonly now: () => number;
    readonly unixMs: () => number;
    readonly every: (ms: number, task: () => void) => () => void;
    readonly wait: (ms: number) => Promise<void>;
    readonly newId: () => string;
    readonly random: () => number;
  };
  readonly log: Log;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  /** What this node says of itself to the others. */
  readonly self: () => Pick<NodeFacts, "sessions" | "draining">;
  /** All sessions of this node, and where they are, as changes that lead there. */
  readonly state: () => Iterable<Change>;
}

/** Between two looks at who is silent. */
const TICK_MS = 50;
/** How long a start waits for what the others have, once NATS is there. */
const SETTLE_MS = 2000;
/** How long it listens whether there is anybody. */
const GREET_MS = 400;
/** How long a node may take for one answer about a session. */
const HANDOVER_MS = 2000;

/** Answers what another node asks about a session. Never rejects. */
export type HandoverAnswerer = (asker: string, fields: readonly unknown[]) => Promise<readonly unknown[]>;
type Respond = (payload: Uint8Array) => void;
const ANSWER = new Uint8Array([1]);

export class Cluster {
  readonly name: string;
  readonly incarnation: string;
  readonly nodes: Nodes;
  readonly journal: Journal;
  readonly subjects: Subjects;
  /** What is said reliably, between nodes and in rooms; JetStream's client is made from it too. */
  readonly reliable: NatsLink;
  readonly hot: NatsLink;
  readonly replicas: Replicas;
  /** Histories of rooms that all nodes share. */
  readonly streams: NatsStreams;
  readonly counts: WireCounts = { broken: 0, unknown: 0 };
  /** Answers what other nodes ask. Never rejects. */
  answers: (question: string) => Promise<string> = () => Promise.resolve("");
  readonly #options: ClusterOptions;
  readonly #buses: NatsBus[] = [];
  readonly #decisions = new Map<string, TenantDecisions>();
  readonly #obeying = new Map<string, (fields: readonly unknown[]) => boolean>();
  readonly #handingOver = new Map<string, HandoverAnswerer>();
  readonly #startedMs: number;
  #stopTicking: (() => void)[] = [];
  #isJoined = false;

  /** @throws when a file of the configuration cannot be read */
  constructor(options: ClusterOptions) {
    this.#options = options;
    const { config, clock, log, version, self, state } = options;
    this.incarnation = clock.newId();
    this.name = config.node === "" ? this.incarnation : config.node;
    this.subjects = new Subjects(config.prefix);
    this.#startedMs = clock.unixMs();
    const servers = natsServers(config);
    const link = (name: string): NatsLink =>
      new NatsLink({
        ...servers,
        name,
        label: `wsprism ${this.name} ${name}`,
        log,
        wait: clock.wait,
        random: clock.random,
      });
    this.reliable = link("reliable");
    this.hot = link("hot");
    const common = { incarnation: this.incarnation, link: this.reliable, subjects: this.subjects };
    const later = (ms: number, task: () => void) => void clock.wait(ms).then(task);
    this.journal = new Journal({ ...common, later, state });
    this.nodes = new Nodes({
      ...common,
      facts: () => ({ name: this.name, version, startedMs: this.#startedMs, ...self() }),
      journaled: () => this.journal.published,
      now: clock.now,
      log,
    });
    this.replicas = new Replicas({
      nodes: this.nodes,
      link: this.reliable,
      subjects: this.subjects,
      now: clock.now,
      log,
    });
    this.streams = new NatsStreams({
      link: this.reliable,
      prefix: config.prefix,
      replicas: config.history.replicas,
      maxBytes: config.history.max_bytes,
      log,
      clock,
    });
    this.reliable.watch((isUp) => {
      if (!isUp) return;
      this.nodes.connected();
      // While NATS was away, the others heard of nothing.
      for (const decisions of this.#decisions.values()) decisions.tell(null);
    });
    this.nodes.watch({
      came: ({ incarnation }) => {
        for (const decisions of this.#decisions.values()) decisions.tell(incarnation);
      },
      went: () => {},
      beat: () => {},
    });
  }

  /** Whether this node has found the others, once; it goes on alone when NATS leaves it. */
  get isJoined(): boolean {
    return this.#isJoined;
  }

  /** Whether NATS is there now. */
  get isUp(): boolean {
    return this.reliable.isUp && this.hot.isUp;
  }

  /** Whether NATS is away, or does not keep what it should. */
  get isDegraded(): boolean {
    return !this.isUp || this.streams.isDegraded;
  }

  /** Messages of rooms that were published to other nodes, and that came from there. */
  get published(): number {
    return this.#buses.reduce((sum, bus) => sum + bus.published, 0);
  }

  get heard(): number {
    return this.#buses.reduce((sum, bus) => sum + bus.heard, 0);
  }

  /** Subscriptions for rooms. */
  get subscriptions(): number {
    return this.#buses.reduce((sum, bus) => sum + bus.size, 0);
  }

  peers(tenant: string): Peers {
    return this.replicas.of(tenant);
  }

  openBus(tenant: string, receiver: BusReceiver): Bus {
    const { subjects, nodes, counts } = this;
    const links = { m: this.reliable, h: this.hot };
    const bus = new NatsBus({
      tenant,
      receiver,
      nodes,
      peers: this.peers(tenant),
      subjects,
      links,
      counts,
      tracer: this.#options.tracer,
      now: this.#options.clock.now,
    });
    this.#buses.push(bus);
    return bus;
  }

  /** Asks a node. @returns null where it does not answer in time; never rejects */
  async ask(node: string, question: string, timeoutMs: number): Promise<string | null> {
    const payload = encode(KIND.question, question);
    const answer = await this.reliable.ask(this.subjects.node(node), payload, timeoutMs);
    const read = answer instanceof Uint8Array ? decode(answer, this.counts) : null;
    const text = read?.kind === KIND.answer ? read.fields[0] : null;
    return typeof text === "string" ? text : null;
  }

  /** Has a tenant's orders from other nodes carried out; `handler` returns false for what it cannot read. */
  obey(tenant: string, handler: (fields: readonly unknown[]) => boolean): () => void {
    this.#obeying.set(tenant, handler);
    return () => {
      if (this.#obeying.get(tenant) === handler) this.#obeying.delete(tenant);
    };
  }

  /** Has something done for a tenant by another node, null for all others. @returns false when it went nowhere */
  order(node: string | null, tenant: string, ...fields: readonly unknown[]): boolean {
    const subject = node === null ? this.subjects.all : this.subjects.node(node);
    return this.reliable.publish(subject, encode(KIND.order, tenant, ...fields));
  }

  /** Has a tenant's sessions handed over to nodes that ask for them. */
  handOver(tenant: string, answerer: HandoverAnswerer): () => void {
    this.#handingOver.set(tenant, answerer);
    return () => {
      if (this.#handingOver.get(tenant) === answerer) this.#handingOver.delete(tenant);
    };
  }

  /** Asks a node about a session that it has. @returns null where it does not answer in time; never rejects */
  async askForSession(
    node: string,
    tenant: string,
    ...fields: readonly unknown[]
  ): Promise<readonly unknown[] | null> {
    const asked = encode(KIND.handover, tenant, this.incarnation, ...fields);
    const answer = await this.reliable.ask(this.subjects.node(node), asked, HANDOVER_MS);
    const read = answer instanceof Uint8Array ? decode(answer, this.counts) : null;
    return read?.kind === KIND.handedOver ? read.fields : null;
  }

  /** Has a tenant's decisions told to the nodes that come, and heard from these. */
  decisions(tenant: string, decisions: TenantDecisions): () => void {
    this.#decisions.set(tenant, decisions);
    // Served from now on: the others have been told of what they decided before it was.
    this.reliable.publish(this.subjects.all, encode(KIND.decision, tenant, null, this.incarnation));
    return () => {
      if (this.#decisions.get(tenant) === decisions) this.#decisions.delete(tenant);
    };
  }

  /** Tells a node, null for all others, of decisions. */
  decide(node: string | null, tenant: string, decisions: readonly unknown[]): void {
    const subject = node === null ? this.subjects.all : this.subjects.node(node);
    this.reliable.publish(subject, encode(KIND.decision, tenant, decisions));
  }

  /** Resolves when NATS is there and the others have been heard; waits for ever for the former. */
  async start(): Promise<void> {
    const { clock, log } = this.#options;
    const { reliable, subjects } = this;
    reliable.listen(subjects.all, (payload) => this.#hear(payload));
    reliable.listen(
      subjects.node(this.incarnation),
      (payload, message) => this.#hear(payload, (answer) => void message.respond(answer)),
    );
    this.streams.start();
    await Promise.all([reliable.start(), this.hot.start()]);
    if (!reliable.isUp && reliable.connection === null) return;
    this.#stopTicking = [
      clock.every(TICK_MS, () => this.nodes.tick()),
      clock.every(1000, () => {
        this.#buses.forEach((bus) => bus.sweep());
        this.replicas.sweep();
      }),
    ];
    const since = clock.now();
    await clock.wait(GREET_MS);
    while (!this.replicas.isComplete && clock.now() - since < SETTLE_MS) await clock.wait(TICK_MS);
    this.#isJoined = true;
    const nodes = this.nodes.others.size + 1;
    log.info("joined the cluster", { node: this.name, incarnation: this.incarnation, nodes });
  }

  /** Says goodbye, and listens no more. */
  async stop(): Promise<void> {
    for (const stop of this.#stopTicking) stop();
    this.journal.flush();
    this.nodes.goodbye();
    for (const bus of this.#buses) bus.stop();
    this.streams.stop();
    await Promise.all([this.reliable.stop(), this.hot.stop()]);
  }

  #hear(payload: Uint8Array, respond: Respond = () => {}): void {
    const message = decode(payload, this.counts);
    if (message === null) return;
    const { kind, fields } = message;
    if (!this.#take(kind, fields, respond)) this.counts.broken++;
  }

  #take(kind: number, fields: readonly unknown[], respond: Respond): boolean {
    switch (kind) {
      case KIND.beat:
        return this.nodes.heardBeat(fields);
      case KIND.bye:
        return this.nodes.heardGoodbye(fields);
      case KIND.journal:
        return this.replicas.heardJournal(fields);
      case KIND.snapshot:
        return this.replicas.heardSnapshot(fields);
      case KIND.ask: {
        const [asker, round] = fields;
        if (typeof asker !== "string" || typeof round !== "number") return false;
        this.journal.tell(asker, round);
        return true;
      }
      case KIND.order: {
        const [tenant, ...rest] = fields;
        if (typeof tenant !== "string") return false;
        return this.#obeying.get(tenant)?.(rest) ?? true;
      }
      case KIND.question: {
        const [text] = fields;
        if (typeof text !== "string") return false;
        void this.answers(text).then((answer) => respond(encode(KIND.answer, answer)));
        return true;
      }
      case KIND.handover: {
        const [tenant, asker, ...rest] = fields;
        if (typeof tenant !== "string" || typeof asker !== "string") return false;
        const answerer = this.#handingOver.get(tenant);
        if (answerer === undefined) respond(encode(KIND.handedOver, "gone", "unknown"));
        else {
          // What NATS does not take, for it is too large, is as good as no answer.
          answerer(asker, rest).then((answer) => respond(encode(KIND.handedOver, ...answer)))
            .catch(() => this.counts.broken++);
        }
        return true;
      }
      case KIND.decision: {
        const [tenant, list, asker] = fields;
        if (typeof tenant !== "string") return false;
        const decisions = this.#decisions.get(tenant);
        if (list === null && typeof asker === "string") decisions?.tell(asker);
        else if (!Array.isArray(list)) return false;
        else return decisions?.heard(list) ?? true;
        return true;
      }
      case KIND.probe:
        respond(ANSWER);
        return true;
      default:
        this.counts.unknown++;
        return true;
    }
  }
}
