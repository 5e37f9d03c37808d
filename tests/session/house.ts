// A whole gateway without sockets, timers or chance: links that note what they are given, a clock that stands still
// until told, and event-loop turns that end when a test says so.

import type { Tracer } from "../../src/tracing/tracer.ts";
import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { Gateway, type ReloadResult } from "../../src/gateway.ts";
import type { LaunchHost } from "../../src/extension/host_process.ts";
import type { Log, LogFields } from "../../src/log.ts";
import type { Answer, Context, ExtService } from "../../src/service/service.ts";
import type { Envelope } from "../../src/protocol/envelope.ts";
import type {
  FrameWay,
  Link,
  LinkHandler,
  ServerHandler,
  StreamHandler,
  Transport,
  TransportName,
  UpgradeAnswer,
  WireFrame,
} from "../../src/transport/port.ts";
import { placesIn } from "../../src/config/places.ts";
import { loadConfig, type LoadResult } from "../../src/config/load.ts";
import { accepted, loadOptions } from "../config/loading.ts";
import { readCbor } from "../protocol/naive.ts";

/** A clock that moves when told. Repeated tasks run in the order of their time. */
export class Clock {
  ms: number;
  #ids = 0;
  readonly #tasks = new Set<{ everyMs: number; at: number; task: () => void }>();

  constructor(ms = 1000) {
    this.ms = ms;
  }

