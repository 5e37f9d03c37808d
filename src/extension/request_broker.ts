// What an extension asks of the gateway is granted or refused here: by what its configuration permits, by how much it may
// ask in a second, and then by the tenant's own rules.

import { type Refusal, refusal } from "../protocol/codes.ts";
import type { Patterns } from "../protocol/patterns.ts";
import type { Share } from "../outbound/inflow.ts";
import { type Action, type Actions, type Performed, readAction } from "../service/action.ts";
import type { Context } from "../service/service.ts";
import type { ExtensionMetrics } from "./extension_metrics.ts";
import type { Granted, KeyValues } from "./key_values.ts";
import type { RawRequest } from "./host_events.ts";

/** Does what `ctx.fetch` asks. Never rejects. */
export type Fetch = (url: unknown, options: unknown) => Promise<Granted>;

/** The session that a request is for. */
export type Caller = Pick<Context, "session" | "user">;

export interface RequestBrokerOptions {
  /** `svc` of the messages that it sends. */
  readonly svc: string;
  /** Rooms that it may publish to; null for none. */
  readonly publish: Patterns | null;
  /** Whether it may send to others than who called. */
  readonly users: boolean;
  /** Null where it may keep nothing. */
  readonly kv: KeyValues | null;
  /** Null where it may fetch from nowhere. */
  readonly fetch: Fetch | null;
  readonly actions: Actions;
  /** The tenant's, of the loop's time: for what is fetched and what is kept. */
  readonly share: Share;
  /** Actions in a second, and fetches. */
  readonly actionsPerSecond: number;
  /** Requests that may wait for their answer. */
  readonly maxWaiting: number;
  readonly metrics: ExtensionMetrics;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** Uses of `kv` in a second, for each action that is allowed. */
const KV_PER_ACTION = 10;

/** Requests and log lines within a second, above what is granted, at which an extension floods. */
const EXCESS_MAX = 50_000;

const NO_PUBLISH = refusal("NOT_ALLOWED", "permissions.publish does not have this room");
const NO_USERS = refusal("NOT_ALLOWED", "permissions.users is needed to send to others than the caller");
const NO_KV = refusal("NOT_ALLOWED", "permissions.kv is not given");
const NO_FETCH = refusal("NOT_ALLOWED", "permissions.net is empty");
const NO_CALLER = refusal("BAD_REQUEST", "no session calls: join, leave and kick are for the time of a call");
const TOO_OFTEN = refusal("RATE_LIMITED", "limits.max_actions_per_second is used up");
const TOO_MANY = refusal("RATE_LIMITED", "too many requests wait for their answer");
const NO_SUCH_OP = refusal("BAD_REQUEST", "there is no such request");

/** Requests that act on others, by their `op`. */
const ACTIONS: readonly string[] = ["publish", "send", "join", "leave", "kick"];

export class RequestBroker {
  readonly #options: RequestBrokerOptions;
  readonly #actions: Allowance;
  readonly #kv: Allowance;
  readonly #fetches: Allowance;
  #waiting = 0;
  /** Requests refused because too many waited. */
  #tooMany = 0;
  #excessBefore = 0;

  constructor(options: RequestBrokerOptions) {
    this.#options = options;
    this.#actions = new Allowance(options.actionsPerSecond);
    this.#kv = new Allowance(options.actionsPerSecond * KV_PER_ACTION);
    this.#fetches = new Allowance(options.actionsPerSecond);
  }

  /**
   * Whether far more was asked since this was asked last, a second ago, than is ever granted.
   * @param logged log lines that were too many as well, in all
   */
  floods(logged: number): boolean {
    const excess = this.#actions.excess + this.#kv.excess + this.#fetches.excess + this.#tooMany + logged;
    const grown = excess - this.#excessBefore;
    this.#excessBefore = excess;
    return grown > EXCESS_MAX;
  }

