// What has been decided about one tenant's users, tickets and itself, and holds until it is taken back or over: bans,
// revoked tickets, a suspension. Kept in the state where there is one, so that it outlives the gateway.

import { Revocations, REVOKED_MAX } from "../admission/revocations.ts";
import type { Log } from "../log.ts";
import { Bans, BANS_MAX } from "../policy/bans.ts";
import type { Entry, State } from "../state/table.ts";
import type { Clock } from "./clock.ts";
import { WriteBehindTable } from "./write_behind_table.ts";

export interface TenantRecordOptions {
  readonly tenant: string;
  /** Opened when it is first needed; null for none: then all of it ends with the process. */
  readonly state: (() => State) | null;
  readonly log: Log;
  readonly wait: Clock["wait"];
  /** Milliseconds by which the clock has been set ahead, and is not believed yet. */
  readonly aheadMs: () => number;
}

/** What was decided. Times are Unix times in milliseconds, infinite for never. */
export type Decision =
  | { readonly about: "ban"; readonly user: string; readonly untilMs: number; readonly by: string }
  | { readonly about: "unban"; readonly user: string }
  | { readonly about: "ticket"; readonly jti: string; readonly untilMs: number }
  | {
    readonly about: "tickets";
    readonly user: string;
    readonly untilMs: number;
    readonly issuedBeforeMs: number;
  }
  | { readonly about: "suspend" | "resume" };

/** Never reached: how many rows there are is bounded, and so is each of them. */
const TABLE_BYTES_MAX = 1_073_741_824;
/** Changes that may wait for the state, in shares of what a table may hold: there can be more of them than rows. */
const WAITING_SHARE = 2;
const SUSPENDED = "suspended";

export class TenantRecord {
  readonly bans: Bans;
  readonly revocations: Revocations;
  /** Told of every decision, for who has to tell others. */
  decided: (decision: Decision) => void = () => {};
  readonly #bans: WriteBehindTable | null;
  readonly #tickets: WriteBehindTable | null;
  readonly #users: WriteBehindTable | null;
  readonly #suspension: WriteBehindTable | null;
  readonly #tenant: string;
  #suspended = false;
  #loading: Promise<void> | null = null;

  /** Has no effects. */
  constructor({ tenant, state, log, wait, aheadMs }: TenantRecordOptions) {
    this.#tenant = tenant;
    const table = (kind: string, max: number): WriteBehindTable | null => {
      if (state === null) return null;
      const name = `${kind}:${tenant}`;
      const open = () => state().table(name, { maxBytes: TABLE_BYTES_MAX });
      return new WriteBehindTable({ name, table: open, waitingMax: max * WAITING_SHARE, log, wait });
    };
    const bans = this.#bans = table("bans", BANS_MAX);
    const tickets = this.#tickets = table("revoked_tickets", REVOKED_MAX);
    const users = this.#users = table("revoked_users", REVOKED_MAX);
    this.#suspension = table("suspension", 1);
    this.bans = new Bans(BANS_MAX, (user, ban) => {
      if (ban === null) bans?.delete(keyOf(user));
      else bans?.put({ key: keyOf(user), value: JSON.stringify({ by: ban.by }), expiresMs: ban.untilMs });
      this.decided(ban === null ? { about: "unban", user } : { about: "ban", ...ban });
    }, aheadMs);
    this.revocations = new Revocations(REVOKED_MAX, (revoked, untilMs) => {
      const expiresMs = Number.isFinite(untilMs) ? untilMs : null;
      if ("jti" in revoked) tickets?.put({ key: keyOf(revoked.jti), value: "", expiresMs });
      else users?.put({ key: keyOf(revoked.user), value: String(revoked.issuedBeforeMs), expiresMs });
      this.decided({ about: "jti" in revoked ? "ticket" : "tickets", ...revoked, untilMs } as Decision);
    });
  }

  /** By an administrator, whatever the configuration says. */
  get suspended(): boolean {
    return this.#suspended;
  }

