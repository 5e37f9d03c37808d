// Reads the bodies of requests, no further than they may be long.

import type { Context, MiddlewareHandler, Next } from "hono";
import { readForeign } from "../../protocol/json.ts";
import { JSON_DEPTH_MAX, JsonScan } from "../../protocol/json_scan.ts";
import { refuse } from "./answers.ts";
import type { AdminEnv } from "./admin_context.ts";

/**
 * For routes that take a body. Hono's own `bodyLimit` fails on Deno, where it makes a request out of one that
 * @hono/node-server has made (2.1.9).
 */
export function bounded(bytesMax: () => number): MiddlewareHandler<AdminEnv> {
  return async (c, next): Promise<Response | void> => {
    const { raw, url, method } = c.req;
    const coding = c.req.header("content-encoding")?.trim().toLowerCase();
    if (coding !== undefined && coding !== "" && coding !== "identity") {
      const msg = `the body must come as it is, without content-encoding: ${coding.slice(0, 40)}`;
      return c.json({ code: "BAD_REQUEST", msg }, 415, { "accept-encoding": "identity" });
    }
    const maxBytes = bytesMax();
    const tooLarge = () =>
      refuse(c, { code: "PAYLOAD_TOO_LARGE", msg: `a body must be at most ${maxBytes} bytes` });
    const declared = c.req.header("content-length");
    if (declared !== undefined && c.req.header("transfer-encoding") === undefined) {
      // It ends there. Left to be read in one go, for a stream costs Bun as much as all the rest of a request.
      return Number(declared) <= maxBytes ? await readThen(c, next) : tooLarge();
    }
    const body = await read(raw.body, maxBytes);
    if (body === null) return tooLarge();
    c.req.raw = new Request(url, { method, headers: raw.headers, body });
    return await readThen(c, next);
  };
}

/** Levels of a request around its `data`, and those of `data` that a tenant may allow at most. */
const DEPTH_MAX = 4 + JSON_DEPTH_MAX;

/** The `data` of a message, or of one in a batch, goes on as it came. */
const raw = (key: string, level: number) => key === "data" && (level === 1 || level === 3);

/** Reads the body in place of Hono, which would change what no double holds. What is no JSON at all, Hono refuses. */
async function readThen(c: Context<AdminEnv>, next: Next): Promise<Response | void> {
  const text = await c.req.text();
  const scan = new JsonScan(text, DEPTH_MAX);
  if (scan.whole() || scan.fault !== "syntax") {
    const read = readForeign(text, DEPTH_MAX, { raw });
    if (!read.ok) return refuse(c, { code: "BAD_REQUEST", msg: `body ${read.why}` });
    // Hono's name for it: what validates a body asks for that.
    c.req.json = () => Promise.resolve(read.value as never);
  }
  await next();
}

/** The whole of a stream, or null when it is longer than that. */
async function read(
  stream: ReadableStream<Uint8Array> | null,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = stream?.getReader();
  for (let part = await reader?.read(); part?.done === false; part = await reader!.read()) {
    bytes += part.value.length;
    if (bytes > maxBytes) {
      void reader!.cancel().catch(() => {});
      return null;
    }
    chunks.push(part.value);
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
