// Reads the bodies of requests, no further than they may be long.

import type { MiddlewareHandler } from "hono";
import { refuse } from "./answers.ts";
import type { AdminEnv } from "./house.ts";

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
      return Number(declared) <= maxBytes ? await next() : tooLarge();
    }
    const body = await read(raw.body, maxBytes);
    if (body === null) return tooLarge();
    c.req.raw = new Request(url, { method, headers: raw.headers, body });
    await next();
  };
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
