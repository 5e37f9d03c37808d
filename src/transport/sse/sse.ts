// The port on plain HTTP, for networks that break WebSockets: a GET whose answer is an endless stream of events, and POSTs
// that bring what its client says. It has no listener of its own: requests come from another transport's.

import type { Buffer } from "node:buffer";
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type {
  EventsAnswer,
  EventsHandler,
  GuestTransport,
  HttpRefusal,
  PageRule,
  TransportLimits,
  UpgradeRequest,
  WireFrame,
} from "../port.ts";
import { RunJoiner } from "../stream/run_joiner.ts";
import { Posts } from "./posts.ts";
import { eventOf, extEventOf, type Join, SseLink } from "./sse_link.ts";

/** Where streams are asked for; what they hear goes below it. */
export const SSE_PATH = "/v1/sse";

/** Streams that are gone and whose clients may still say something to them; the oldest is forgotten first. */
const GONE_MAX = 10_000;
/** How long that is told. */
const GONE_MS = 300_000;
/** When a browser that has lost its stream asks again, spread so that a crowd does not come back at once. */
const RETRY_MS = { min: 1000, spread: 2000 };

const LIMITS: TransportLimits = {
  pings: false,
  terminates: true,
  pauses: true,
  showsControl: true, // there are none
  showsFragments: true,
  boundsFragments: true,
  deflates: false,
  renewsTls: true,
  fixed: {},
};

const EVENT_STREAM = {
  "content-type": "text/event-stream",
  "cache-control": "no-store, no-transform",
  // nginx passes on what comes, as it comes.
  "x-accel-buffering": "no",
};

/** One client: its stream, and what may be said to it. */
interface Stream {
  readonly keyDigest: Buffer;
  readonly link: SseLink;
  readonly posts: Posts;
  readonly pages: PageRule;
  /** Whether its session waits for its client once it is gone. */
  readonly mayResume: (token: string) => boolean;
}

/** What is left of one: no more than this, for there can be many. */
interface Gone extends Pick<Stream, "keyDigest" | "pages" | "mayResume"> {
  /** By which its session goes on; null where it does not. */
  readonly token: string | null;
  readonly until: number;
}

export interface SseOptions {
  readonly maxMessageBytes: number;
  /** For a POST to arrive. */
  readonly bodyTimeoutMs: number;
  readonly afterTurn: (task: () => void) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  readonly random: () => number;
}

export class SseTransport implements GuestTransport {
  readonly name = "sse";
  readonly limits: TransportLimits = LIMITS;
  readonly #options: SseOptions;
  readonly #streams = new Map<string, Stream>();
  /** In the order of their ends. */
  readonly #gone = new Map<string, Gone>();
  #door!: EventsHandler;
  #maxMessageBytes: number;
  readonly #joiners = { all: new RunJoiner(eventOf), ext: new RunJoiner(extEventOf) };
  #forgets = false;

  constructor(options: SseOptions) {
    this.#options = options;
    this.#maxMessageBytes = options.maxMessageBytes;
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size;
  }

  start(door: EventsHandler): void {
    this.#door = door;
  }

  serves(path: string): boolean {
    return path === SSE_PATH || path.startsWith(`${SSE_PATH}/`);
  }

