// Three gateways of one cluster on three servers of NATS, members that come back to any of them with their cursors, and all
// that can happen to processes, links and streams, by chance that can be had again; and the model that says what every member
// must have heard, and who must be there.

import { strict as assert } from "node:assert";
import process from "node:process";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { WebSocket } from "ws";
import { chance } from "../cluster/stream_chaos.ts";
import type { Message } from "../flow/client.ts";
import { acquainted } from "../flow/cluster_nodes.ts";
import { GatewayProcess, until } from "../flow/gateway_process.ts";
import { TcpProxy } from "../flow/tcp_proxy.ts";
import { NatsCluster } from "../nats/three.ts";

const NODES = 3;
const ROOMS = ["chat:a", "chat:b", "chat:c", "chat:d"];
/** How long everything may take to be right again once everything is there. */
const QUIET_MS = 60_000;
/** A gateway that does not greet for so long is left for another. */
const GREET_MS = 1500;
const TURN_MS = 5;

/** What was done and seen. */
export interface ClusterTally {
  deliveries: number;
  acked: number;
  /** Acks of what had been stored by an earlier attempt. */
  duplicates: number;
  refused: number;
  recovered: number;
  /** Gaps that members were told of, by reason. */
  gaps: Record<string, number>;
  nodesLost: number;
  quiet: number;
  events: Record<string, number>;
}

/** Nothing yet. */
export function newClusterTally(): ClusterTally {
  return {
    deliveries: 0,
    acked: 0,
    duplicates: 0,
    refused: 0,
    recovered: 0,
    gaps: {},
    nodesLost: 0,
    quiet: 0,
    events: {},
  };
}

export interface ClusterChaosOptions {
  readonly seed: number;
  /** Members of each room. */
  readonly members: number;
  /** How long it is noisy between two quiet points. */
  readonly noisyMs: number;
  /** What is said in a turn of 5 ms, at most. */
  readonly burst: number;
}

/** One gateway, and its ways to the servers of NATS. */
interface Station {
  readonly name: string;
  readonly proxies: readonly TcpProxy[];
  gateway: GatewayProcess | null;
  frozen: boolean;
}

/** Between two points a member has heard all that stands there. */
interface Stretch {
  readonly epoch: string;
  /** Null until the first message after a gap. */
  after: number | null;
  upTo: number;
  readonly heard: number[];
}

