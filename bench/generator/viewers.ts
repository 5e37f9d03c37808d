// Operators with the console open, each with every view at once: what the page asks of the admin API, as often, and the
// streams of a session and a room that are watched. The argument is a job in JSON; each line on stdin is a number of seconds.

import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

/** The job. */
export interface Viewers {
  readonly adminPort: number;
  readonly authorization: string;
  readonly viewers: number;
  readonly tenant: string;
  /** A user, whose session is watched. */
  readonly user: string;
  readonly room: string;
}

const job = JSON.parse(process.argv[2]!) as Viewers;
const tenant = `/v1/tenants/${job.tenant}`;
const room = `${tenant}/rooms/${job.room}`;
const headers = { authorization: job.authorization };
let answers = 0, events = 0, isOver = false;

async function ask<T>(path: string): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${job.adminPort}${path}`, { headers });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  answers++;
  return await response.json() as T;
}

async function every(ms: number, path: string): Promise<void> {
  while (!isOver) {
    await ask(path);
    await delay(ms);
  }
}

async function watch(path: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${job.adminPort}${path}`, { headers });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  for await (const chunk of response.body!) {
    for (const byte of chunk) if (byte === 0x0a) events++;
    if (isOver) return;
  }
}

async function view(session: string): Promise<void> {
  await Promise.race([
    every(5000, "/v1/overview"),
    every(2000, `${tenant}/slow`),
    every(5000, `${tenant}/sessions?limit=50`),
    every(2000, `${tenant}/sessions/${session}`),
    every(5000, `${tenant}/rooms?limit=50`),
    every(5000, `${room}/members?limit=50`),
    watch(`${tenant}/sessions/${session}/watch`),
    watch(`${room}/watch`),
  ]);
}

process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const [found] =
    (await ask<{ sessions: { session: string }[] }>(`${tenant}/sessions?user=${job.user}`)).sessions;
  isOver = false;
  answers = events = 0;
  const viewing = Array.from({ length: job.viewers }, () => view(found!.session));
  await Promise.race([
    delay(Number(line) * 1000),
    ...viewing.map((one) => one.then(() => Promise.reject(new Error("a view ended")))),
  ]);
  isOver = true;
  process.stdout.write(`${JSON.stringify({ answers, events })}\n`);
}
process.exit(0);