  request(
    request: Request,
    remoteAddress: string,
    drop?: () => void,
  ): Response | Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const { headers } = request;
    const asked = {
      target: `${pathname}${search}`,
      remoteAddress,
      header: (name: string) => headers.get(name),
    };
    if (pathname === SSE_PATH) return this.#streamAsked(request.method, asked, drop);
    return this.#said(request, asked, pathname.slice(SSE_PATH.length + 1));
  }

  boundMessages(maxBytes: number): void {
    this.#maxMessageBytes = maxBytes;
  }

  stop(): Promise<void> {
    for (const { link } of this.#streams.values()) link.terminate();
    this.#gone.clear();
    return Promise.resolve();
  }

  // Streams

  #streamAsked(
    method: string,
    asked: UpgradeRequest,
    drop?: () => void,
  ): Response | Promise<Response> {
    const door = this.#door;
    if (method === "OPTIONS") return preflight(door.pages(asked).headers(asked), "GET");
    if (method !== "GET") return answer(wrongMethod("GET, OPTIONS"), {});
    const answered = door.open(asked);
    return answered instanceof Promise
      ? answered.then((settled) => this.#opened(settled, asked, drop))
      : this.#opened(answered, asked, drop);
  }

  #opened(answered: EventsAnswer, asked: UpgradeRequest, drop?: () => void): Response {
    if ("refuse" in answered) return answer(answered.refuse, this.#door.pages(asked).headers(asked) ?? {});
    const { accept: handler, hot, pages, mayResume } = answered;
    const id = randomBytes(12).toString("base64url");
    const key = randomBytes(24).toString("base64url");
    const retryMs = Math.round(RETRY_MS.min + this.#options.random() * RETRY_MS.spread);
    const data = JSON.stringify({ post: `${SSE_PATH}/${id}`, key });
    const keyDigest = digestOf(key);
    const link = new SseLink({
      handler,
      remoteAddress: asked.remoteAddress,
      hot,
      greeting: `retry: ${retryMs}\nevent: open\ndata: ${data}\n\n`,
      join: hot ? this.#joinAll : this.#joinExt,
      drop: drop ?? null,
      opened: () => void this.#streams.set(id, { keyDigest, link, posts, pages, mayResume }),
      ended: () => {
        this.#streams.delete(id);
        this.#remember(id, { keyDigest, pages, mayResume, token: link.token });
      },
    });
    const posts = new Posts({ link, handler, door: this.#door });
    return new Response(link.body.stream, { headers: { ...EVENT_STREAM, ...pages.headers(asked) } });
  }

  #remember(id: string, gone: Omit<Gone, "until">): void {
    const now = this.#options.now();
    for (const [oldest, { until }] of this.#gone) {
      if (until > now && this.#gone.size < GONE_MAX) break;
      this.#gone.delete(oldest);
    }
    this.#gone.set(id, { ...gone, until: now + GONE_MS });
  }

  // What is said to them

  #said(request: Request, asked: UpgradeRequest, id: string): Response | Promise<Response> {
    const found = this.#streams.get(id) ?? this.#gone.get(id) ?? null;
    const { method } = request;
    // Who asks for what never was learns nothing, from whatever page.
    const page = found === null ? ANY_PAGE : found.pages.headers(asked);
    if (method === "OPTIONS") return preflight(page, "POST, DELETE");
    if (page === null) return this.#stranger(asked, WRONG_PAGE, {});
    if (method !== "POST" && method !== "DELETE") return answer(wrongMethod("POST, DELETE, OPTIONS"), page);
    if (found === null) return this.#stranger(asked, NO_STREAM, page);
    const bearer = /^Bearer +(\S+) *$/i.exec(asked.header("authorization") ?? "");
    if (bearer === null || !timingSafeEqual(digestOf(bearer[1]!), found.keyDigest)) {
      return this.#stranger(asked, WRONG_KEY, page);
    }
    if (!("link" in found)) return answer(goneRefusal({ resume: isWaitedFor(found) }), page);
    if (method === "DELETE") {
      found.link.leave();
      return new Response(null, { status: 204, headers: page });
    }
    return this.#post(found, { request, page });
  }

  async #post(
    { posts, link, mayResume }: Stream,
    { request, page }: { request: Request; page: Readonly<Record<string, string>> },
  ): Promise<Response> {
    const { bodyTimeoutMs } = this.#options;
    const outcome = await posts.take(request, { maxBytes: this.#maxMessageBytes, timeoutMs: bodyTimeoutMs });
    if ("status" in outcome) return answer(outcome, page);
    const { taken } = outcome;
    const { closeCode: close, closeReason: reason } = link;
    const ended = close === 0 ? {} : { close, reason };
    return answer(
      goneRefusal({ resume: isWaitedFor({ token: link.token, mayResume }), ...ended, taken }),
      page,
    );
  }

  #stranger(asked: UpgradeRequest, refusal: HttpRefusal, page: Readonly<Record<string, string>>): Response {
    const waitMs = Math.ceil(this.#door.stranger(asked));
    return answer(waitMs > 0 ? tooMany(waitMs, "too many requests") : refusal, page);
  }

  // Flushes

  readonly #joinAll: Join = (frames, count) => this.#join(this.#joiners.all, frames, count);
  readonly #joinExt: Join = (frames, count) => this.#join(this.#joiners.ext, frames, count);

  #join(joiner: RunJoiner, frames: readonly WireFrame[], count: number): Uint8Array {
    // What was joined in a turn is of no use after it.
    if (count > 1 && !this.#forgets) {
      this.#forgets = true;
      this.#options.afterTurn(this.#forget);
    }
    return joiner.join(frames, count);
  }

  readonly #forget = (): void => {
    this.#forgets = false;
    this.#joiners.all.forget();
    this.#joiners.ext.forget();
  };
}

/** Whether the session of a stream that is gone waits for its client. */
function isWaitedFor({ token, mayResume }: Pick<Gone, "token" | "mayResume">): boolean {
  return token !== null && mayResume(token);
}

const ANY_PAGE = { "access-control-allow-origin": "*" };

function refusal(status: number, code: string, msg: string): HttpRefusal {
  return { status, headers: {}, body: JSON.stringify({ code, msg }) };
}

function wrongMethod(allow: string): HttpRefusal {
  return { ...refusal(405, "BAD_REQUEST", `methods are ${allow}`), headers: { allow } };
}

const WRONG_PAGE = refusal(403, "NOT_ALLOWED", "pages of this origin may not connect");
const WRONG_KEY: HttpRefusal = {
  ...refusal(401, "AUTH_FAILED", "Authorization must be Bearer and the stream's key"),
  headers: { "www-authenticate": "Bearer" },
};
const NO_STREAM: HttpRefusal = {
  status: 404,
  headers: {},
  body: JSON.stringify({ code: "NOT_FOUND", msg: "no such stream: open another", resume: false }),
};

/** What is said of a stream that is gone: whether its session waits for its client, and how it ended. */
function goneRefusal(
  said: { resume: boolean; close?: number; reason?: string; taken?: number },
): HttpRefusal {
  const msg = said.resume ? "stream is gone: come back to its session" : "stream is gone: open another";
  return { status: 410, headers: {}, body: JSON.stringify({ code: "NOT_FOUND", msg, ...said }) };
}

/** @param waitMs whole milliseconds */
function tooMany(waitMs: number, msg: string): HttpRefusal {
  return {
    status: 429,
    headers: { "retry-after": String(Math.ceil(waitMs / 1000)) },
    body: JSON.stringify({ code: "RATE_LIMITED", msg, retry_after_ms: waitMs }),
  };
}

function answer({ status, headers, body }: HttpRefusal, page: Readonly<Record<string, string>>): Response {
  const more = { "content-type": "application/json", "cache-control": "no-store" };
  return new Response(body, { status, headers: { ...more, ...headers, ...page } });
}

/** @param page null for one that may not ask, whose browser is told nothing */
function preflight(page: Readonly<Record<string, string>> | null, methods: string): Response {
  const headers = page === null ? {} : {
    ...page,
    "access-control-allow-methods": methods,
    "access-control-allow-headers": "authorization, content-type, last-event-id, cache-control",
    "access-control-max-age": "600",
  };
  return new Response(null, { status: 204, headers: { ...headers, "cache-control": "no-store" } });
}

function digestOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
