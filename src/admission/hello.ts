// Connections whose handshake is their first message: `sys.hello` says what a WebSocket says in its query and headers, and is
// answered by the same admission. Until then they are strangers: one message of bounded size within a bounded time, and a
// bounded number of them.

import { CLOSE, type CloseCode, type Refusal, refusal } from "../protocol/codes.ts";
import { decodeJson } from "../protocol/envelope.ts";
import { readForeign } from "../protocol/json.ts";
import { sysRefused } from "../protocol/sys.ts";
import { Timer, type TimerWheel } from "../session/timer_wheel.ts";
import type { Link, LinkHandler } from "../transport/port.ts";
import type { Handshake, HandshakeAnswer, HandshakeRefusal } from "./handshake.ts";
import { readResume } from "./resume_request.ts";
import { TICKET_CHARS_MAX } from "./verifier.ts";

/** A hello: the longest ticket, and an envelope around it. */
const HELLO_CHARS_MAX = TICKET_CHARS_MAX + 4096;
/** Pings before the hello is answered. */
const FRAMES_MAX = 32;
/** Messages while the hello is being answered. */
const EARLY_MAX = 16;
/** How long a refused stranger may take to close. */
const CLOSE_TIMEOUT_MS = 2000;
const TEXT_CHARS_MAX = 1024;

const FLOODING = refusal("RATE_LIMITED", "too many frames before sys.authed", CLOSE.rateLimited);
const HELLO_FIRST = refusal("AUTH_FAILED", "the first message must be sys.hello", CLOSE.authFailed);
const TOO_LATE = refusal("TIMEOUT", "no sys.hello within auth_timeout_ms", CLOSE.authFailed);
const CROWDED = refusal("RESOURCE_EXHAUSTED", "too many connections await their sys.hello", CLOSE.overloaded);
const FAILED = refusal("INTERNAL", "handshake failed", CLOSE.internal);
const BAD_HELLO = refusal(
  "BAD_REQUEST",
  "data of sys.hello must be an object: tenant, and ticket, sid, resume (texts), cbor (true or false), heard (a number)",
  CLOSE.badMessage,
);

export interface HellosOptions {
  /** What admission says to a handshake. */
  readonly answer: (handshake: Handshake) => HandshakeAnswer | Promise<HandshakeAnswer>;
  /** Strangers at the same time; above it, the one that has waited longest goes. */
  readonly max: number;
  readonly timeoutMs: () => number;
  readonly wheel: TimerWheel;
  readonly newId: () => string;
}

/** All connections that have yet to say hello. */
export class Hellos {
  readonly options: HellosOptions;
  readonly #waiting = new Set<Hello>();