  readonly now = (): number => this.ms;
  readonly unixMs = (): number => 1_767_225_600_000 + this.ms;
  readonly newId = (): string => String(++this.#ids).padStart(16, "0");
  /** In real time. */
  readonly wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  /** No jitter. */
  readonly random = (): number => 0;
  readonly every = (everyMs: number, task: () => void): () => void => {
    const entry = { everyMs, at: this.ms + everyMs, task };
    this.#tasks.add(entry);
    return () => void this.#tasks.delete(entry);
  };

  /** How many tasks repeat. */
  get tasks(): number {
    return this.#tasks.size;
  }

  advance(ms: number): void {
    const until = this.ms + ms;
    for (;;) {
      const next = [...this.#tasks].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.ms = next.at;
      next.at += next.everyMs;
      next.task();
    }
    this.ms = until;
  }
}

/** Datagrams of a link: what was sent, whether it would arrive or not. */
export class FakeDatagrams implements FrameWay {
  readonly got: (string | Uint8Array)[] = [];
  /** What waits after each write. */
  waiting = 0;

  write(frames: readonly WireFrame[], count: number): number {
    for (const { payload } of frames.slice(0, count)) this.got.push(payload);
    return this.waiting;
  }

  bufferedBytes(): number {
    return this.waiting;
  }
}

/** The far end of a link: what it got, and how much of it the "kernel" took. */
export class FakeLink implements Link {
  /** Set before it is opened, as `datagrams` is. */
  transport: TransportName = "websocket";
  readonly canPing: boolean;
  datagrams: FakeDatagrams | null = null;
  readonly remoteAddress: string;
  readonly got: (string | Uint8Array)[] = [];
  /** Bytes and messages of each write. */
  readonly writes: { bytes: number; count: number }[] = [];
  closed: { code: number; reason: string } | null = null;
  pings = 0;
  paused = false;
  terminated = 0;
  /** Bytes that the kernel still takes. */
  room = Number.POSITIVE_INFINITY;
  /** Bytes that wait. */
  waiting = 0;
  readonly #handler: LinkHandler;

  constructor(handler: LinkHandler, remoteAddress: string, canPing = true) {
    this.canPing = canPing;
    this.#handler = handler;
    this.remoteAddress = remoteAddress;
  }

  write(frames: readonly WireFrame[], count: number): number {
    assert.equal(this.closed, null, "nothing is written after the close");
    assert.ok(count > 0, "an empty write");
    let bytes = 0;
    for (const frame of frames.slice(0, count)) {
      assert.equal(
        frame.bytes,
        typeof frame.payload === "string" ? Buffer.byteLength(frame.payload) : frame.payload.length,
      );
      assert.ok(frame.bytes > 0, "an empty message");
      bytes += frame.bytes;
      this.got.push(frame.payload);
    }
    this.writes.push({ bytes, count });
    const taken = Math.min(this.room, this.waiting + bytes);
    this.room -= taken;
    this.waiting += bytes - taken;
    return this.waiting;
  }

  bufferedBytes(): number {
    return this.waiting;
  }

  /** The kernel takes some of what waits. */
  take(bytes: number): void {
    const had = this.waiting;
    this.waiting = Math.max(0, had - bytes);
    if (had > 0 && this.waiting === 0) this.#handler.onDrain();
  }

  /** The kernel takes everything, from now on too. */
  open(): void {
    this.room = Number.POSITIVE_INFINITY;
    this.take(this.waiting);
  }

  ping(): void {
    this.pings++;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  close(code: number, reason: string): void {
    assert.equal(this.closed, null, "closed twice");
    this.closed = { code, reason };
  }
  terminate(): void {
    this.terminated++;
  }

  /** Messages since last asked, read: text and CBOR maps as values, hot frames as bytes. */
  read(): unknown[] {
    return this.got.splice(0).map((payload) => {
      if (typeof payload === "string") return JSON.parse(payload);
      return payload[0]! >= 0xa0 ? readCbor(payload) : [...payload];
    });
  }
}

class FakeTransport implements Transport {
  readonly name = "node";
  readonly limits: Transport["limits"];
  door: ServerHandler | null = null;
  readonly #tasks: (() => void)[] = [];

  constructor(pings: boolean) {
    this.limits = {
      pings,
      terminates: true,
      pauses: true,
      showsControl: true,
      showsFragments: true,
      boundsFragments: true,
      deflates: false,
      renewsTls: true,
      fixed: {},
    };
  }

  start(door: ServerHandler) {
    this.door = door;
    return Promise.resolve({ hostname: "127.0.0.1", port: 1 });
  }
  afterTurn(task: () => void): void {
    this.#tasks.push(task);
  }
  /** Ends the event-loop turn. */
  turn(): number {
    const tasks = this.#tasks.splice(0);
    for (const task of tasks) task();
    return tasks.length;
  }
  renewTls(): void {}
  boundMessages(): void {}
  stop() {
    return Promise.resolve();
  }
}

/** What an extension point of the tests may be told to do. */
export type Handle = (context: Context, message: Envelope) => Answer | Promise<Answer>;

export interface HouseOptions {
  /** Keys of `gateway`, as YAML in one line. */
  readonly gateway?: string;
  /** Keys of `admin`, as YAML in one line; without them there is none. */
  readonly admin?: string;
  /** Keys of the tenant "acme" besides its id, one a line. */
  readonly tenant?: readonly string[];
  readonly services?: Readonly<Record<string, Handle>>;
  readonly pings?: boolean;
  readonly dev?: boolean;
  readonly policyDryRun?: boolean;
  /** Contents of the files that the configuration names. */
  readonly files?: Readonly<Record<string, string>>;
  readonly launchHost?: LaunchHost;
  readonly tracer?: Tracer;
  /** A transport whose clients say hello first, beside the other one. */
  readonly tcp?: Transport<StreamHandler>;
}

export const OPEN_POLICY =
  'policy: { ext_allowlist: ["room:*", "chat:*", "slow:*", "other:*", "t:*"], hot_allowlist: ["1:*", "2:*", "3:*"], ' +
  "rate_limit_rps: 1000000, rate_limit_burst: 1000000 }";

/** The file of a house. */
export function houseText({ tenant = [OPEN_POLICY], gateway = "", admin }: HouseOptions): string {
  const listener = admin === undefined ? "" : `admin: { ${admin} }\n`;
  return `version: 1\ngateway: { ${gateway} }\n${listener}tenants:\n  - id: acme\n` +
    tenant.map((line) => `    ${line}\n`).join("") + "  - id: other\n";
}

/** One running gateway. */
export class House {
  readonly clock = new Clock();
  readonly logged: { level: string; message: string; fields: LogFields }[] = [];
  readonly gateway: Gateway;
  readonly transport: FakeTransport;
  readonly adminTransport: FakeTransport | null;
  /** What the next reload loads. */
  next: () => Promise<LoadResult>;

  constructor(options: HouseOptions = {}) {
    const { config, warnings, schemas, text } = accepted(houseText(options), { files: options.files ?? {} });
    this.next = () => Promise.resolve({ ok: true, config, warnings, schemas, text });
    const note = (level: string) => (message: string, fields: LogFields = {}) =>
      void this.logged.push({ level, message, fields });
    const log: Log = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
    this.transport = new FakeTransport(options.pings ?? true);
    this.adminTransport = options.admin === undefined ? null : new FakeTransport(true);
    const services = new Map<string, ExtService>();
    for (const [name, handle] of Object.entries(options.services ?? {})) services.set(name, { handle });
    this.gateway = new Gateway({
      config,
      text,
      schemas,
      source: {
        load: () => this.next(),
        look: () => this.next(),
        check: (pasted) => Promise.resolve(loadConfig(loadOptions(pasted))),
        lines: (of, paths) => Promise.resolve(paths.map(placesIn(of, {}))),
      },
      dev: options.dev ?? true,
      policyDryRun: options.policyDryRun ?? false,
      certificate: null,
      transport: this.transport,
      tcp: options.tcp === undefined ? null : { transport: options.tcp, certificate: null },
      webtransport: null,
      sse: null,
      tracer: options.tracer ?? null,
      adminTransport: this.adminTransport,
      launchHost: options.launchHost ?? (() => assert.fail("no extension, no host")),
      env: {},
      log,
      build: { version: "0" },
      clock: this.clock,
      services,
      metrics: [],
    });
  }

  async start(): Promise<this> {
    await this.gateway.start();
    return this;
  }

  /** Reloads with another file, given as for a new house. */
  async reload(options: HouseOptions): Promise<ReloadResult> {
    return await this.reloadText(houseText(options));
  }

  async reloadText(text: string): Promise<ReloadResult> {
    this.next = () => Promise.resolve(loadConfig(loadOptions(text)));
    return await this.gateway.reload("admin");
  }

  /** Knocks at the door. */
  upgrade(
    query: string,
    headers: Readonly<Record<string, string>> = {},
    remoteAddress = "192.0.2.1",
  ): UpgradeAnswer {
    assert.ok(this.transport.door, "not started");
    const answer = this.transport.door.upgrade({
      target: `/v1/ws?${query}`,
      remoteAddress,
      header: (name) => headers[name] ?? null,
    });
    if (answer instanceof Promise) assert.fail("answered later");
    return answer;
  }

  /** Knocks at a door that may answer later. */
  async knock(
    query: string,
    headers: Readonly<Record<string, string>> = {},
    remoteAddress = "192.0.2.1",
  ): Promise<UpgradeAnswer> {
    assert.ok(this.transport.door, "not started");
    const header = (name: string) => headers[name] ?? null;
    return await this.transport.door.upgrade({ target: `/v1/ws?${query}`, remoteAddress, header });
  }

  /** Connects with a ticket of any kind; what the gateway says first has not been read. */
  async enter(ticket: string | null, query = "tenant=acme", address = "192.0.2.1"): Promise<Client> {
    const headers: Record<string, string> = ticket === null ? {} : { authorization: `Bearer ${ticket}` };
    const answer = await this.knock(query, headers, address);
    if (!("accept" in answer)) assert.fail(answer.refuse.body);
    const client = new Client(this, answer.accept, address);
    answer.accept.open(client.link);
    this.turn();
    return client;
  }

  /** Connects a user; the greeting has been read. */
  connect(
    user: string,
    more: { sid?: string; cbor?: boolean; address?: string; greet?: boolean } = {},
  ): Client {
    const sid = more.sid === undefined ? "" : `&sid=${more.sid}`;
    const headers: Record<string, string> = more.cbor ? { "sec-websocket-protocol": "wsprism.v1.cbor" } : {};
    const answer = this.upgrade(`tenant=acme&ticket=dev:${user}${sid}`, headers, more.address);
    if (!("accept" in answer)) assert.fail(answer.refuse.body);
    const client = new Client(this, answer.accept, more.address ?? "192.0.2.1");
    answer.accept.open(client.link);
    if (more.greet === false) return client;
    this.turn();
    const [greeting] = client.link.read() as [{ type: string }];
    assert.equal(greeting?.type, "authed");
    return client;
  }

  turn(): void {
    this.transport.turn();
    this.adminTransport?.turn();
  }

  /** All that the gateway holds for the tenant. */
  census(): unknown {
    return this.gateway.census("acme");
  }

  /** Samples of a metric as "labels value", the tenant "other" left out. */
  async metric(name: string): Promise<string[]> {
    const response = await this.transport.door!.request(new Request("http://gateway/metrics"), "127.0.0.1");
    const text = await response.text();
    return text.split("\n")
      .filter((line) => new RegExp(`^wsprism_${name}(\\{| )`).test(line) && !line.includes('tenant="other"'))
      .map((line) => line.slice(`wsprism_${name}`.length).trim());
  }
}

/** One client of a house. */
export class Client {
  readonly link: FakeLink;
  readonly handler: LinkHandler;
  readonly #house: House;

  constructor(house: House, handler: LinkHandler, address: string) {
    this.#house = house;
    this.handler = handler;
    this.link = new FakeLink(handler, address, house.transport.limits.pings);
  }

  /** Sends an ext message without ending the turn. */
  tell(svc: string, type: string, more: Readonly<Record<string, unknown>> = {}): void {
    this.handler.text(JSON.stringify({ v: 1, svc, type, ...more }));
  }

  /** Sends an ext message and ends the turn. @returns what came back in it */
  ask(svc: string, type: string, more: Readonly<Record<string, unknown>> = {}): unknown[] {
    this.tell(svc, type, more);
    this.#house.turn();
    return this.link.read();
  }

  /** Sends a hot frame and ends the turn. @returns what came back in it */
  askHot(...bytes: readonly number[]): unknown[] {
    this.handler.binary(Uint8Array.from(bytes));
    this.#house.turn();
    return this.link.read();
  }

  join(room: string): void {
    const [joined] = this.ask("room", "join", { room }) as [{ type: string }];
    assert.equal(joined?.type, "joined");
  }

  /** The peer answers our close, or goes on its own. */
  gone(code = 1006): void {
    this.handler.onClose(code, "");
  }
}

/** Lets what runs on other threads come back, the verifying of tickets for one. */
export async function elsewhere(done: () => boolean): Promise<void> {
  const since = performance.now();
  while (!done()) {
    assert.ok(performance.now() - since < 4000, "it has not come back");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Lets promise callbacks run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}
