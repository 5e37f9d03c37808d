// `ctx.fetch`, done in the gateway for its extensions: only where `permissions.net` says, each name resolved once and the
// connection made to the very address that was checked, redirects followed by hand and checked again like any URL.
// Straight on sockets (see outbound/wire.ts), as no runtime's own fetch can be held to an address.

import { errorText } from "../error_text.ts";
import { lookup } from "node:dns/promises";
import { isUtf8 } from "node:buffer";
import ipaddr from "ipaddr.js";
import type { HttpResponse } from "../outbound/http1.ts";
import type { Share } from "../outbound/inflow.ts";
import { type NoAnswer, Wire } from "../outbound/wire.ts";
import type { ErrorCode } from "../protocol/codes.ts";
import { Semaphore } from "../collections/semaphore.ts";
import { FETCH_BOUNDS, type FetchRequest, readFetch, redirected, wireBytes } from "./fetch_request.ts";
import { type Address, type Destination, NetRules } from "./net_rules.ts";

/** The addresses of a name, as they are to be tried. @throws when it has none */
export type Resolve = (name: string) => Promise<readonly string[]>;

export interface GuardedFetchOptions {
  /** `permissions.net`. */
  readonly allow: readonly string[];
  /** Requests under way at the same time. */
  readonly concurrency: number;
  readonly resolve: Resolve;
  /** Of the tenant, for what is answered. */
  readonly share: Share;
  /** Authorities in PEM instead of the well-known ones. */
  readonly ca?: string;
}

/** An answer; its body is a text where it is UTF-8. */
export type Fetched =
  & { readonly status: number; readonly headers: Readonly<Record<string, string>> }
  & ({ readonly text: string } | { readonly base64: string });

export type FetchOutcome =
  | { readonly ok: true; readonly value: Fetched }
  | { readonly ok: false; readonly code: ErrorCode; readonly msg: string };

type Failure = Extract<FetchOutcome, { ok: false }>;

/** Requests that may wait for their turn. */
const WAITING_MAX = 256;
/** Addresses of one name that are tried. */
const ADDRESSES_MAX = 3;
/** For so long a name's addresses are not asked for again. */
const RESOLVED_MS = 5000;
/** Names that are remembered so, and places to which connections are kept. */
const PLACES_MAX = 64;

const REDIRECTS = [301, 302, 303, 307, 308];
/** Methods that may be sent again when a kept connection turns out to have ended (RFC 9110, section 9.2.2). */
const IDEMPOTENT = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"];