  constructor(options: HellosOptions) {
    this.options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** The handler of a new connection. */
  connect(): LinkHandler {
    return new Hello(this);
  }

  enter(hello: Hello): void {
    this.#waiting.add(hello);
    if (this.#waiting.size <= this.options.max) return;
    const oldest = this.#waiting.values().next().value!;
    oldest.end(CROWDED);
  }

  leave(hello: Hello): void {
    this.#waiting.delete(hello);
  }
}

/** One connection: a stranger first, and from its admission on everything goes on to the handler it was given. */
class Hello extends Timer implements LinkHandler {
  readonly #hellos: Hellos;
  #link: Link | null = null;
  #state: "waiting" | "asking" | "refused" | "admitted" | "gone" = "waiting";
  #next: LinkHandler | null = null;
  #frames = 0;
  #early: (string | Uint8Array)[] = [];

  constructor(hellos: Hellos) {
    super();
    this.#hellos = hellos;
  }

  open(link: Link): void {
    this.#link = link;
    const { wheel, timeoutMs } = this.#hellos.options;
    wheel.schedule(this, timeoutMs());
    this.#hellos.enter(this);
  }

  text(message: string): void {
    if (this.#next !== null) return this.#next.text(message);
    if (this.#state === "waiting") this.#hear(message);
    else this.#keep(message);
  }

  binary(message: Uint8Array): void {
    if (this.#next !== null) return this.#next.binary(message);
    if (this.#state === "waiting") this.end(HELLO_FIRST);
    else this.#keep(message);
  }

  pong(): void {
    if (this.#next !== null) this.#next.pong();
    else this.control(0);
  }

  control(bytes: number): void {
    if (this.#next !== null) return this.#next.control(bytes);
    if (++this.#frames > FRAMES_MAX) this.end(FLOODING);
  }

  onDrain(): void {
    this.#next?.onDrain();
  }

  onDatagramsDrain(): void {
    this.#next?.onDatagramsDrain();
  }

  onClose(code: number, reason: string): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#settled();
    this.#next?.onClose(code, reason);
  }

  override onTimer(): number {
    if (this.#state === "refused") this.#link?.terminate();
    else this.end(TOO_LATE);
    return this.#state === "refused" ? CLOSE_TIMEOUT_MS : 0;
  }

  end(refused: Refusal & { readonly retryAfterMs?: number | undefined }): void {
    if (this.#state !== "waiting" && this.#state !== "asking") return;
    this.#settled();
    this.#state = "refused";
    const { wheel, newId } = this.#hellos.options;
    wheel.schedule(this, CLOSE_TIMEOUT_MS);
    const { retryAfterMs } = refused;
    this.#link!.write([sysRefused(newId(), refused, { retryAfterMs })], 1);
    const { code, reason } = refused.close ?? CLOSE.authFailed;
    this.#link!.close(code, reason);
  }

  #hear(message: string): void {
    const { answer } = this.#hellos.options;
    const handshake = message.length > HELLO_CHARS_MAX
      ? HELLO_FIRST
      : readHello(message, this.#link!.remoteAddress);
    if ("ok" in handshake) return this.end(handshake);
    this.#state = "asking";
    let answered: HandshakeAnswer | Promise<HandshakeAnswer>;
    try {
      answered = answer(handshake);
    } catch {
      return this.end(FAILED);
    }
    if (!(answered instanceof Promise)) return this.#answered(answered);
    this.#link!.pause();
    answered.then((settled) => this.#answered(settled), () => this.end(FAILED));
  }

  #answered(answer: HandshakeAnswer): void {
    if (this.#state !== "asking") return;
    this.#link!.resume();
    if ("refuse" in answer) return this.end(refusalOf(answer.refuse));
    this.#settled();
    this.#state = "admitted";
    const next = this.#next = answer.accept;
    next.open(this.#link!);
    const early = this.#early;
    this.#early = [];
    for (const message of early) {
      if (typeof message === "string") next.text(message);
      else next.binary(message);
    }
  }

  #keep(message: string | Uint8Array): void {
    if (this.#state === "asking" && this.#early.push(message) > EARLY_MAX) this.end(FLOODING);
  }

  /** It is no stranger any more, one way or the other. */
  #settled(): void {
    this.#hellos.options.wheel.cancel(this);
    this.#hellos.leave(this);
  }
}

/** A hello as the handshake that it stands for. */
function readHello(message: string, remoteAddress: string): Handshake | Refusal {
  const envelope = decodeJson(message);
  if (!envelope.ok) return { ...envelope.refusal, close: envelope.refusal.close ?? CLOSE.badMessage };
  if (envelope.svc !== "sys" || envelope.type !== "hello") return HELLO_FIRST;
  const read = readForeign(envelope.data?.text ?? "", 2, {});
  if (!read.ok || typeof read.value !== "object" || read.value === null || Array.isArray(read.value)) {
    return BAD_HELLO;
  }
  const { tenant, ticket, sid, cbor, resume, heard } = read.value as Record<string, unknown>;
  if (
    !isText(tenant) || !isText(sid) || !isText(resume) || (ticket !== undefined && typeof ticket !== "string")
  ) {
    return BAD_HELLO;
  }
  if (cbor !== undefined && typeof cbor !== "boolean") return BAD_HELLO;
  if (heard !== undefined && !Number.isSafeInteger(heard)) return BAD_HELLO;
  return {
    remoteAddress,
    header: () => null,
    fault: null,
    tenant: tenant ?? "",
    sid: sid ?? null,
    ticket: ticket === undefined ? null : { ticket, way: "header" },
    cbor: cbor === true,
    resume: readResume(resume ?? null, heard === undefined ? null : String(heard)),
  };
}

function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string" && value.length <= TEXT_CHARS_MAX;
}

/** A handshake's refusal as a message and a close. */
export function refusalOf(
  { status, code, msg, ruleId, retryAfterMs }: HandshakeRefusal,
): Refusal & { readonly retryAfterMs?: number | undefined } {
  const refused: Refusal = { ok: false, code, msg, close: closeOf(status, code) };
  return { ...refused, retryAfterMs, ...(ruleId === undefined ? {} : { ruleId }) };
}

/** The close that fits a refusal's HTTP status. */
function closeOf(status: number, code: Refusal["code"]): CloseCode {
  if (code === "DRAINING") return CLOSE.draining;
  if (code === "SUSPENDED") return CLOSE.suspended;
  if (code === "TOO_MANY_SESSIONS") return CLOSE.tooManySessions;
  switch (status) {
    case 401:
      return CLOSE.authFailed;
    case 403:
      return CLOSE.banned;
    case 429:
      return CLOSE.rateLimited;
    case 503:
      return CLOSE.overloaded;
    case 400:
    case 404:
      return CLOSE.badMessage;
    default:
      return CLOSE.internal;
  }
}
