// Answers over HTTP as admission's clients give them, without a network.

import { Buffer } from "node:buffer";
import type { HttpResponse } from "../../src/outbound/http1.ts";
import type { NoAnswer } from "../../src/outbound/http_client.ts";

/** What a test answers: a response, a failure, or never anything. */
export type Answer = Response | Error | "hang";

/** What a client makes of it. */
export async function settled(
  answer: Answer | Promise<Answer>,
  timeoutMs: number,
): Promise<HttpResponse | NoAnswer> {
  const late = new Promise<"hang">((resolve) => setTimeout(() => resolve("hang"), timeoutMs));
  const told = await Promise.race([answer, late]);
  if (told === "hang") {
    await late;
    return { ok: false, reason: "timeout", msg: `no answer within ${timeoutMs} ms` };
  }
  if (told instanceof Error) return { ok: false, reason: "broken", msg: told.message };
  const body = Buffer.from(await told.arrayBuffer());
  return { ok: true, status: told.status, headers: new Map(told.headers), body };
}
