// An extension host in use: what a turn has for its workers goes to it in one piece, what it says is taken apart and
// handed on, and it is ended when it misbehaves. Nothing that it says is believed further than what it is about: its own
// workers.

import type { Log } from "../log.ts";
import { attributeFault, type KillCause, type Seated, type Verdict } from "./fault.ts";
import { ChunkReader, writeChunk } from "./chunks.ts";
import type { Confinement, HostProcess, LaunchHost } from "./host_process.ts";
import {
  CHUNK_BYTES_MAX,
  HOST_SLOT,
  type HostCommand,
  type HostEvent,
  type Walls,
  type WorkerSpec,
} from "../program/messages.ts";
import type { ProcessUsage } from "./process_usage.ts";
import { type ReadEvent, readHostEvents, readWorkerEvents } from "./host_events.ts";

/** Who has a worker in a host. */
export interface WorkerOwner {
  readonly spec: WorkerSpec;
  /** Whether it may take its time: it loads its code. */
  readonly isStarting: boolean;
  /** What its worker said in one turn. @param bytes size of all of it */
  events(events: readonly ReadEvent[], bytes: number): void;
  /** Its worker has ended by itself, or never came to be; the host lives on. */
  gone(why: string): void;
}

/** How a host has ended; `owners` were in it until then. */
export interface HostEnd {
  readonly cause: KillCause;
  readonly detail: string;
  /** Whether it ever ran anything. */
  readonly greeted: boolean;
  readonly owners: ReadonlyMap<number, WorkerOwner>;
  readonly verdict: Verdict;
}

export interface HostOptions {
  readonly tenant: string;
  readonly launch: LaunchHost;
  readonly confinement: Confinement;
  /** Largest that it may be, in bytes; asked each time. */
  readonly maxBytes: () => number;
  /** Runs a task once this turn's readable sockets were read. */
  readonly afterTurn: (task: () => void) => void;
  readonly log: Log;
  /** It has ended by itself, or was ended for what it did. */
  readonly ended: (end: HostEnd) => void;
  /** It will not run workers without walls; it ends. */
  readonly unsafe: (why: string) => void;
}

/** Between two calls of `look`, in milliseconds. */
export const LOOK_MS = 20;
/** Looks without a word of a host before it is ended: counted, not timed, so that a gateway that lags blames nobody. */
const SILENT_LOOKS = 3000 / LOOK_MS;
const HELLO_LOOKS = 15_000 / LOOK_MS;
/** Looks for which it may refuse to read. */
const STALLED_LOOKS = 3000 / LOOK_MS;
/** Characters that may wait for it to read. */
const WAITING_CHARS_MAX = 67_108_864;
/** What it may say within a second, in bytes, and further for each message that it was sent: a busy one has much to answer. */
const SAID_BYTES_MAX = 33_554_432;
const ANSWER_BYTES_MAX = 512;
const SECOND_LOOKS = 1000 / LOOK_MS;
/** Time without yielding that loading code may take, in milliseconds, where `cpu_ms` is less. */
const START_CPU_MS = 1000;
/** Lines of its stderr that are logged within a second. */
const LINES_MAX = 10;
/** How often its CPU time is read, in looks; its memory is at each. */
const CPU_LOOKS = 10;
/** CPU time that it may use without a word of any of its workers, in milliseconds: who answers nobody does not compute for long. */
const MUTE_CPU_MS = 10_000;
/** Characters of a chunk after which another is begun. */
const CHUNK_CHARS = 1_048_576;

export class Host {
  readonly #options: HostOptions;
  readonly #process: HostProcess;
  readonly #reader = new ChunkReader(CHUNK_BYTES_MAX);
  readonly #owners = new Map<number, WorkerOwner>();
  /** Workers that were told to end, with their limits, until they have. */
  readonly #leaving = new Map<number, Seated["limits"]>();
  #lastSlot = HOST_SLOT;
  #greeted = false;
  #over = false;
  /** What waits for its workers, by slot, and how much that is. */
  readonly #waiting = new Map<number, string[]>();
  #waitingChars = 0;
  #flushing = false;
  /** It reads no more for now. */
  #blocked = false;
  #silentLooks = 0;
  #blockedLooks = 0;
  #saidBytes = 0;
  /** Messages that it was sent in this second. */
  #sent = 0;
  #lines = 0;
  #looks = 0;
  #usage: ProcessUsage | null;
  /** CPU time when one of its workers spoke last; null until it was read. */
  #cpuMsAtWord: number | null = null;
  #workersSpoke = true;
  #memoryBytes = 0;
  #report: Extract<HostEvent, { readonly kind: "report" }> | null = null;

