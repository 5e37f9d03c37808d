// An extension host as the gateway has it, without the gateway: a real process of the target (`WSPRISM_TARGET`), spoken to
// in chunks, which a test reads word by word. It plays the gateway's part in what ends a host: time and memory.

import assert from "node:assert/strict";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ChunkReader, writeChunk } from "../../../src/extension/chunks.ts";
import type { Confinement, HostProcess } from "../../../src/extension/host_process.ts";
import { launchHost } from "../../../src/extension/launch.ts";
import {
  CHUNK_BYTES_MAX,
  HOST_SLOT,
  type HostCommand,
  type HostEvent,
  type Program,
  type WorkerCommand,
  type WorkerEvent,
  type WorkerSpec,
} from "../../../src/program/messages.ts";
import { prepareScript } from "../../../src/program/source.ts";
import { DENO } from "../../deno_command.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

export const TARGET: string = process.env["WSPRISM_TARGET"] ?? (process.versions["deno"] ? "deno" : "bun");

type Word = { readonly slot: number } & (HostEvent | WorkerEvent);
type Kind = Word["kind"];
type WordOf<K extends Kind> = Extract<Word, { readonly kind: K }>;

/** Longer than anything takes here, on a machine that is busy. */
const WORD_MS = 20_000;

/** The command of this run's target; undefined is what runs the test. @param start a host that starts elsewhere */
function commandOf(start?: string): readonly string[] | undefined {
  const entry = start ?? `${ROOT}src/extension/host/start.ts`;
  if (TARGET === "executable") {
    return [start ?? process.env["WSPRISM_EXECUTABLE"] ?? `${ROOT}dist/wsprism`];
  }
  if (TARGET.startsWith("deno")) {
    const read = `--allow-read=${ROOT}src,${ROOT}tests/extension`;
    const flags = ["run", "--no-prompt", "--no-remote", "--quiet", "--unstable-worker-options", read];
    return [...DENO, ...flags, entry];
  }
  return [`${ROOT}node_modules/bun/bin/bun.exe`, entry];
}

export interface RawHostOptions {
  /** Starts there instead of where hosts start, without wall 1, say: a module, or an executable where that is the target. */
  readonly start?: string;
  readonly confinement?: Confinement;
}

export class RawHost {
  readonly process: HostProcess;
  /** All words that nobody has taken yet, but reports. */
  readonly #words: Word[] = [];
  readonly #waiting = new Set<() => void>();
  #slot = 0;
  ended: string | null = null;
  /** Largest that it has said to be, in bytes. */
  rssBytes = 0;
  /** When it is to be ended, as a gateway would. */
  bounds: { readonly busyMs: number; readonly rssBytes: number } | null = null;
  /** Why it was. */
  killed: "cpu" | "memory" | null = null;
  readonly stderr: string[] = [];

  constructor({ start, confinement = "required" }: RawHostOptions = {}) {
    const command = commandOf(start);
    this.process = launchHost({ confinement, ...(command === undefined ? {} : { command }) });
    const reader = new ChunkReader(CHUNK_BYTES_MAX);
    this.process.onStderr((line) => this.stderr.push(line));
    this.process.onExit((why) => {
      this.ended = why;
      this.#tell();
    });
    this.process.onData((piece) => {
      for (const { slot, body } of reader.read(piece) ?? []) {
        for (const word of JSON.parse(new TextDecoder().decode(body)) as Word[]) {
          this.#heard({ ...word, slot });
        }
      }
    });
  }

  /** Starts a worker. @returns its slot */
  spawn(program: Program, spec: Partial<WorkerSpec> = {}): number {
    const slot = ++this.#slot;
    const limits = { cpuMs: 100, memoryMb: 64, maxReplyBytes: 65_536, maxRequests: 100, maxTimers: 100 };
    const whole: WorkerSpec = {
      tenant: "acme",
      extension: "under-test",
      role: "service",
      program,
      options: null,
      env: {},
      ...spec,
      limits: { ...limits, ...spec.limits },
    };
    this.#write(HOST_SLOT, { kind: "spawn", slot, spec: whole });
    return slot;
  }

  /** Starts a script of tests/extension, or of the folder that is given. */
  script(file: string, spec: Partial<WorkerSpec> & { readonly root?: string } = {}): number {
    const { root = `${ROOT}tests/extension`, ...rest } = spec;
    const prepared = prepareScript({ root, file });
    assert.ok(prepared.ok, JSON.stringify(prepared));
    return this.spawn(prepared.program, rest);
  }

  say(slot: number, ...orders: readonly WorkerCommand[]): void {
    this.process.write(writeChunk(slot, orders.map((order) => JSON.stringify(order))));
  }

  end(slot: number): void {
    this.#write(HOST_SLOT, { kind: "end", slot });
  }

  call(slot: number, id: number, input: unknown, hook: "onMessage" | "onIngress" = "onMessage"): void {
    const session = { id: "s1", user: "ann", tenant: "acme", rooms: ["a"], activeRoom: "a", claims: {} };
    this.say(slot, { kind: "call", id, hook, input, session, traceId: null });
  }

  /** The next word of one of these kinds, whatever else came before; null once the host has ended. */
  async next<K extends Kind>(...kinds: readonly K[]): Promise<WordOf<K> | null> {
    const deadline = setTimeout(() => this.process.kill(), WORD_MS);
    try {
      for (;;) {
        const at = this.#words.findIndex(({ kind }) => (kinds as readonly Kind[]).includes(kind));
        if (at >= 0) return this.#words.splice(at, 1)[0] as WordOf<K>;
        if (this.ended !== null) return null;
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  /** What a call of `onMessage` came to. */
  async asked(slot: number, input: unknown): Promise<WordOf<"result" | "thrown"> | null> {
    this.call(slot, 1, input);
    return await this.next("result", "thrown");
  }

  async stop(): Promise<void> {
    this.process.kill();
    while (this.ended === null) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  #write(slot: number, order: HostCommand): void {
    this.process.write(writeChunk(slot, [JSON.stringify(order)]));
  }

  #heard(word: Word): void {
    if (word.kind !== "report") this.#words.push(word);
    else {
      this.rssBytes = Math.max(this.rssBytes, word.rssBytes);
      this.#judge(word);
    }
    this.#tell();
  }

  #judge({ rssBytes, workers }: WordOf<"report">): void {
    if (this.bounds === null || this.killed !== null) return;
    if (rssBytes > this.bounds.rssBytes) this.killed = "memory";
    else if (workers.some(({ busyMs }) => busyMs > this.bounds!.busyMs)) this.killed = "cpu";
    if (this.killed !== null) this.process.kill();
  }

  #tell(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}
