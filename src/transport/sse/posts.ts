// What one client says: POSTs of one message or several, taken in the order in which they came, each message once. A POST
// is read when all before it are taken, in bounded size and time; one that cannot be read is refused whole.

import { createHash } from "node:crypto";
import type { EventsHandler, HttpRefusal, LinkHandler, ReadMessage } from "../port.ts";
import type { SseLink } from "./sse_link.ts";

/** POSTs that wait for their turn, of one client. */
const POSTS_MAX = 16;
/** Messages of one POST. */
const MESSAGES_MAX = 1000;
/** Keys of messages that are remembered, of one client; the oldest is forgotten first. */
const KEYS_MAX = 1024;

/** Of a body that is too large, so much is read and dropped: who is cut off while it writes does not hear why. */
const IGNORED_BYTES_MAX = 1_048_576;

const NOTHING = new Uint8Array(0);

// A byte order mark is no part of JSON, here as little as by other doors.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** What JSON calls space. */
const SPACE: ReadonlySet<string> = new Set(" \t\r\n");

export interface PostsOptions {
  readonly link: SseLink;
  readonly handler: LinkHandler;
  readonly door: Pick<EventsHandler, "read" | "refusedBy">;
}

/** What a POST may cost. */
export interface PostBounds {
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

/** The stream has ended, after so many messages of the POST. */
export interface TakenUntilGone {
  readonly taken: number;
}

interface Message extends ReadMessage {
  readonly text: string;
}

/** What is remembered of a message with a key: not its text, of which there may be a lot. */
interface Taken {
  readonly seq: number | null;
  readonly digest: string;
}

export class Posts {
  readonly #options: PostsOptions;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Messages by their keys, in the order in which they came. */
  readonly #taken = new Map<string, Taken>();

  constructor(options: PostsOptions) {
    this.#options = options;
  }

  /** Takes what a request says. Never rejects. */
  take(request: Request, bounds: PostBounds): Promise<HttpRefusal | TakenUntilGone> {
    if (this.#waiting >= POSTS_MAX) return Promise.resolve(BUSY);
    this.#waiting++;
    const taken = this.#last.then(() => this.#take(request, bounds)).catch(() => BROKEN_OFF);
    this.#last = taken;
    return taken.finally(() => this.#waiting--);
  }

  async #take(request: Request, bounds: PostBounds): Promise<HttpRefusal | TakenUntilGone> {
    const { link, handler } = this.#options;
    const bytes = await bodyOf(request, bounds);
    if (!(bytes instanceof Uint8Array)) return bytes;
    await link.unpaused;
    if (link.isClosed) return { taken: 0 };
    const type = (request.headers.get("content-type") ?? "").toLowerCase();
    if (type.startsWith("application/octet-stream")) {
      if (bytes.length === 0) return EMPTY;
      handler.binary(bytes);
      return link.isClosed ? { taken: 1 } : accepted({ taken: 1 });
    }
    const messages = this.#messagesOf(bytes, type.startsWith("application/x-ndjson"));
    if (!Array.isArray(messages)) {
      // It costs what a message does.
      handler.control(bytes.length);
      return messages;
    }
    return await this.#hear(messages);
  }

  async #hear(messages: readonly Message[]): Promise<HttpRefusal | TakenUntilGone> {
    const { link, handler } = this.#options;
    let taken = 0, duplicates = 0;
    for (const message of messages) {
      const { text, key, seq } = message;
      await link.unpaused;
      if (link.isClosed) return { taken };
      if (key !== null) {
        const digest = createHash("sha256").update(text).digest("base64");
        if (this.#taken.get(key)?.digest === digest) {
          duplicates++;
          continue;
        }
        this.#note(key, { seq, digest });
      }
      taken++;
      handler.text(text);
    }
    if (link.isClosed) return { taken };
    return accepted(duplicates === 0 ? { taken } : { taken, duplicates });
  }

