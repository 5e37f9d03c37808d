/// <reference path="../bun.d.ts" />
// Handshakes: a process of its own on raw sockets that mints its tickets first. Two ways of it (`Dial`, the only
// argument): so many under way at a time, each left after its 101, or an open loop of which one in ten has a good ticket,
// and the others are signed by a stranger (the dearest to refuse), expired, or no token at all; the good ones stay until
// the end. Each line on stdin is a number of seconds, answered with one JSON object of numbers.

import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { mint, type TicketKey } from "../tickets.ts";
import { cpuSeconds } from "../proc.ts";
import { Latency } from "./latency.ts";

/** What is to be done, and to whom. */
export interface Dial {
  readonly port: number;
  readonly serverPid: number;
  /** What stands before the ticket. */
  readonly path: string;
  readonly key: TicketKey;
  /** Tickets minted in advance. */
  readonly tickets: number;
  readonly pace: { readonly kind: "closed"; readonly underWay: number } | {
    readonly kind: "storm";
    readonly perSecond: number;
    /** Begins the names of users. */
    readonly users: string;
  };
}

/** A handshake without an answer for so long has failed. */
const ANSWER_MS = 10_000;
const GOOD_ONE_IN = 10;
/** After a closed loop, until the server is done with the sessions that have left it. */
const SETTLE_MS = 500;

const dial: Dial = JSON.parse(process.argv[2] ?? "");
const latency = new Latency();
const left: (() => void)[] = [];
const counts = { good: 0, admitted: 0, bad: 0, refused: 0 };

/** One handshake, until the answer's first bytes; never rejects. `status` 0: there was none. */
function handshake(ticket: string): Promise<{ status: number; micros: number; end: () => void }> {
  const start = performance.now();
  const { promise, resolve } = Promise.withResolvers<Awaited<ReturnType<typeof handshake>>>();
  let opened: BunTcpSocket<null> | null = null;
  const done = (status: number) => {
    clearTimeout(timer);
    resolve({ status, micros: (performance.now() - start) * 1000, end: () => opened?.end() });
  };
  const timer = setTimeout(() => done(0), ANSWER_MS);
  Bun.connect<null>({
    hostname: "127.0.0.1",
    port: dial.port,
    data: null,
    socket: {
      open: (socket) => {
        opened = socket;
        socket.write(new TextEncoder().encode(
          `GET ${dial.path}${ticket} HTTP/1.1\r\nHost: 127.0.0.1:${dial.port}\r\nUpgrade: websocket\r\n` +
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
            "Sec-WebSocket-Version: 13\r\n\r\n",
        ));
      },
      // "HTTP/1.1 " and the status; what follows the first answer is of no interest.
      data: (_socket, bytes) => done(Number(new TextDecoder("latin1").decode(bytes.subarray(9, 12)))),
      close: () => done(0),
      connectError: () => done(0),
    },
  }).catch(() => done(0));
  return promise;
}

async function closed(tickets: Iterator<string>, underWay: number, seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let count = 0;
  const worker = async () => {
    for (let next = tickets.next(); !next.done && performance.now() < end; next = tickets.next()) {
      const answer = await handshake(next.value);
      if (answer.status !== 101) throw new Error(`A good ticket was answered with ${answer.status}`);
      answer.end();
      count++;
    }
  };
  await Promise.all(Array.from({ length: underWay }, worker));
  return count;
}

async function storm(tickets: Iterator<string>, perSecond: number, seconds: number): Promise<number> {
  const start = performance.now();
  const under: Promise<void>[] = [];
  const one = async (number: number, ticket: string) => {
    const isGood = number % GOOD_ONE_IN === 0;
    counts[isGood ? "good" : "bad"]++;
    const { status, micros, end } = await handshake(ticket);
    if (isGood && status === 101) {
      counts.admitted++;
      latency.add(micros);
      left.push(end);
      return;
    }
    if (!isGood && status >= 400) counts.refused++;
    end();
  };
  while (performance.now() - start < seconds * 1000) {
    for (const due = (performance.now() - start) * perSecond / 1000; under.length < due;) {
      const { value, done } = tickets.next();
      if (done) throw new Error("There are too few tickets");
      under.push(one(under.length, value));
    }
    await delay(1);
  }
  await Promise.all(under);
  return under.length;
}

const isStorm = dial.pace.kind === "storm";
const users = dial.pace.kind === "storm" ? dial.pace.users : "h";
const minted = await mint(dial.key, dial.tickets, (number) => ({
  user: `${users}${number}`,
  fault: !isStorm || number % GOOD_ONE_IN === 0
    ? null
    : (["stranger", "expired", "garbage"] as const)[number % 3]!,
}));
const tickets = minted.values();
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const seconds = Number(line);
  const [own, server, start] = [process.cpuUsage(), cpuSeconds(dial.serverPid), performance.now()];
  const count = dial.pace.kind === "storm"
    ? await storm(tickets, dial.pace.perSecond, seconds)
    : await closed(tickets, dial.pace.underWay, seconds);
  const took = (performance.now() - start) / 1000;
  const used = process.cpuUsage(own);
  if (!isStorm) await delay(SETTLE_MS);
  const serverCpu = cpuSeconds(dial.serverPid) - server;
  for (const end of left.splice(0)) end();
  const numbers = {
    ...counts,
    count,
    perSecond: count / took,
    serverCpuMicros: serverCpu * 1e6 / count,
    serverCpuShare: serverCpu / took,
    loadCpuMicros: (used.user + used.system) / count,
    goodP99Micros: latency.percentile(0.99),
  };
  process.stdout.write(`${JSON.stringify(numbers)}\n`);
}
process.exit(0);