  /**
   * @param caller the session that the request is for; null where none calls
   * @param answer called now or later, once. @returns how many characters it hands on
   */
  take(request: RawRequest, caller: Caller | null, answer: (granted: Granted) => number): void {
    const outcome = this.#run(request, caller);
    if (!(outcome instanceof Promise)) return void this.#done(request, outcome, answer);
    this.#waiting++;
    const { share } = this.#options;
    void outcome.then((granted) => {
      this.#waiting--;
      // Writing the answer is a large part of the work that a page of kept values is.
      share.carried(share.work(() => this.#done(request, granted, answer)));
    });
  }

  #run(request: RawRequest, caller: Caller | null): Granted | Promise<Granted> {
    const { op } = request;
    const now = this.#options.now();
    if (ACTIONS.includes(op)) {
      return this.#actions.take(now) ? this.#act(request, caller) : TOO_OFTEN;
    }
    if (this.#waiting >= this.#options.maxWaiting) {
      this.#tooMany++;
      return TOO_MANY;
    }
    const { kv, fetch } = this.#options;
    if (op === "fetch") {
      if (fetch === null) return NO_FETCH;
      return this.#fetches.take(now)
        ? this.#shared(() => fetch(request["url"], request["options"]))
        : TOO_OFTEN;
    }
    if (!op.startsWith("kv.")) return NO_SUCH_OP;
    if (kv === null) return NO_KV;
    if (!this.#kv.take(now)) return TOO_OFTEN;
    return this.#shared(() => kv.run(op.slice("kv.".length), request) ?? NO_SUCH_OP);
  }

  /** Begins work within the tenant's share of the loop: now, or when the share has time again. */
  #shared(begin: () => Granted | Promise<Granted>): Granted | Promise<Granted> {
    const { share } = this.#options;
    if (!share.isBusy) return share.work(begin);
    return new Promise((resolve) => share.later(() => resolve(share.work(begin))));
  }

  #act({ op, receipt, ...fields }: RawRequest, caller: Caller | null): Granted | Promise<Granted> {
    const action = readAction({ ...fields, action: op }, op);
    if (typeof action === "string") return refusal("BAD_REQUEST", action);
    const refused = this.#forbidden(action, caller);
    if (refused !== null) return refused;
    const { actions, svc } = this.#options;
    const performed = actions.perform(action, { svc, session: caller?.session ?? null });
    const granted = (settled: Performed) => grantedOf(action, settled, receipt === true);
    return performed instanceof Promise ? performed.then(granted) : granted(performed);
  }

  #forbidden(action: Action, caller: Caller | null): Refusal | null {
    const { publish, users } = this.#options;
    switch (action.action) {
      case "publish":
        return publish?.allows(action.room) ? null : NO_PUBLISH;
      case "send": {
        if (users) return null;
        const { to } = action;
        const isCaller = "user" in to ? to.user === caller?.user : to.session === caller?.session;
        return isCaller ? null : NO_USERS;
      }
      default:
        return caller === null || action.session !== undefined ? NO_CALLER : null;
    }
  }

  #done({ op }: RawRequest, granted: Granted, answer: (granted: Granted) => number): number {
    // A label must not be an extension's own word.
    if (granted !== NO_SUCH_OP) {
      this.#options.metrics.actions.add({ op, outcome: granted.ok ? "ok" : granted.code });
    }
    return answer(granted);
  }
}

function grantedOf(action: Action, performed: Performed, receipt: boolean): Granted {
  if (!performed.ok) {
    // Whoever sends to a session that has just ended has done nothing wrong.
    return action.action === "send" && performed.code === "NOT_FOUND" ? { ok: true, value: 0 } : performed;
  }
  const { deliveries, stored } = performed;
  if (receipt && action.action === "publish") {
    const { offset = null, epoch = null, duplicate = false } = stored ?? {};
    return { ok: true, value: { deliveries, offset, epoch, duplicate } };
  }
  return action.action === "publish" || action.action === "send"
    ? { ok: true, value: deliveries }
    : { ok: true };
}

/** The order that tells a worker what became of its request. */
export function commandOf(id: number, granted: Granted): string {
  if (!granted.ok) return JSON.stringify({ kind: "refused", id, code: granted.code, msg: granted.msg });
  return granted.json === undefined
    ? JSON.stringify({ kind: "granted", id, value: granted.value })
    : `{"kind":"granted","id":${id},"value":${granted.json}}`;
}

/** So many in a second, saved up for one. */
export class Allowance {
  readonly #perSecond: number;
  #left: number;
  #at = 0;
  /** Refused so far. */
  excess = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** @param now milliseconds of a monotonic clock */
  take(now: number): boolean {
    const elapsed = now - this.#at;
    if (elapsed > 0) {
      this.#left = Math.min(this.#perSecond, this.#left + elapsed * this.#perSecond / 1000);
      this.#at = now;
    }
    if (this.#left < 1) {
      this.excess++;
      return false;
    }
    this.#left--;
    return true;
  }
}