class Member {
  readonly user: string;
  readonly room: string;
  /** Its number in the room; null when it is not there. */
  number: number | null = null;
  station: Station | null = null;
  stretches: Stretch[] = [];
  /** Who is there as it was told, by number; null before it was. */
  there: Map<number, string> | null = null;
  /** Said and not acked, by key. */
  readonly unacked = new Map<string, number>();
  lastHeard = "";
  /** What happened to it since the last quiet point, for a message. */
  story: string[] = [];
  readonly #chaos: ClusterChaos;
  #socket: WebSocket | null = null;
  #seq = 0;
  #joinSeq = 0;
  #waits: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(chaos: ClusterChaos, user: string, room: string) {
    this.#chaos = chaos;
    this.user = user;
    this.room = room;
  }

  /** Connects to a gateway, and to another when it does not come to something. */
  connect(): void {
    clearTimeout(this.#waits);
    if (this.#over) return;
    const station = this.station = this.#chaos.pick(this.#chaos.stations);
    if (station.gateway === null) return this.#later(() => this.connect());
    const query = new URLSearchParams({ tenant: "acme", ticket: `dev:${this.user}` });
    const socket = this.#socket = new WebSocket(`ws://127.0.0.1:${station.gateway.port}/v1/ws?${query}`);
    socket.on("message", (bytes) => {
      if (this.#socket !== socket) return;
      try {
        this.#receive(JSON.parse(String(bytes)) as Message);
      } catch (error) {
        this.#chaos.fail(error);
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#gone();
      this.#later(() => this.connect());
    });
    this.#waits = setTimeout(() => this.hop(), GREET_MS);
  }

  /** Drops its connection, and comes to another gateway. */
  hop(): void {
    const socket = this.#socket;
    this.#gone();
    socket?.terminate();
    this.connect();
  }

  close(): void {
    this.#over = true;
    const socket = this.#socket;
    this.#gone();
    socket?.terminate();
  }

  say(text: string): void {
    if (this.number === null) return;
    this.#say(text);
  }

  /** Asks who is there. */
  askMembers(): void {
    this.#send({ svc: "room", type: "members", room: this.room, seq: ++this.#seq });
  }

  get cursor(): { epoch: string; offset: number } | null {
    const last = this.stretches.at(-1);
    return last === undefined ? null : { epoch: last.epoch, offset: last.upTo };
  }

  #gone(): void {
    clearTimeout(this.#waits);
    this.#socket = null;
    this.number = null;
    this.there = null;
  }

  #later(what: () => void): void {
    clearTimeout(this.#waits);
    if (!this.#over) this.#waits = setTimeout(what, 50 + 100 * this.#chaos.random());
  }

  #send(envelope: object): void {
    this.#socket?.send(JSON.stringify({ v: 1, ...envelope }));
  }

  #say(text: string): void {
    this.unacked.set(text, ++this.#seq);
    const { room } = this;
    this.#send({ svc: "chat", type: "send", room, seq: this.#seq, flags: 4, key: text, data: { msg: text } });
  }

  #join(): void {
    const { cursor } = this;
    this.#joinSeq = ++this.#seq;
    const data = cursor === null ? { last: 0 } : { since: cursor };
    this.#send({ svc: "room", type: "join", room: this.room, seq: this.#joinSeq, data });
  }

  #receive(message: Message): void {
    const { data } = message;
    switch (`${message.svc}.${message.type}`) {
      case "sys.authed":
        return this.#join();
      case "sys.joined":
        return this.#joined(message);
      case "chat.msg":
        return this.#hear((message as unknown as { offset: number }).offset, data.msg);
      case "sys.ack":
        return this.#acked(message);
      case "sys.error":
        return this.#refused(message);
      case "sys.presence":
        return this.#presence(data);
      case "room.reply":
        this.there = new Map(
          data.members.map((one: { member: number; user: string }) => [one.member, one.user]),
        );
        assert.equal(data.count, this.there.size, "the count of members");
        return;
      case "sys.draining":
        return;
      default:
        assert.fail(`${this.user} hears ${JSON.stringify(message)}`);
    }
  }

  #joined({ seq, data }: Message): void {
    const { tally } = this.#chaos;
    const { epoch, offset, recovered, replayed, reason } = data;
    this.story.push(
      `joined ${this.station?.name} ${JSON.stringify(data)} with ${JSON.stringify(this.cursor)}`,
    );
    if (seq !== undefined) {
      clearTimeout(this.#waits);
      this.number = data.member;
      this.askMembers();
      for (const text of [...this.unacked.keys()]) this.#say(text);
    }
    if (seq !== undefined && recovered === true && this.cursor !== null) {
      assert.equal(epoch, this.cursor.epoch, "recovered in another epoch");
      tally.recovered++;
      return;
    }
    if (this.stretches.length > 0) tally.gaps[reason] = (tally.gaps[reason] ?? 0) + 1;
    const after = replayed > 0 ? null : offset;
    this.stretches.push({ epoch, after, upTo: offset, heard: [] });
  }

  #hear(offset: number, text: string): void {
    this.#chaos.tally.deliveries++;
    const stretch = this.stretches.at(-1)!;
    if (stretch.after === null) stretch.after = offset;
    else assert.ok(offset > (stretch.heard.at(-1) ?? stretch.after), `${this.user} hears ${offset} again`);
    stretch.heard.push(offset);
    stretch.upTo = offset;
    this.story.push(`${offset}`);
    this.lastHeard = text;
    this.#chaos.stands(this.room, stretch.epoch, offset, text);
  }

  #acked({ seq, data }: Message): void {
    for (const [text, mine] of this.unacked) {
      if (mine !== seq) continue;
      this.unacked.delete(text);
      this.#chaos.tally.acked++;
      if (data.duplicate === true) this.#chaos.tally.duplicates++;
      this.#chaos.acked(this.room, data.epoch, data.offset, text);
    }
  }

  #refused({ seq, data }: Message): void {
    assert.ok(/^(UNAVAILABLE|RESOURCE_EXHAUSTED)$/.test(data.code), `${this.user}: ${JSON.stringify(data)}`);
    this.#chaos.tally.refused++;
    if (seq === this.#joinSeq) return this.#later(() => this.#join());
    const socket = this.#socket;
    for (const [text, mine] of this.unacked) {
      if (mine !== seq) continue;
      setTimeout(() => {
        if (this.#socket === socket && this.number !== null && this.unacked.get(text) === mine) {
          this.#say(text);
        }
      }, 100 + 200 * this.#chaos.random());
    }
  }

  #presence({ event, member, user, reason }: Message["data"]): void {
    if (this.there === null) return;
    if (reason === "node_lost") this.#chaos.tally.nodesLost++;
    if (event === "join") {
      assert.ok(!this.there.has(member), `${this.user} is told twice that ${user} (${member}) has come`);
      this.there.set(member, user);
    } else {
      assert.ok(
        this.there.delete(member),
        `${this.user} is told that ${user} (${member}) leaves, who is not there`,
      );
    }
  }
}