  /** @throws in one line, when it cannot be started */
  constructor(options: HostOptions) {
    this.#options = options;
    this.#process = options.launch({ confinement: options.confinement });
    this.#usage = this.#process.usage?.() ?? null;
    this.#process.onData((piece) => {
      try {
        this.#read(piece);
      } catch (error) {
        // Nothing that it says is to throw; what does all the same is its end, and nobody else's.
        const what = error instanceof Error ? error.name : typeof error;
        this.#kill("garbage", `its words could not be taken (${what})`, null);
      }
    });
    this.#process.onDrain(() => {
      this.#blocked = false;
      this.#flush();
    });
    this.#process.onStderr((line) => this.#line(line));
    this.#process.onExit((why) => this.#end("crashed", why, null));
  }

  get pid(): number {
    return this.#process.pid;
  }

  get isOver(): boolean {
    return this.#over;
  }

  get owners(): ReadonlyMap<number, WorkerOwner> {
    return this.#owners;
  }

  /** Workers that have not ended yet though they were told to. */
  get leaving(): number {
    return this.#leaving.size;
  }

  /** As the system tells; as it says itself where the system does not. */
  get rssBytes(): number {
    return this.#usage === null ? this.#report?.rssBytes ?? 0 : this.#memoryBytes;
  }

  /** Starts a worker. @returns its slot */
  take(owner: WorkerOwner): number {
    const slot = ++this.#lastSlot;
    this.#owners.set(slot, owner);
    this.#command({ kind: "spawn", slot, spec: owner.spec });
    return slot;
  }

  /** Ends a worker; its seat hears nothing more. */
  dismiss(slot: number): void {
    const owner = this.#owners.get(slot);
    if (owner === undefined || this.#over) return;
    this.#owners.delete(slot);
    this.#waitingChars -= charsOf(this.#waiting.get(slot));
    this.#waiting.delete(slot);
    this.#leaving.set(slot, owner.spec.limits);
    this.#command({ kind: "end", slot });
  }

  /** Sends a message, JSON already, to a worker with this turn's others. */
  send(slot: number, message: string): void {
    if (this.#over) return;
    const messages = this.#waiting.get(slot);
    if (messages === undefined) this.#waiting.set(slot, [message]);
    else messages.push(message);
    this.#sent++;
    this.#waitingChars += message.length;
    if (this.#waitingChars > WAITING_CHARS_MAX) {
      return this.#kill("stalled", "too much waits for it to be read", null);
    }
    if (this.#flushing) return;
    this.#flushing = true;
    this.#options.afterTurn(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** A worker has broken the rules of these messages, or floods. */
  accuse(slot: number, cause: "garbage" | "flood", detail: string): void {
    this.#kill(cause, detail, slot);
  }

  /** A look at how it does; call it every `LOOK_MS`. */
  look(): void {
    if (this.#over) return;
    if (++this.#looks % SECOND_LOOKS === 0) {
      this.#saidBytes = 0;
      this.#sent = 0;
      this.#lines = 0;
    }
    const limit = this.#greeted ? SILENT_LOOKS : HELLO_LOOKS;
    if (++this.#silentLooks > limit) return this.#kill("silent", "it has not reported for too long", null);
    this.#blockedLooks = this.#blocked ? this.#blockedLooks + 1 : 0;
    if (this.#blockedLooks > STALLED_LOOKS) {
      return this.#kill("stalled", "it does not read what it is sent", null);
    }
    if (this.#usage !== null) this.#lookAtUsage(this.#usage);
  }

  /** What the system says of it: it cannot lie there. */
  #lookAtUsage(usage: ProcessUsage): void {
    this.#memoryBytes = usage.memoryBytes() ?? this.#memoryBytes;
    this.#judgeMemory(this.#memoryBytes);
    if (this.#over || this.#looks % CPU_LOOKS !== 0) return;
    const cpuMs = usage.cpuMs();
    if (cpuMs === null) return;
    if (this.#workersSpoke || this.#cpuMsAtWord === null) this.#cpuMsAtWord = cpuMs;
    this.#workersSpoke = false;
    const used = cpuMs - this.#cpuMsAtWord;
    if (used > MUTE_CPU_MS) this.#kill("cpu", `it computed for ${Math.round(used)} ms without a word`, null);
  }

  /** Ends it, whatever it does; nobody is told. */
  stop(): void {
    this.#over = true;
    this.#forgetUsage();
    this.#process.kill();
  }

  #command(command: HostCommand): void {
    this.send(HOST_SLOT, JSON.stringify(command));
  }

  #flush(): void {
    if (!this.#greeted || this.#over) return;
    // Workers come to be before they are spoken to.
    this.#write(HOST_SLOT);
    for (const slot of this.#waiting.keys()) this.#write(slot);
  }

  #write(slot: number): void {
    const messages = this.#waiting.get(slot);
    if (messages === undefined || this.#blocked) return;
    let chars = 0, count = 0;
    while (count < messages.length && chars < CHUNK_CHARS) chars += messages[count++]!.length;
    const now = count === messages.length ? messages : messages.splice(0, count);
    if (now === messages) this.#waiting.delete(slot);
    this.#waitingChars -= chars;
    if (!this.#process.write(writeChunk(slot, now))) this.#blocked = true;
    if (now !== messages) this.#write(slot);
  }

  #read(piece: Uint8Array): void {
    if (this.#over) return;
    this.#silentLooks = 0;
    this.#saidBytes += piece.length;
    const chunks = this.#reader.read(piece);
    if (chunks === null) return this.#kill("garbage", "its chunk is larger than any may be", null);
    for (const { slot, body } of chunks) {
      if (slot === HOST_SLOT) this.#hostSaid(body);
      else this.#workerSaid(slot, body);
      if (this.#over) return;
    }
    if (this.#saidBytes > SAID_BYTES_MAX + this.#sent * ANSWER_BYTES_MAX) {
      this.#kill("flood", "it says more than anybody reads", null);
    }
  }

  #workerSaid(slot: number, body: Uint8Array): void {
    const owner = this.#owners.get(slot);
    if (owner === undefined) {
      if (slot > this.#lastSlot) this.#kill("garbage", "it speaks for a worker that it does not have", null);
      return; // one that was told to end
    }
    this.#workersSpoke = true;
    const events = readWorkerEvents(body);
    if (events === null) this.#kill("garbage", "a worker's words cannot be read", slot);
    else owner.events(events, body.length);
  }

  #hostSaid(body: Uint8Array): void {
    const events = readHostEvents(body);
    if (events === null) return this.#kill("garbage", "its words cannot be read", null);
    for (const event of events) {
      if (this.#over) return;
      this.#hostEvent(event);
    }
  }

  #hostEvent(event: HostEvent): void {
    switch (event.kind) {
      case "hello":
        if (this.#greeted) return this.#kill("garbage", "it greets twice", null);
        this.#greeted = true;
        this.#tellWalls(event.walls);
        return this.#flush();
      case "unsafe":
        if (this.#greeted) return this.#kill("garbage", "it is unsafe after it was safe", null);
        this.stop();
        return this.#options.unsafe(event.why);
      case "report":
        this.#report = event;
        return this.#judge(event);
      case "gone": {
        this.#leaving.delete(event.slot);
        const owner = this.#owners.get(event.slot);
        this.#owners.delete(event.slot);
        owner?.gone(event.why);
      }
    }
  }

  #tellWalls({ permissions, landlock, seccomp }: Walls): void {
    const { tenant, log } = this.#options;
    const facts = { tenant, pid: this.pid, permissions, landlock, seccomp };
    log.info("extension host ready", facts);
    if (permissions !== "up" && (landlock !== "up" || seccomp !== "up")) {
      log.warn("extensions run without all of their walls", facts);
    }
  }

  #judge({ rssBytes, workers }: Extract<HostEvent, { readonly kind: "report" }>): void {
    for (const { slot, busyMs } of workers) {
      const owner = this.#owners.get(slot);
      const limits = owner === undefined ? this.#leaving.get(slot) : limitsOf(owner);
      if (limits !== undefined && busyMs > limits.cpuMs) {
        return this.#kill("cpu", `it did not yield for ${Math.round(busyMs)} ms`, null);
      }
    }
    if (this.#usage === null) this.#judgeMemory(rssBytes);
  }

  #judgeMemory(bytes: number): void {
    const most = this.#options.maxBytes();
    if (bytes <= most) return;
    this.#kill("memory", `it had ${mebibytes(bytes)} MiB, where ${mebibytes(most)} are its own`, null);
  }

  #forgetUsage(): void {
    this.#usage?.close();
    this.#usage = null;
  }

  #line(line: string): void {
    if (++this.#lines > LINES_MAX) return;
    const { tenant, log } = this.#options;
    log.warn("extension host wrote", { tenant, pid: this.pid, line });
  }

  #kill(cause: KillCause, detail: string, slot: number | null): void {
    if (this.#over) return;
    this.#process.kill();
    this.#end(cause, detail, slot);
  }

  #end(cause: KillCause, detail: string, slot: number | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#forgetUsage();
    const owners = new Map(this.#owners);
    this.#owners.clear();
    const all: Seated[] = [...owners].map(([slot, owner]) => ({ slot, limits: limitsOf(owner) }));
    for (const [slot, limits] of this.#leaving) all.push({ slot, limits });
    const verdict = attributeFault(cause, slot, all, this.#report?.workers ?? []);
    this.#options.ended({ cause, detail, greeted: this.#greeted, owners, verdict });
  }
}

/** What holds for a worker now. */
function limitsOf({ spec: { limits }, isStarting }: WorkerOwner): Seated["limits"] {
  return isStarting ? { ...limits, cpuMs: Math.max(limits.cpuMs, START_CPU_MS) } : limits;
}

function charsOf(messages: readonly string[] | undefined): number {
  return messages?.reduce((sum, { length }) => sum + length, 0) ?? 0;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1_048_576);
}