  set suspended(suspended: boolean) {
    this.#suspended = suspended;
    if (suspended) this.#suspension?.put({ key: SUSPENDED, value: "", expiresMs: null });
    else this.#suspension?.delete(SUSPENDED);
    this.decided({ about: suspended ? "suspend" : "resume" });
  }

  /** All that holds now. */
  *all(nowMs: number): Generator<Decision> {
    for (const ban of this.bans.behind(null, nowMs)) yield { about: "ban", ...ban };
    for (const { ticketId, user, issuedBeforeMs, untilMs } of this.revocations.all(nowMs)) {
      if (ticketId !== null) yield { about: "ticket", jti: ticketId, untilMs };
      else yield { about: "tickets", user: user!, issuedBeforeMs: issuedBeforeMs!, untilMs };
    }
    if (this.#suspended) yield { about: "suspend" };
  }

  /** Takes up what is kept, once. Nothing may have changed before. @throws when it cannot be read */
  async load(): Promise<void> {
    if (this.#tables.length === 0) return;
    try {
      await (this.#loading ??= this.#load());
    } catch (cause) {
      this.#loading = null;
      throw cause;
    }
  }

  /** Whether all that has changed so far outlives the gateway, once that is known; true where nothing is to. */
  async written(): Promise<boolean> {
    const written = await Promise.all(this.#tables.map((table) => table.written()));
    return written.every((one) => one);
  }

  /** Writes what waits, as far as that can be, and nothing after it. */
  async stop(): Promise<void> {
    await this.written();
    for (const table of this.#tables) table.stop();
  }

  /** Whether nothing is lost when it is forgotten: it can be loaded again, or there is nothing in it. */
  get isDispensable(): boolean {
    const isEmpty = this.bans.size + this.revocations.size === 0 && !this.#suspended;
    const tables = this.#tables;
    return tables.length > 0 ? tables.every((table) => table.isWritten) : isEmpty;
  }

  get #tables(): WriteBehindTable[] {
    return [this.#bans, this.#tickets, this.#users, this.#suspension].filter((table) => table !== null);
  }

  async #load(): Promise<void> {
    try {
      await this.#read();
    } catch (cause) {
      if (!(cause instanceof SyntaxError || cause instanceof TypeError)) throw cause;
      const kept = `what is kept of the bans and revocations of tenant "${this.#tenant}" is damaged`;
      throw new Error(`Cannot read the state: ${kept} (${cause.message})`, { cause });
    }
  }

  async #read(): Promise<void> {
    const [bans, tickets, users, suspension] = await Promise.all([
      this.#bans?.load(BANS_MAX) ?? [],
      this.#tickets?.load(REVOKED_MAX) ?? [],
      this.#users?.load(REVOKED_MAX) ?? [],
      this.#suspension?.load(1) ?? [],
    ]);
    this.bans.restore(bans.map((entry) => {
      const { by } = JSON.parse(entry.value) as { by: unknown };
      if (typeof by !== "string" || entry.expiresMs === null) throw new TypeError("a ban is none");
      return { user: nameOf(entry), untilMs: entry.expiresMs, by };
    }));
    for (const entry of tickets) this.revocations.restore({ jti: nameOf(entry) }, untilOf(entry));
    for (const entry of users) {
      const issuedBeforeMs = Number(entry.value);
      if (!Number.isFinite(issuedBeforeMs)) throw new TypeError("a revocation has no time");
      this.revocations.restore({ user: nameOf(entry), issuedBeforeMs }, untilOf(entry));
    }
    this.#suspended = suspension.length > 0;
  }
}

/** A name as a key. Any text may be one, with what no text in a database may have in it, such as half a character. */
function keyOf(name: string): string {
  return JSON.stringify(name);
}

function nameOf({ key }: Entry): string {
  const name: unknown = JSON.parse(key);
  if (typeof name !== "string") throw new TypeError("a key is no name");
  return name;
}

function untilOf({ expiresMs }: Entry): number {
  return expiresMs ?? Number.POSITIVE_INFINITY;
}