export class ClusterChaos {
  readonly tally: ClusterTally;
  readonly stations: Station[] = [];
  readonly random: () => number;
  readonly #options: ClusterChaosOptions;
  readonly #members: Member[] = [];
  #nats!: NatsCluster;
  readonly #away = new Set<number>();
  /** What stands where, as it was acked or heard. */
  readonly #stands = new Map<string, Map<number, string>>();
  /** Where it stands, by epoch. */
  readonly #places = new Map<string, number>();
  #said = 0;
  #failure: unknown = null;
  /** What happened since the last quiet point. */
  #story: string[] = [];

  constructor(options: ClusterChaosOptions, tally: ClusterTally) {
    this.#options = options;
    this.tally = tally;
    this.random = chance(options.seed);
  }

  pick<T>(of: readonly T[]): T {
    return of[Math.floor(this.random() * of.length)]!;
  }

  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /** A message has its place, and each place its message, for everybody. */
  stands(room: string, epoch: string, offset: number, text: string): void {
    const stream = `${room} ${epoch}`;
    let places = this.#stands.get(stream);
    if (places === undefined) this.#stands.set(stream, places = new Map());
    const known = places.get(offset);
    if (known === text) return;
    if (known !== undefined) assert.fail(`both ${known} and ${text} stand at ${offset} of ${stream}`);
    places.set(offset, text);
    const key = `${stream} ${text}`, other = this.#places.get(key);
    if (other !== undefined && other !== offset) {
      assert.fail(`${text} stands at ${other} and at ${offset} of ${stream}`);
    }
    this.#places.set(key, offset);
  }

  acked(room: string, epoch: string, offset: number, text: string): void {
    this.stands(room, epoch, offset, text);
  }

