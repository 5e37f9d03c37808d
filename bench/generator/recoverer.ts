// Clients that lose their connections and come back to their sessions, as docs/recovery.md asks of them: they count what they
// hear, keep what they sent until it was taken, and come back with their token. One of them never loses anything, and speaks.
// Each line on stdin is a command, answered with one JSON object of numbers: `jitter SECONDS`, `away`, `back`.

import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { Latency } from "./latency.ts";

/** Who connects to what. */
export interface Recovery {
  readonly port: number;
  readonly sessions: number;
  readonly rooms: number;
  /** Whether they ask for sessions that outlive their connection. */
  readonly resumes: boolean;
  /** Waits between tries: at random up to `baseMs`, doubled each time up to `maxMs`. */
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  readonly seed: number;
}

/** A connection is cut this often, and is away for so long. */
const UP_MS = [15_000, 20_000] as const;
const DOWN_MS = [1000, 2000] as const;
/** Between two messages to all, and between two questions of each client. */
const TELL_MS = 500;
const ASK_MS = 5000;
/** After the last message, until what is missing is lost. */
const GRACE_MS = 15_000;
/** Handshakes that are under way at the same time, when all connect. */
const AT_ONCE = 256;

const recovery: Recovery = JSON.parse(process.argv[2] ?? "");
const delays = new Latency();
const replies = new Latency();
let maxMicros = 0;
const counts = {
  cuts: 0,
  resumed: 0,
  anew: 0,
  twice: 0,
  outOfOrder: 0,
  asked: 0,
  answered: 0,
  answeredTwice: 0,
};

let seed = recovery.seed;
/** Chance that can be had again (mulberry32). */
function chance(): number {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
}

const between = ([from, to]: readonly [number, number]) => from + chance() * (to - from);
const nowMicros = () => performance.now() * 1000;

class Client {
  readonly #name: string;
  readonly #room: string;
  #socket: WebSocket | null = null;
  #token: string | null = null;
  #heard = 0;
  #isGreeted = false;
  /** Sent, and not known to be taken. */
  #kept: string[] = [];
  #taken = 0;
  #wake: () => void = () => {};
  /** Of the messages to all that were heard. */
  readonly #numbers = new Set<number>();
  #last = 0;
  readonly #asked = new Map<number, number>();
  #seq = 0;
  /** Until when it cannot connect. */
  awayUntil = 0;

  constructor(number: number) {
    this.#name = `u${number}`;
    this.#room = `r${number % recovery.rooms}`;
  }

  get got(): number {
    return this.#numbers.size;
  }

  /** Connects, and comes back if it has been there before. @returns whether that was so */
  async connect(): Promise<boolean> {
    for (let attempt = 0;; attempt++) {
      if (performance.now() >= this.awayUntil) {
        const how = await this.#try();
        if (how !== null) {
          counts[how === "resumed" ? "resumed" : "anew"]++;
          return how === "resumed";
        }
      }
      await delay(chance() * Math.min(recovery.backoff.maxMs, recovery.backoff.baseMs * 2 ** attempt));
    }
  }

  /** Its connection is gone, without a word. */
  cut(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#isGreeted = false;
    (socket as unknown as { terminate(): void } | null)?.terminate();
  }

  say(number: number): void {
    const msg = `${number} ${Math.round(nowMicros())} ${"x".repeat(60)}`;
    this.#send({ v: 1, svc: "chat", type: "send", room: this.#room, data: { msg } });
  }

  /** Something whose answer is for it alone. */
  ask(): void {
    const seq = ++this.#seq;
    counts.asked++;
    this.#asked.set(seq, nowMicros());
    this.#send({ v: 1, svc: "room", type: "leave", room: "elsewhere", seq });
  }