/** Resolves a name as the machine does. */
export async function resolveName(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

export class GuardedFetch {
  readonly #options: GuardedFetchOptions;
  readonly #rules: NetRules;
  readonly #turns: Semaphore;
  readonly #resolved = new Map<
    string,
    { readonly at: number; readonly found: Promise<readonly Address[]> }
  >();
  /** By place, the last used one last. */
  readonly #wires = new Map<string, Wire>();
  #closed = false;

  /** Has no effects. */
  constructor(options: GuardedFetchOptions) {
    this.#options = options;
    this.#rules = new NetRules(options.allow);
    this.#turns = new Semaphore(options.concurrency);
  }

  /** Requests under way. */
  get active(): number {
    return this.#turns.active;
  }

  /** Fetches. Both arguments are whatever an extension said. Never rejects. */
  async fetch(url: unknown, options: unknown): Promise<FetchOutcome> {
    const request = readFetch(url, options);
    if (typeof request === "string") return failure("BAD_REQUEST", request);
    if (this.#turns.isBusy && this.#turns.waiting >= WAITING_MAX) {
      return failure("RESOURCE_EXHAUSTED", `${WAITING_MAX} requests wait for their turn already`);
    }
    const deadline = performance.now() + request.timeoutMs;
    try {
      // Who waits for a turn is told in time as well; the turn, when it comes, ends at once.
      return await inTime(this.#turns.run(() => this.#follow(request, deadline)), deadline) ??
        tooLate(request);
    } catch (cause) {
      return failure("UNAVAILABLE", errorText(cause));
    }
  }

  /** Ends its connections; what is under way fails, and so does what comes. */
  stop(): void {
    this.#closed = true;
    for (const wire of this.#wires.values()) wire.abort();
    this.#wires.clear();
  }

  async #follow(first: FetchRequest, deadline: number): Promise<FetchOutcome> {
    let request = first;
    if (performance.now() >= deadline) return tooLate(request);
    for (let hop = 0;; hop++) {
      const where = this.#rules.destination(request.url);
      if (typeof where === "string") {
        return failure("NOT_ALLOWED", hop === 0 ? where : `a redirect leads on, but ${where}`);
      }
      const answer = await this.#ask(request, where, deadline);
      if (!("status" in answer)) return answer;
      const location = answer.headers.get("location");
      if (!REDIRECTS.includes(answer.status) || location === undefined) {
        return { ok: true, value: this.#options.share.work(() => fetched(answer)) };
      }
      if (hop === FETCH_BOUNDS.redirects) {
        return failure("UNAVAILABLE", `it was redirected more than ${FETCH_BOUNDS.redirects} times`);
      }
      if (!URL.canParse(location, request.url)) return failure("UNAVAILABLE", "it was redirected to no URL");
      request = redirected(request, answer.status, new URL(location, request.url).href);
    }
  }

  async #ask(
    request: FetchRequest,
    where: Destination,
    deadline: number,
  ): Promise<HttpResponse | Failure> {
    const addresses = await this.#addresses(where, deadline);
    if (addresses === null) return tooLate(request);
    for (const address of addresses) {
      const objection = this.#rules.objection(address, where);
      if (objection !== null) return failure("NOT_ALLOWED", objection);
    }
    const { method } = request;
    const bytes = wireBytes(request);
    let last: Failure = failure("UNAVAILABLE", `${where.host} has no address`);
    for (const address of addresses.slice(0, ADDRESSES_MAX)) {
      const timeoutMs = deadline - performance.now();
      if (timeoutMs <= 0) return tooLate(request);
      if (this.#closed) return failure("UNAVAILABLE", "the extension has ended");
      const answer = await this.#wire(where, address).ask({
        bytes,
        timeoutMs,
        repeatable: IDEMPOTENT.includes(method),
        bodyless: method === "HEAD",
      });
      if (answer.ok) return answer;
      last = answer.reason === "timeout" ? tooLate(request) : failure("UNAVAILABLE", told(answer, where));
      if (answer.reason !== "unreachable") return last;
    }
    return last;
  }

  /** The addresses of a destination; null when they did not come in time. */
  async #addresses({ host, address }: Destination, deadline: number): Promise<readonly Address[] | null> {
    if (address !== null) return [address];
    let known = this.#resolved.get(host);
    if (known === undefined || performance.now() - known.at > RESOLVED_MS) {
      known = { at: performance.now(), found: this.#resolve(host) };
      // A failure is asked for again.
      known.found.catch(() => this.#resolved.delete(host));
      bounded(this.#resolved, host, known);
    }
    return await inTime(known.found, deadline);
  }

  async #resolve(name: string): Promise<readonly Address[]> {
    let found: readonly string[];
    try {
      found = await this.#options.resolve(name);
    } catch (cause) {
      throw new Error(`Cannot find the address of ${name}`, { cause });
    }
    // An IPv4-mapped address is the IPv4 that it stands for; with a zone ("%eth0") it is of this link.
    if (found.length === 0 || !found.every((text) => ipaddr.isValid(text) && !text.includes("%"))) {
      throw new Error(`Cannot find the address of ${name}`);
    }
    return found.map((text) => ipaddr.process(text));
  }

  #wire({ scheme, host, port, address: itself }: Destination, address: Address): Wire {
    const key = `${scheme}//${host}:${port} ${address}`;
    const { ca, share } = this.#options;
    const wire = this.#wires.get(key) ?? new Wire({
      host: address.toString(),
      port,
      tls: scheme === "http:"
        ? null
        : { servername: itself === null ? host : null, ...(ca === undefined ? {} : { ca }) },
    }, { bodyBytesMax: FETCH_BOUNDS.responseBytes, share });
    bounded(this.#wires, key, wire)?.close();
    return wire;
  }
}

/** Puts an entry last. @returns the first one's value, when that had to go for it */
function bounded<T>(map: Map<string, T>, key: string, value: T): T | undefined {
  map.delete(key);
  map.set(key, value);
  if (map.size <= PLACES_MAX) return undefined;
  const [first] = map;
  map.delete(first![0]);
  return first![1];
}

async function inTime<T>(promise: Promise<T>, deadline: number): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), Math.max(0, deadline - performance.now()));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function fetched({ status, headers, body }: HttpResponse): Fetched {
  const head = { status, headers: Object.fromEntries(headers) };
  return isUtf8(body) ? { ...head, text: body.toString() } : { ...head, base64: body.toString("base64") };
}

function tooLate({ timeoutMs }: FetchRequest): Failure {
  return failure("TIMEOUT", `no answer within ${Math.round(timeoutMs)} ms`);
}

function told({ reason, msg }: NoAnswer, { scheme, host, port }: Destination): string {
  const what = {
    unreachable: "cannot be reached",
    timeout: "is late",
    broken: "hung up",
    unreadable: "answers badly",
  };
  return `${scheme}//${host}:${port} ${what[reason]}: ${msg}`;
}

function failure(code: ErrorCode, msg: string): Failure {
  return { ok: false, code, msg: `Cannot fetch: ${msg}` };
}
