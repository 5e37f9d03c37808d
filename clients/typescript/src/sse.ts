// Links made of plain HTTP, for networks that break WebSockets: what the gateway says comes as a stream of events, what the
// client says goes in requests of their own, one at a time. A part of its own: `new Client(url, { …, fallback: sse() })`.

import { AWAY } from "./status.ts";
import type { Link, LinkHandler, LinkRequest, Transport } from "./transport.ts";

export interface SseOptions {
  /** In the place of the runtime's own. */
  readonly fetch?: typeof globalThis.fetch;
}

/** Characters of what is sent together. The gateway takes 64 KiB at the least, and UTF-8 makes three bytes of some. */
const BATCH_CHARS = 16_384;
/** What a hot frame counts as, when it waits: each needs a request of its own, and an old one is of no use. */
const FRAME_BYTES = 8192;

/** Streams of events (`/v1/sse`). A ticket goes into the header `Authorization`, never into the address. */
export function sse(options: SseOptions = {}): Transport {
  return {
    open({ url, tenant, ticket, sid, resume, codec }: LinkRequest, handler: LinkHandler): Link {
      const fetch = options.fetch ?? globalThis.fetch;
      const address = new URL(url);
      address.protocol = address.protocol.replace("ws", "http");
      address.pathname = address.pathname.replace(/(\/v1\/ws)?\/?$/, "/v1/sse");
      const query = address.searchParams;
      query.set("tenant", tenant);
      query.set("hot", "1");
      query.set("resume", resume ? resume.token : "1");
      if (resume) query.set("heard", `${resume.heard}`);
      if (sid) query.set("sid", sid);
      const stop = new AbortController();
      const waiting: (string | Uint8Array)[] = [];
      // Browsers, and other runtimes, send a request again by themselves when its connection breaks. The gateway takes a
      // message with a key once.
      const prefix = `${Math.random()}-`;
      let count = 0;
      let buffered = 0;
      let isPosting = false;
      let isOver = false;
      /** Sends to the stream that is open; undefined before it is. */
      let post:
        | ((method: string, body?: string | Uint8Array, type?: string) => Promise<Response>)
        | undefined;

      function over(code: number, reason = "", retryAfterMs?: number): void {
        if (isOver) return;
        isOver = true;
        stop.abort();
        handler.close(code, reason, retryAfterMs);
      }

      /** The gateway has refused a request. */
      async function refused(response: Response, code: number): Promise<void> {
        const said = await response.json().catch(() => ({})) as {
          readonly msg?: string;
          readonly close?: number;
          readonly retry_after_ms?: number;
        };
        over(
          said.close || code,
          `${response.status} ${said.msg ?? response.statusText}`,
          said.retry_after_ms ?? 1000 * Number(response.headers.get("retry-after")),
        );
      }

      async function listen(): Promise<void> {
        const response = await fetch(address, {
          headers: ticket ? { authorization: `Bearer ${ticket}` } : {},
          // Without a ticket, a cookie speaks for the user.
          credentials: ticket ? "same-origin" : "include",
          cache: "no-store",
          signal: stop.signal,
        });
        // A request that cannot be: what it wants to resume was a session in another encoding.
        if (!response.ok || !response.body) return refused(response, response.status === 400 ? 1002 : 1006);
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return over(1006);
          const events = (rest + value).split("\n\n");
          rest = events.pop()!;
          events.forEach(hear);
        }
      }

      function hear(event: string): void {
        if (isOver) return;
        const of = (field: string) =>
          event.split("\n").filter((line) => line.startsWith(field)).map((line) =>
            line.slice(field.length + 1)
          )
            .join("\n");
        const name = of("event:"), data = of("data:");
        if (name === "open") {
          const { post: path, key } = JSON.parse(data) as { readonly post: string; readonly key: string };
          post = (method, body, type) =>
            fetch(new URL(path, address), {
              method,
              headers: { authorization: `Bearer ${key}`, ...type && { "content-type": type } },
              ...body && { body: body as BodyInit, signal: stop.signal },
              credentials: "omit",
              // A goodbye outlives its page.
              keepalive: !body,
            });
        } else if (name === "close") {
          const { code, reason } = JSON.parse(data) as { readonly code: number; readonly reason: string };
          over(code, reason);
        } else if (name === "hot") handler.message(Uint8Array.from(atob(data), (one) => one.charCodeAt(0)));
        else if (data) handler.message(data);
      }

      /** Sends what waits, and what comes meanwhile. One request at a time, for the order of the wire. */
      async function send(): Promise<void> {
        isPosting = true;
        while (waiting.length && !isOver) {
          let body = waiting.shift()!;
          buffered -= weightOf(body);
          if (typeof body === "string") {
            while (typeof waiting[0] === "string" && body.length + waiting[0].length < BATCH_CHARS) {
              buffered -= weightOf(waiting[0]);
              body += `\n${waiting.shift()}`;
            }
          }
          const type = typeof body === "string" ? "x-ndjson" : "octet-stream";
          const response = await post!("POST", body, `application/${type}`);
          // A message that cannot be read is no better when it is sent again.
          if (!response.ok) {
            return refused(response, response.status === 413 ? 4508 : response.status === 400 ? 4505 : 1006);
          }
          await response.text();
        }
        isPosting = false;
      }

      const failed = (error: unknown) => over(1006, `${error}`);
      listen().catch(failed);
      return {
        send(message) {
          const ext = codec.decode(message);
          const one = ext ? JSON.stringify({ key: `${prefix}${++count}`, ...ext }) : message.slice();
          waiting.push(one);
          buffered += weightOf(one);
          if (!isPosting) send().catch(failed);
        },
        close(code = 1005) {
          if (code === AWAY || !post || isOver) return over(code);
          const end = () => over(code);
          post("DELETE").then(end, end);
        },
        get buffered() {
          return buffered;
        },
      };
    },
  };
}

function weightOf(message: string | Uint8Array): number {
  return typeof message === "string" ? message.length : FRAME_BYTES;
}
