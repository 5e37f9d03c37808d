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
    const maxBytes = bytesMax();
    const declared = Number(c.req.header("content-length") ?? 0);
    const body = declared > maxBytes ? null : await read(raw.body, maxBytes);
    if (body === null) {
      return refuse(c, { code: "PAYLOAD_TOO_LARGE", msg: `a body must be at most ${maxBytes} bytes` });
    }
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