  #send(message: object): void {
    const text = JSON.stringify(message);
    this.#kept.push(text);
    if (this.#isGreeted) this.#socket!.send(text);
    if (!recovery.resumes) this.#kept = [];
    else if (this.#kept.length > 200) this.#sayHeard();
  }

  /** The gateway answers how many it has taken. */
  #sayHeard(): void {
    if (!this.#isGreeted) return;
    const text = JSON.stringify({ v: 1, svc: "sys", type: "ping", data: { heard: this.#heard } });
    this.#kept.push(text);
    this.#socket!.send(text);
  }

  #try(): Promise<"resumed" | "authed" | null> {
    const asks = !recovery.resumes
      ? ""
      : this.#token === null
      ? "&resume=1"
      : `&resume=${this.#token}&heard=${this.#heard}`;
    const url = `ws://127.0.0.1:${recovery.port}/v1/ws?tenant=bench&ticket=dev:${this.#name}${asks}`;
    const { promise, resolve } = Promise.withResolvers<"resumed" | "authed" | null>();
    const socket = new WebSocket(url);
    this.#wake = () => resolve(null);
    socket.onmessage = ({ data }) => {
      if (this.#socket !== null && this.#socket !== socket) return;
      const message = JSON.parse(data as string);
      if (this.#isGreeted) return this.#hear(message);
      this.#socket = socket;
      this.#isGreeted = true;
      this.#greet(message);
      resolve(message.type === "resumed" ? "resumed" : "authed");
    };
    socket.onclose = () => {
      if (this.#socket === socket) {
        this.#socket = null;
        this.#isGreeted = false;
      }
      resolve(null);
    };
    return promise;
  }

  // deno-lint-ignore no-explicit-any -- what the wire says
  #greet({ type, data }: any): void {
    this.#token = data.resume?.token ?? null;
    if (type === "resumed") {
      this.#kept.splice(0, data.heard - this.#taken);
      this.#taken = data.heard;
      for (const text of this.#kept) this.#socket!.send(text);
      return;
    }
    this.#heard = this.#taken = 0;
    this.#kept = [];
    this.#send({ v: 1, svc: "room", type: "join", room: this.#room });
  }

  // deno-lint-ignore no-explicit-any -- what the wire says
  #hear({ svc, type, seq, data }: any): void {
    this.#heard++;
    if (type === "msg") {
      const [number, at] = data.msg.split(" ").map(Number);
      if (this.#numbers.has(number)) counts.twice++;
      else if (number < this.#last) counts.outOfOrder++;
      this.#last = Math.max(this.#last, number);
      this.#numbers.add(number);
      const micros = nowMicros() - at;
      delays.add(micros);
      maxMicros = Math.max(maxMicros, micros);
      if (this.#heard % 100 === 0 && recovery.resumes) this.#sayHeard();
    } else if (type === "left" && seq !== undefined) {
      const at = this.#asked.get(seq);
      if (at === undefined) counts.answeredTwice++;
      else replies.add(nowMicros() - at);
      this.#asked.delete(seq);
      counts.answered++;
    } else if (svc === "sys" && type === "pong" && data?.heard !== undefined) {
      this.#kept.splice(0, Math.max(0, data.heard - this.#taken));
      this.#taken = Math.max(this.#taken, data.heard);
    } else if (svc === "sys" && type === "joined") this.#wake();
  }
}

const speakers = Array.from({ length: recovery.rooms }, (_, number) => new Client(number));
const clients = Array.from({ length: recovery.sessions }, (_, number) => new Client(recovery.rooms + number));

async function connectAll(all: readonly Client[]): Promise<void> {
  const waiting = all.values();
  const worker = async () => {
    for (const client of waiting) await client.connect();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Everybody is cut now and then, while something is said to all. */
async function jitter(seconds: number): Promise<Record<string, number>> {
  const end = performance.now() + seconds * 1000;
  const live = clients.map(async (client) => {
    await delay(chance() * UP_MS[1]);
    while (performance.now() < end) {
      client.cut();
      counts.cuts++;
      client.awayUntil = performance.now() + between(DOWN_MS);
      await client.connect();
      await delay(between(UP_MS));
    }
  });
  const ask = clients.map(async (client) => {
    await delay(chance() * ASK_MS);
    for (; performance.now() < end; await delay(ASK_MS)) client.ask();
  });
  let said = 0;
  for (const start = performance.now(); performance.now() < end;) {
    said++;
    for (const speaker of speakers) speaker.say(said);
    await delay(Math.max(0, start + said * TELL_MS - performance.now()));
  }
  await Promise.all([...live, ...ask]);
  const isDone = () => clients.every(({ got }) => got === said) && counts.asked === counts.answered;
  for (const since = performance.now(); !isDone() && performance.now() - since < GRACE_MS;) await delay(100);
  const got = clients.reduce((sum, client) => sum + client.got, 0);
  const ms = (micros: number) => micros / 1000;
  return {
    ...counts,
    said,
    deliveredPercent: 100 * got / (said * clients.length),
    answeredPercent: 100 * counts.answered / Math.max(1, counts.asked),
    p50Ms: ms(delays.percentile(0.5)),
    p95Ms: ms(delays.percentile(0.95)),
    p99Ms: ms(delays.percentile(0.99)),
    maxMs: ms(maxMicros),
    replyP99Ms: ms(replies.percentile(0.99)),
  };
}

/** All lose their connections, and miss ten messages of about 100 bytes. */
async function away(): Promise<Record<string, number>> {
  for (const client of clients) client.cut();
  await delay(1500);
  for (let number = 1; number <= 10; number++) {
    for (const speaker of speakers) speaker.say(number);
    await delay(20);
  }
  await delay(500);
  return {};
}

/** All come back at once. */
async function back(): Promise<Record<string, number>> {
  const start = performance.now();
  await connectAll(clients);
  const greetedMs = performance.now() - start;
  const isDone = () => clients.every(({ got }) => got >= 10);
  for (; !isDone() && performance.now() - start < 60_000;) await delay(10);
  return { ...counts, greetedMs, backMs: performance.now() - start, complete: isDone() ? 1 : 0 };
}

await connectAll(speakers);
await connectAll(clients);
await delay(1000);
counts.anew = 0;
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const [command, seconds] = line.split(" ");
  const numbers = command === "jitter"
    ? await jitter(Number(seconds))
    : command === "back"
    ? await back()
    : await away();
  process.stdout.write(`${JSON.stringify(numbers)}\n`);
}
process.exit(0);
