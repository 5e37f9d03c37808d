// A tenant's extensions without processes: hosts whose every word a test says, a clock that stands still until told, and
// turns that end when a test says so.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { ChunkReader, writeChunk } from "../../src/extension/chunks.ts";
import { ExtensionSet } from "../../src/extension/extension_set.ts";
import type { HostProcess } from "../../src/extension/host_process.ts";
import {
  HOST_SLOT,
  type HostCommand,
  type HostEvent,
  type WorkerCommand,
  type WorkerEvent,
} from "../../src/program/messages.ts";
import type { ProcessUsage } from "../../src/extension/process_usage.ts";
import { Runner } from "../../src/extension/runner.ts";
import type { Log, LogFields } from "../../src/log.ts";
import type { Envelope } from "../../src/protocol/envelope.ts";
import type { Action, Actor, Performed } from "../../src/service/action.ts";
import type { Answer, Context } from "../../src/service/service.ts";
import { inlineChannel } from "../../src/state/state_channel.ts";
import { StateStore } from "../../src/state/state_store.ts";
import { SILENT } from "../../src/log.ts";
import { Inflow } from "../../src/outbound/inflow.ts";
import { accepted, oneTenant } from "../config/loading.ts";
import { Clock } from "../session/house.ts";

/** All walls. */
export const WALLS = { permissions: "up", landlock: "up", seccomp: "up" };

export class FakeHost implements HostProcess {
  readonly pid: number;
  /** Orders to the host itself. */
  readonly commands: HostCommand[] = [];
  /** Orders to workers, by slot. */
  readonly given = new Map<number, WorkerCommand[]>();
  killed = false;
  /** Whether it reads what it is given. */
  reads = true;
  readonly #reader = new ChunkReader(100_000_000);
  #take: (bytes: Uint8Array) => void = () => {};
  #drained: () => void = () => {};
  #line: (line: string) => void = () => {};
  #exit: (why: string) => void = () => {};

  readonly #usage: () => ProcessUsage | null;

  constructor(pid: number, usage: () => ProcessUsage | null) {
    this.pid = pid;
    this.#usage = usage;
  }

  write(bytes: Uint8Array): boolean {
    assert.equal(this.killed, false, "written to the dead");
    for (const { slot, body } of this.#reader.read(bytes)!) {
      const messages = JSON.parse(Buffer.from(body).toString());
      if (slot === HOST_SLOT) this.commands.push(...messages);
      else this.given.set(slot, [...this.given.get(slot) ?? [], ...messages]);
    }
    return this.reads;
  }
  onData(take: (bytes: Uint8Array) => void): void {
    this.#take = take;
  }
  onDrain(tell: () => void): void {
    this.#drained = tell;
  }
  onStderr(take: (line: string) => void): void {
    this.#line = take;
  }
  onExit(tell: (why: string) => void): void {
    this.#exit = tell;
  }
  closeInput(): void {}

  usage(): ProcessUsage | null {
    return this.#usage();
  }

  kill(): void {
    this.killed = true;
  }

  /** Bytes of its stdout. */
  put(bytes: Uint8Array): void {
    this.#take(bytes);
  }
  say(...events: HostEvent[]): void {
    this.put(writeChunk(HOST_SLOT, events.map((event) => JSON.stringify(event))));
  }
  worker(slot: number, ...events: (WorkerEvent | object)[]): void {
    this.put(writeChunk(slot, events.map((event) => JSON.stringify(event))));
  }
  report(rssMb: number, ...workers: { slot: number; busyMs?: number; heapMb?: number }[]): void {
    this.say({
      kind: "report",
      rssBytes: rssMb * 1_048_576,
      workers: workers.map(({ slot, busyMs = 0, heapMb = 0 }) => ({
        slot,
        busyMs,
        heapBytes: heapMb * 1_048_576,
      })),
    });
  }
  exit(why: string): void {
    this.#exit(why);
  }
  drain(): void {
    this.reads = true;
    this.#drained();
  }
  line(text: string): void {
    this.#line(text);
  }
  /** What a worker was given since this was asked last. */
  read(slot: number): WorkerCommand[] {
    return this.given.get(slot)?.splice(0) ?? [];
  }
  /** Calls among it. */
  calls(slot: number): Extract<WorkerCommand, { kind: "call" }>[] {
    return this.read(slot).filter((command) => command.kind === "call");
  }
  /** The slot of an extension that it was told to start, the last one. */
  slotOf(extension: string): number {
    const spawn = this.commands.findLast((command) =>
      command.kind === "spawn" && command.spec.extension === extension
    );
    assert.ok(spawn, `${extension} was not started`);
    return spawn.slot;
  }
}

/** Scripts that a configuration may name; there is nothing in them, for nothing runs them. */
const FILES = { "a.ts": "A", "b.ts": "B", "c.ts": "C", "changed.ts": "changed" };

