// POST bodies that are nearly right, for a stream that outlives them or is opened anew.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { type HttpAnswer, SseClient } from "../sse_client.ts";
import type { Door } from "./client.ts";

const GOOD = [
  '{"v":1,"svc":"room","type":"join","room":"fuzz"}',
  '{"v":1,"svc":"chat","type":"send","room":"fuzz","seq":3,"key":"k","data":{"msg":"x"}}',
  '{"v":1,"svc":"sys","type":"ping","data":{"heard":0}}',
  '{"v":1,"svc":"sys","type":"ping"}\n{"v":1,"svc":"sys","type":"ping"}',
  "\x01\x01\x09\x00hi",
];
const TYPES = [
  "application/json",
  "application/x-ndjson",
  "application/octet-stream",
  "text/plain;charset=utf-8",
  "",
];

function mutated(): Buffer {
  const bytes = Buffer.from(GOOD[randomInt(GOOD.length)]!);
  switch (randomInt(4)) {
    case 0:
      return bytes;
    case 1:
      return bytes.subarray(0, randomInt(bytes.length + 1));
    case 2:
      bytes[randomInt(bytes.length)] = randomInt(256);
      return bytes;
    default:
      return Buffer.concat([
        bytes,
        Buffer.from("\n".repeat(randomInt(3))),
        Buffer.from(GOOD[randomInt(GOOD.length)]!),
      ]);
  }
}

/** Sends so many; each is answered with 202 or a refusal that says why. */
export async function fuzzPosts(door: Door, count: number, user = "fuzz"): Promise<void> {
  const peer = { port: Number(new URL(door.origin).port) };
  let client: SseClient | null = null;
  for (let i = 0; i < count; i++) {
    client ??= await SseClient.open(peer, { query: { tenant: "acme", ticket: `dev:${user}`, hot: "1" } });
    const type = TYPES[randomInt(TYPES.length)]!;
    const body = mutated();
    const answer: HttpAnswer = await client.say(body, type === "" ? {} : { "content-type": type });
    const said = `${answer.status} for ${type} ${JSON.stringify(body.toString("latin1"))}`;
    assert.ok([202, 400, 410].includes(answer.status), said);
    const read = JSON.parse(answer.body) as { taken?: number; code?: string };
    assert.ok(answer.status === 202 ? typeof read.taken === "number" : read.code !== undefined, said);
    if (answer.status !== 410) continue;
    client.drop();
    client = null;
  }
  client?.drop();
}