  #note(key: string, taken: Taken): void {
    this.#taken.delete(key);
    this.#taken.set(key, taken);
    if (this.#taken.size > KEYS_MAX) this.#taken.delete(this.#taken.keys().next().value!);
    this.#options.link.wrote ??= (text) => this.#wrote(text);
  }

  /** What was refused may be said again under its key. */
  #wrote(text: string): void {
    const seq = this.#options.door.refusedBy(text);
    if (seq === null) return;
    for (const [key, taken] of this.#taken) if (taken.seq === seq) this.#taken.delete(key);
  }

  #messagesOf(bytes: Uint8Array, isLines: boolean): Message[] | HttpRefusal {
    let text: string;
    try {
      text = trimmed(decoder.decode(bytes));
    } catch {
      return refusal(400, "BAD_REQUEST", "body must be UTF-8");
    }
    if (text === "") return EMPTY;
    const whole = this.#options.door.read(text);
    if ("key" in whole && !isLines) return [{ text, ...whole }];
    const lines = text.split("\n").map(trimmed).filter((line) => line !== "");
    if (lines.length === 1) {
      return "key" in whole ? [{ text, ...whole }] : { status: 400, headers: {}, body: whole.refuse };
    }
    if (lines.length > MESSAGES_MAX) {
      return refusal(413, "PAYLOAD_TOO_LARGE", `a body may hold ${MESSAGES_MAX} messages`);
    }
    const messages: Message[] = [];
    for (const line of lines) {
      const read = this.#options.door.read(line);
      if ("refuse" in read) return { status: 400, headers: {}, body: read.refuse };
      messages.push({ text: line, ...read });
    }
    return messages;
  }
}

/** `String.trim` takes away more than JSON calls space. */
function trimmed(text: string): string {
  let from = 0, to = text.length;
  while (from < to && SPACE.has(text[from]!)) from++;
  while (to > from && SPACE.has(text[to - 1]!)) to--;
  return text.slice(from, to);
}

function refusal(status: number, code: string, msg: string): HttpRefusal {
  return { status, headers: {}, body: JSON.stringify({ code, msg }) };
}

function accepted(body: object): HttpRefusal {
  return { status: 202, headers: {}, body: JSON.stringify(body) };
}

const EMPTY = refusal(400, "BAD_REQUEST", "body must be a message, or several lines of one each");
const TOO_LARGE = refusal(413, "PAYLOAD_TOO_LARGE", "body is larger than a message may be");
const TOO_LATE = refusal(408, "TIMEOUT", "body did not arrive in time");
const BROKEN_OFF = refusal(400, "BAD_REQUEST", "body broke off");
const BUSY: HttpRefusal = {
  status: 429,
  headers: { "retry-after": "1" },
  body: JSON.stringify({
    code: "RATE_LIMITED",
    msg: `${POSTS_MAX} requests of this stream wait already`,
    retry_after_ms: 1000,
  }),
};

/** All of a body, or why it is not taken. */
async function bodyOf(
  request: Request,
  { maxBytes, timeoutMs }: PostBounds,
): Promise<Uint8Array | HttpRefusal> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes + IGNORED_BYTES_MAX) return TOO_LARGE;
  if (request.body === null) return NOTHING;
  const reader = request.body.getReader();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    void reader.cancel().catch(() => {});
  }, timeoutMs);
  try {
    // Copied, for a chunk of a byte may hold on to much more.
    let bytes = NOTHING, size = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (isLate) return TOO_LATE;
      if (done) break;
      const from = size;
      size += value.length;
      if (size > maxBytes) bytes = NOTHING;
      else {
        if (size > bytes.length) {
          const longer = new Uint8Array(Math.max(size, Math.min(2 * bytes.length, maxBytes)));
          longer.set(bytes);
          bytes = longer;
        }
        bytes.set(value, from);
      }
      if (size <= maxBytes + IGNORED_BYTES_MAX) continue;
      void reader.cancel().catch(() => {});
      return TOO_LARGE;
    }
    return size > maxBytes ? TOO_LARGE : bytes.subarray(0, size);
  } finally {
    clearTimeout(timer);
  }
}
