// A hostile neighbour: does one bad thing (`Neighbour`, the only argument) as fast as it is let, and whenever it is shown
// out, it comes back at once. Each line on stdin is a number of seconds, answered with how often it did it.

import { connect, type Socket } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { clientFrame, OPCODE } from "./frames.ts";

/** What is poured into a socket, over and over. */
export type Neighbour =
  & { readonly port: number; readonly sockets: number }
  & (
    /** A session: what is sent once after its upgrade, then the units one after the other; `reads: false`: never reads. */
    | {
      readonly kind: "session";
      readonly tenant: string;
      readonly protocol?: string;
      readonly first?: readonly Unit[];
      readonly units: readonly Unit[];
      /** Units/s of each session; absent: all it can. */
      readonly perSecond?: number;
      readonly reads?: boolean;
    }
    /** HTTP requests, pipelined; with sessions of a tenant that only read. */
    | { readonly kind: "http"; readonly request: string; readonly audience?: Audience }
    /** One request on each connection, then gone; `hold`: its end is never sent, and the connection stays. */
    | { readonly kind: "visit"; readonly request: string; readonly hold?: boolean }
  );

export interface Audience {
  readonly port: number;
  readonly tenant: string;
  readonly sessions: number;
}

/** A text message, or bytes as they are: frames that were built by hand, in base64. */
export type Unit = { readonly text: string } | { readonly bytes: string };

/** Written at once, at most. */
const BURST_BYTES = 65_536;
/** Connections of a visitor that are held at the same time. */
const HELD_MAX = 500;

const job: Neighbour = JSON.parse(process.argv[2] ?? "");
let did = 0;
let going = false;

function unitBytes(unit: Unit): Uint8Array {
  return "text" in unit
    ? clientFrame(OPCODE.text, new TextEncoder().encode(unit.text))
    : Uint8Array.fromBase64(unit.bytes);
}

/** Units in a row, as many as fit into a burst. */
function burstOf(units: readonly Uint8Array[]): { bytes: Uint8Array; count: number } {
  const size = units.reduce((sum, unit) => sum + unit.length, 0);
  const copies = Math.max(1, Math.floor(BURST_BYTES / size));
  const all = Array.from({ length: copies }, () => units).flat();
  return { bytes: Buffer.concat(all), count: all.length };
}

/** Writes until the socket is full, and again when it is not. */
function pour(socket: Socket, { bytes, count }: ReturnType<typeof burstOf>): void {
  const more = () => {
    while (going && !socket.destroyed && !socket.writableNeedDrain) {
      socket.write(bytes);
      did += count;
    }
    if (!going && !socket.destroyed) setTimeout(more, 50);
  };
  socket.on("drain", more);
  more();
}

function trickle(socket: Socket, units: readonly Uint8Array[], perSecond: number): void {
  const step = () => {
    if (socket.destroyed) return;
    for (let n = 0; going && n < perSecond / 100 && !socket.writableNeedDrain; n++) {
      socket.write(units[did++ % units.length]!);
    }
    setTimeout(step, 10);
  };
  step();
}

function session(of: Neighbour & { kind: "session" }, number: number): void {
  const units = of.units.map(unitBytes);
  const socket = connect(of.port, "127.0.0.1");
  const protocol = of.protocol === undefined ? "" : `sec-websocket-protocol: ${of.protocol}\r\n`;
  socket.once("connect", () => {
    socket.write(
      `GET /v1/ws?tenant=${of.tenant}&ticket=dev:x${number} HTTP/1.1\r\nhost: 127.0.0.1\r\n${protocol}` +
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n" +
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
  });
  socket.once("data", () => {
    for (const unit of of.first ?? []) socket.write(unitBytes(unit));
    if (of.reads === false) socket.pause();
    if (units.length === 0) return;
    if (of.perSecond === undefined) pour(socket, burstOf(units));
    else trickle(socket, units, of.perSecond);
  });
  // What the gateway says ends with its close; what follows it is nobody's to read.
  socket.on("data", (bytes: Uint8Array) => {
    if (bytes.at(-2) === (0x80 | OPCODE.close) || bytes[0] === (0x80 | OPCODE.close)) socket.destroy();
  });
  again(socket, () => session(of, number));
}

function http({ port, request }: { port: number; request: string }): void {
  const socket = connect(port, "127.0.0.1");
  socket.once("connect", () => pour(socket, burstOf([new TextEncoder().encode(request)])));
  socket.on("data", () => {});
  again(socket, () => http({ port, request }));
}

const held: Socket[] = [];

function visit({ port, request, hold = false }: { port: number; request: string; hold?: boolean }): void {
  const next = () => setTimeout(() => visit({ port, request, hold }), going ? 0 : 50);
  if (!going) return void next();
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => socket.destroy());
  socket.once("connect", () => {
    did++;
    socket.write(request);
    if (!hold) return;
    held.push(socket);
    if (held.length > HELD_MAX) held.shift()!.destroy();
    next();
  });
  socket.once("data", () => hold || socket.destroy());
  socket.once("close", () => hold || next());
}

function again(socket: Socket, then: () => void): void {
  socket.on("error", () => socket.destroy());
  socket.once("close", () => setTimeout(then, 1));
}

if (job.kind === "http" && job.audience !== undefined) {
  const { port, tenant, sessions } = job.audience;
  const listener = { kind: "session", port, sockets: sessions, tenant, units: [] } as const;
  for (let number = 0; number < sessions; number++) session(listener, number);
}
for (let number = 0; number < job.sockets; number++) {
  if (job.kind === "session") session(job, number);
  else if (job.kind === "http") http(job);
  else visit(job);
}
await delay(300);
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const before = did;
  going = true;
  await delay(Number(line) * 1000);
  going = false;
  process.stdout.write(`${JSON.stringify({ did: (did - before) / Number(line) })}\n`);
}
process.exit(0);
