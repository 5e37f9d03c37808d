// What the client library costs, beside code that speaks the protocol by hand on the same WebSocket: a program for Node
// (whose WebSocket is that of `ws`) that hears, says, or stays. Its only argument is a `LibraryJob`; each line on stdin is a
// number of seconds, answered with one JSON object of numbers.

import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { Client, webSocket, type WebSocketLike } from "../../clients/typescript/src/mod.ts";

export interface LibraryJob {
  readonly port: number;
  readonly who: "library" | "raw";
  /** Hears what is said in the room, says something there and waits for acks, or is in rooms and keeps quiet. */
  readonly does: "hear" | "say" | "stay";
  readonly room: string;
  /** Messages/s to be said. */
  readonly perSecond: number;
  /** Clients that stay. */
  readonly clients: number;
}

/** One client, whoever made it. */
interface Speaker {
  say(msg: string): Promise<unknown>;
}

const job: LibraryJob = JSON.parse(process.argv[2] ?? "");
/** Messages without an ack yet, at most. */
const UNDER_WAY = 500;
let heard = 0, acked = 0, length = 0;

async function byLibrary(user: string, room: string): Promise<Speaker> {
  const client = new Client(`ws://127.0.0.1:${job.port}`, {
    tenant: "bench",
    ticket: `dev:${user}`,
    transport: webSocket({ WebSocket: WebSocket as unknown as WebSocketLike }),
  });
  const joined = await client.join<{ msg: { msg: string } }>(room);
  joined.on("msg", ({ msg }) => {
    heard++;
    length += msg.length;
  });
  return { say: (msg) => joined.send("send", { msg }) };
}

/** The least that does the same: it parses what comes, and knows which ack is whose. */
async function byHand(user: string, room: string): Promise<Speaker> {
  const socket = new WebSocket(`ws://127.0.0.1:${job.port}/v1/ws?tenant=bench`, {
    headers: { authorization: `Bearer dev:${user}` },
  });
  const waiting = new Map<number, () => void>();
  let seq = 0;
  const ask = (message: object) =>
    new Promise<void>((resolve) => {
      waiting.set(++seq, resolve);
      socket.send(JSON.stringify({ v: 1, ...message, seq, flags: 4 }));
    });
  await new Promise<void>((resolve) => {
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data as string) as { type: string; seq?: number; data: { msg: string } };
      if (message.type === "authed") resolve();
      else if (message.type === "msg") {
        heard++;
        length += message.data.msg.length;
      } else if (message.type === "ack") {
        waiting.get(message.seq!)?.();
        waiting.delete(message.seq!);
      }
    };
  });
  await ask({ svc: "room", type: "join", room });
  return { say: (msg) => ask({ svc: "chat", type: "send", room, data: { msg } }) };
}

const enter = job.who === "library" ? byLibrary : byHand;

async function say(speaker: Speaker, seconds: number): Promise<void> {
  const from = performance.now();
  const before = acked;
  let said = 0;
  for (let now = from; now < from + seconds * 1000; now = performance.now()) {
    // Where the machine is too slow for the rate, the rate gives way: the row tells which it was.
    for (
      const due = (now - from) / 1000 * job.perSecond;
      said < due && said - (acked - before) < UNDER_WAY;
      said++
    ) {
      void speaker.say("a message of some forty characters, as chats have").then(() => acked++);
    }
    await delay(1);
  }
  while (acked - before < said) await delay(1);
}

const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});

async function stay(): Promise<Record<string, number>> {
  const settle = async () => {
    await delay(500);
    collect();
    return process.memoryUsage();
  };
  // What the runtime takes for itself at the first one is nobody's.
  for (let i = 0; i < 50; i++) await enter(`warm-${i}`, `warm-${i % 10}`);
  const before = await settle();
  const kept: Speaker[] = [];
  for (let i = 0; i < job.clients; i++) kept.push(await enter(`${job.who}-${i}`, `stay-${i % 100}`));
  const after = await settle();
  return {
    clients: kept.length,
    residentBytes: after.rss - before.rss,
    heapBytes: after.heapUsed - before.heapUsed,
  };
}

const speaker = job.does === "stay" ? null : await enter(`${job.does}-${job.who}`, job.room);
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const seconds = Number(line);
  let answer: Record<string, number>;
  if (speaker === null) answer = await stay();
  else {
    const before = { heard, acked, cpu: process.cpuUsage() };
    const from = performance.now();
    await (job.does === "say" ? say(speaker, seconds) : delay(seconds * 1000));
    const { user, system } = process.cpuUsage(before.cpu);
    answer = {
      seconds: (performance.now() - from) / 1000,
      messages: job.does === "say" ? acked - before.acked : heard - before.heard,
      cpuSeconds: (user + system) / 1e6,
      bytes: length,
    };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit();