  /** Runs until so many messages were delivered, in any number of noisy times, each with a quiet point. */
  async run(deliveries: number): Promise<void> {
    // Only the addresses that they were given, so that all goes through the proxies.
    this.#nats = await NatsCluster.start(["--no_advertise"]);
    try {
      for (let i = 0; i < NODES; i++) {
        const proxies = await Promise.all(this.#nats.servers.map(({ port }) => TcpProxy.to(port)));
        const station = { name: `g${i}`, proxies, gateway: null, frozen: false };
        this.stations.push(station);
      }
      await Promise.all(this.stations.map((station) => this.#start(station)));
      for (let i = 0; i < this.#options.members * ROOMS.length; i++) {
        this.#members.push(new Member(this, `u${i}`, ROOMS[i % ROOMS.length]!));
      }
      for (const member of this.#members) member.connect();
      await this.#quiet();
      while (this.tally.deliveries < deliveries) {
        await this.#noisy();
        await this.#quiet();
      }
    } finally {
      for (const member of this.#members) member.close();
      for (const station of this.stations) {
        if (station.frozen) process.kill(station.gateway!.pid, "SIGCONT");
        await station.gateway?.kill();
        for (const proxy of station.proxies) await proxy[Symbol.asyncDispose]();
      }
      await this.#nats[Symbol.asyncDispose]();
    }
  }

  async #start(station: Station): Promise<void> {
    const servers = station.proxies.map(({ origin }) => origin.replace("http", "nats"));
    const history = { max_messages: 2000, max_bytes: 10_000_000, max_age_ms: 300_000, store: "nats" };
    station.gateway = await GatewayProcess.start({
      cluster: { nats: { servers }, node: station.name, history: { replicas: 3 } },
      gateway: { drain_grace_ms: 0 },
      tenants: [{
        id: "acme",
        rooms: [{ match: "chat:*", history, presence: true }],
        limits: { max_sessions_per_ip: 0 },
        policy: {
          ext_allowlist: ["room:*", "chat:send"],
          rate_limit_rps: 100_000,
          rate_limit_burst: 100_000,
          sessions: { max_sessions_per_user: 16, on_exceed: "kick_oldest" },
        },
      }],
    }, { mayComplain: true });
  }

  async #noisy(): Promise<void> {
    const ends = performance.now() + this.#options.noisyMs;
    let happening: Promise<void> = Promise.resolve(), isOver = true;
    while (performance.now() < ends) {
      if (this.#failure !== null) throw this.#failure;
      for (let i = Math.floor(this.random() * (this.#options.burst + 1)); i > 0; i--) {
        const member = this.pick(this.#members);
        if (member.unacked.size < 4) member.say(`m${++this.#said}`);
      }
      if (this.random() < 0.02) this.pick(this.#members).hop();
      if (isOver && this.random() < 0.01) {
        isOver = false;
        happening = this.#event().catch((error) => this.fail(error)).finally(() => isOver = true);
      }
      await pause(TURN_MS);
    }
    await happening;
  }

  async #event(): Promise<void> {
    const events: readonly (readonly [string, () => Promise<void>])[] = [
      ["gateway killed", () => this.#kill()],
      ["gateway frozen", () => this.#freeze(4500)],
      ["gateway paused", () => this.#freeze(1500)],
      ["links cut", () => this.#cut(0)],
      ["gateway cut off", () => this.#cut(5000 * this.random())],
      ["NATS server killed", () => this.#killNats([Math.floor(this.random() * 3)])],
      ["leader killed", () => this.#killLeader()],
      ["two of NATS killed", () => this.#killNats([0, 1])],
      ["trimmed", () => this.#streams("trim")],
      ["recreated", () => this.#streams("delete")],
      ["all restarted", () => this.#restart()],
    ];
    const [name, happen] = this.pick(events);
    this.tally.events[name] = (this.tally.events[name] ?? 0) + 1;
    this.#story.push(name);
    await happen();
  }

  async #kill(station: Station = this.pick(this.stations)): Promise<void> {
    const gateway = station.gateway!;
    station.gateway = null;
    await gateway.kill();
    await pause(1500 * this.random());
    await this.#start(station);
  }

  async #freeze(ms: number): Promise<void> {
    const station = this.pick(this.stations);
    station.frozen = true;
    process.kill(station.gateway!.pid, "SIGSTOP");
    // Some of its clients do not wait for it.
    for (const member of this.#members) if (member.station === station && this.random() < 0.3) member.hop();
    await pause(ms);
    process.kill(station.gateway!.pid, "SIGCONT");
    station.frozen = false;
  }

  async #cut(ms: number): Promise<void> {
    const { proxies } = this.pick(this.stations);
    for (const proxy of proxies) {
      proxy.refuse(ms > 0);
      // Whoever is cut off may be told so, or not.
      if (ms > 0 && this.random() < 0.3) proxy.swallow();
      else proxy.cut();
    }
    await pause(ms);
    for (const proxy of proxies) proxy.refuse(false);
  }

  async #killNats(which: readonly number[]): Promise<void> {
    for (const i of which) await this.#nats.servers[i]!.kill();
    await pause(3000 * this.random());
    for (const i of which) await this.#nats.servers[i]!.resume();
  }

  async #killLeader(): Promise<void> {
    let leader: string | undefined;
    await this.#managed(async (manager) => {
      for await (const { cluster } of manager.streams.list()) leader = cluster?.leader;
    });
    if (leader !== undefined && leader !== "") await this.#killNats([Number(leader.slice(1))]);
  }

  async #streams(what: "trim" | "delete"): Promise<void> {
    await this.#managed(async (manager) => {
      for await (const { config: { name } } of manager.streams.list()) {
        if (what === "delete") await manager.streams.delete(name);
        else await manager.streams.purge(name, { keep: 50 });
      }
    });
  }

  async #managed(
    act: (manager: Awaited<ReturnType<typeof jetstreamManager>>) => Promise<void>,
  ): Promise<void> {
    const connection = await connect({ servers: this.#nats.url.split(",") });
    try {
      await act(await jetstreamManager(connection, { timeout: 3000 }));
    } catch {
      // No leader in this very moment.
    } finally {
      await connection.close();
    }
  }

  async #restart(): Promise<void> {
    await Promise.all(this.#nats.servers.map((server) => server.kill()));
    await Promise.all(this.stations.map((station) => {
      const gateway = station.gateway!;
      station.gateway = null;
      return gateway.kill();
    }));
    await Promise.all(this.#nats.servers.map((server) => server.resume()));
    await Promise.all(this.stations.map((station) => this.#start(station)));
  }

  /** Everything is there again: all have heard all, and everybody knows who is there. */
  async #quiet(): Promise<void> {
    const becomes = (what: string, holds: () => boolean) =>
      until(what, () => {
        if (this.#failure !== null) throw this.#failure;
        return holds() ? true : null;
      }, QUIET_MS).catch((error) => {
        throw this.#failure ?? new Error(`${(error as Error).message}\n${this.#state()}`);
      });
    for (const { gateway } of this.stations) {
      await until(
        "ready",
        async () => (await gateway!.get("/readyz")).body === "ready" ? true : null,
        QUIET_MS,
      );
    }
    await acquainted(...this.stations.map(({ gateway }) => gateway!));
    await becomes("all there", () => this.#members.every(({ number }) => number !== null));
    await becomes("all acked", () => this.#members.every(({ unacked }) => unacked.size === 0));
    for (const room of ROOMS) {
      const inIt = this.#members.filter((member) => member.room === room);
      const last = `last ${++this.#said} of ${room}`.replaceAll(" ", ".");
      inIt[0]!.say(last);
      await becomes(`${last} heard`, () => inIt.every(({ lastHeard }) => lastHeard === last));
      const there = [...new Map(inIt.map(({ number, user }) => [number!, user]))].sort().join(" ");
      const agreed = (member: Member) =>
        member.there !== null && [...member.there].sort().join(" ") === there;
      await becomes(`presence of ${room} as it was told`, () => inIt.every(agreed));
      // And as it is when it is asked for.
      for (const member of inIt) {
        member.there = null;
        member.askMembers();
      }
      await becomes(`presence of ${room} as it is`, () => inIt.every(agreed));
    }
    this.#judge();
    this.tally.quiet++;
  }

  #judge(): void {
    for (const member of this.#members) {
      for (const { epoch, after, upTo, heard } of member.stretches) {
        if (after === null) continue;
        const known = new Set(heard);
        for (const [offset, text] of this.#stands.get(`${member.room} ${epoch}`) ?? []) {
          if (offset <= after || offset > upTo || known.has(offset)) continue;
          const story = `${this.#story.join(" ")}\n${member.story.join(" ")}`;
          assert.fail(
            `${member.user} has missed ${text} at ${offset} of ${member.room} in ${epoch}: ${story}`,
          );
        }
      }
      member.story = [];
      const { epoch, offset } = member.cursor!;
      member.stretches = [{ epoch, after: offset, upTo: offset, heard: [] }];
    }
    this.#stands.clear();
    this.#story = [];
  }

  #state(): string {
    const members = this.#members.map(({ user, room, number, station, unacked, there, lastHeard, cursor }) =>
      `${user} ${room} ${number} on ${station?.name}, unacked ${unacked.size}, there ${there?.size}, ` +
      `heard ${lastHeard} ${JSON.stringify(cursor)}`
    );
    const logs = this.stations.map(({ name, gateway }) =>
      `${name}:\n${gateway?.lines.slice(-8).map((line) => JSON.stringify(line)).join("\n")}`
    );
    return [...members, ...logs].join("\n");
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