export class Stage {
  readonly clock = new Clock();
  readonly hosts: FakeHost[] = [];
  readonly logged: { level: string; message: string; fields: LogFields }[] = [];
  readonly performed: [Action, Actor][] = [];
  /** What comes of the next actions. */
  outcome: Performed = { ok: true, deliveries: 1 };
  /** Why no host can be started; null for no reason. */
  noHost: string | null = null;
  /** What the system says of hosts. */
  usage: () => ProcessUsage | null = () => null;
  /** Whether hosts say hello by themselves. */
  greets = true;
  readonly runner: Runner;
  readonly #tasks: (() => void)[] = [];
  readonly #state = new StateStore({
    open: (listener) => inlineChannel({ maxBytes: 1e9, tenantMaxBytes: 1e9 }, listener),
    log: SILENT,
  });
  set!: ExtensionSet;

  /** @param tenant keys of the tenant as YAML, each in one line */
  constructor(...tenant: string[]) {
    const note = (level: string) => (message: string, fields: LogFields = {}) =>
      void this.logged.push({ level, message, fields });
    const log: Log = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
    this.runner = new Runner("acme", {
      launch: () => {
        if (this.noHost !== null) throw new Error(this.noHost);
        const host = new FakeHost(this.hosts.length + 1, () => this.usage());
        this.hosts.push(host);
        if (this.greets) queueMicrotask(() => host.killed || host.say({ kind: "hello", walls: WALLS }));
        return host;
      },
      afterTurn: (task) => void this.#tasks.push(task),
      state: () => this.#state,
      env: (name) => name === "KEY" ? "value" : undefined,
      inflow: new Inflow(() => performance.now()),
      settings: { confinement: "required", host_memory_mb: 512 },
      ...this.clock,
      now: this.clock.now,
      log,
    });
    this.adopt(...tenant);
  }

  get host(): FakeHost {
    return this.hosts.at(-1)!;
  }

  /** As a reload does it. */
  adopt(...tenant: string[]): void {
    const text = oneTenant(tenant.join("\n    "));
    const { config } = accepted(text, { files: FILES, env: { KEY: "value" } });
    const { services, plugins } = config.tenants[0]!;
    const former = this.set ?? null;
    const actions = {
      perform: (action: Action, by: Actor) => {
        this.performed.push([action, by]);
        return this.outcome;
      },
    };
    this.set = new ExtensionSet({ tenant: "acme", services, plugins, runner: this.runner, actions }, former);
    this.set.start(former);
    former?.retire(this.set);
  }

  /** Ends the event-loop turn, and runs what follows from it. */
  async turn(): Promise<void> {
    await settle();
    for (const task of this.#tasks.splice(0)) task();
    await settle();
  }

  /** Time passes in looks, a turn each. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 20) {
      this.clock.advance(Math.min(20, left));
      await this.turn();
    }
  }

  /** Lets all extensions that were told to start be ready, with these hooks. */
  async ready(...hooks: string[]): Promise<void> {
    await this.turn();
    for (const host of this.hosts) {
      if (host.killed) continue;
      for (const command of host.commands.splice(0)) {
        if (command.kind !== "spawn") continue;
        host.worker(command.slot, {
          kind: "ready",
          hooks: hooks.length > 0 ? hooks : ["onMessage", "onIngress"],
        });
        this.#slots.set(command.spec.extension, [host, command.slot]);
      }
    }
    await this.turn();
  }

  readonly #slots = new Map<string, [FakeHost, number]>();

  /** Where an extension was when it was ready last. */
  at(extension: string): { host: FakeHost; slot: number } {
    const [host, slot] = this.#slots.get(extension)!;
    return { host, slot };
  }

  /** What an extension was called with since this was asked last. */
  calls(extension: string): Extract<WorkerCommand, { kind: "call" }>[] {
    const { host, slot } = this.at(extension);
    return host.calls(slot);
  }

  say(extension: string, ...events: object[]): void {
    const { host, slot } = this.at(extension);
    host.worker(slot, ...events);
  }

  /** A message to a service. */
  ask(svc: string, more: Partial<Envelope> = {}, context: Context = session()): Promise<Answer> {
    const message = {
      ok: true,
      svc,
      type: "t",
      flags: 0,
      seq: 1,
      room: null,
      data: undefined,
      ...more,
    } as Envelope;
    return Promise.resolve(this.set.services.get(svc)!.handle(context, message));
  }

  /** The lines of the log with this message. */
  lines(message: string): LogFields[] {
    return this.logged.filter((line) => line.message === message).map(({ fields }) => fields);
  }
}

/** A session that is in no room. */
export function session(user = "ann", more: object = {}): Context {
  return {
    tenant: "acme",
    user,
    sid: "tab",
    session: `s-${user}`,
    traceId: `t-${user}`,
    claims: {},
    active: null,
    memberships: new Map(),
    ...more,
  } as unknown as Context;
}

export async function settle(): Promise<void> {
  // A state that is in memory answers at an immediate.
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Settled within the turns that have passed, or not at all. */
export async function outcomeOf(answer: Promise<Answer>): Promise<unknown> {
  const result = await Promise.race([answer, settle().then(() => "none yet" as const)]);
  if (result === "none yet") return result;
  return result.ok ? { reply: result.reply } : result.code;
}
