// What is decided about one tenant's users, tickets and itself holds on all nodes: each tells the others, and those that come
// later. Of two decisions about the same thing the later one holds, so that a ban which was taken back does not return with a
// node that was away.

import type { Cluster } from "../cluster/cluster.ts";
import { isCount } from "../cluster/wire.ts";
import type { Decision, TenantRecord } from "./tenant_record.ts";

export interface TenantDecisionsOptions {
  readonly tenant: string;
  readonly cluster: Cluster;
  readonly record: TenantRecord;
  readonly unixMs: () => number;
  /** Does what another node has decided. */
  readonly carryOut: (decision: Decision) => void;
}

/** What a decision is about, as its first field. */
const ABOUT = { ban: 1, unban: 2, ticket: 3, tickets: 4, suspend: 5, resume: 6 } as const;

/** `[about, name, at_ms, until_ms or null, detail]` */
type Wired = readonly [number, string, number, number | null, string | number | null];

/** Decisions that are told in one go. */
const BATCH = 500;
/** Things of which it is remembered when they were decided; the oldest is forgotten first. */
const KNOWN_MAX = 100_000;

export class TenantDecisions {
  readonly #options: TenantDecisionsOptions;
  /** What was decided since the start, or told by others, by what it is about; the oldest first. */
  readonly #known = new Map<string, Wired>();
  #lastMs = 0;
  /** While another node's decision is carried out, which is not told once more. */
  #carryingOut = false;

  constructor(options: TenantDecisionsOptions) {
    this.#options = options;
  }

  /** Tells the others from now on, and hears them. @returns what ends that */
  attach(): () => void {
    const { cluster, tenant, record } = this.#options;
    record.decided = (decision) => this.#decided(decision);
    const stop = cluster.decisions(tenant, {
      heard: (list) => this.#heard(list),
      tell: (node) => this.#tell(node),
    });
    return () => {
      record.decided = () => {};
      stop();
    };
  }

  #decided(decision: Decision): void {
    if (this.#carryingOut) return;
    // Later than all that is known, whatever the clocks of nodes say.
    this.#lastMs = Math.max(this.#options.unixMs(), this.#lastMs + 1);
    const wired = wiredOf(decision, this.#lastMs);
    this.#remember(wired);
    this.#options.cluster.decide(null, this.#options.tenant, [wired]);
  }

  /** Tells a node, null for all, what holds and what was taken back. */
  #tell(node: string | null): void {
    const { cluster, tenant, record, unixMs } = this.#options;
    let batch: Wired[] = [];
    const add = (wired: Wired): void => {
      batch.push(wired);
      if (batch.length < BATCH) return;
      cluster.decide(node, tenant, batch);
      batch = [];
    };
    for (const wired of this.#known.values()) add(wired);
    // What was kept from before the start was decided earlier than all that is known by its time.
    for (const decision of record.all(unixMs())) {
      const wired = wiredOf(decision, 0);
      if (!this.#known.has(keyOf(wired))) add(wired);
    }
    if (batch.length > 0) cluster.decide(node, tenant, batch);
  }

  /** @returns false for what cannot be read */
  #heard(list: readonly unknown[]): boolean {
    let good = true;
    for (const one of list) {
      const wired = readWired(one);
      if (wired === null) {
        good = false;
        continue;
      }
      const known = this.#known.get(keyOf(wired));
      if (known !== undefined && known[2] >= wired[2]) continue;
      if (wired[2] > 0) this.#remember(wired);
      this.#lastMs = Math.max(this.#lastMs, wired[2]);
      this.#carryingOut = true;
      try {
        this.#options.carryOut(decisionOf(wired));
      } finally {
        this.#carryingOut = false;
      }
    }
    return good;
  }

  #remember(wired: Wired): void {
    const key = keyOf(wired);
    this.#known.delete(key);
    this.#known.set(key, wired);
    if (this.#known.size > KNOWN_MAX) this.#known.delete(this.#known.keys().next().value!);
  }
}

function wiredOf(decision: Decision, atMs: number): Wired {
  switch (decision.about) {
    case "ban":
      return [ABOUT.ban, decision.user, atMs, decision.untilMs, decision.by];
    case "unban":
      return [ABOUT.unban, decision.user, atMs, null, null];
    case "ticket":
      return [ABOUT.ticket, decision.jti, atMs, finite(decision.untilMs), null];
    case "tickets":
      return [ABOUT.tickets, decision.user, atMs, finite(decision.untilMs), decision.issuedBeforeMs];
    case "suspend":
    case "resume":
      return [ABOUT[decision.about], "", atMs, null, null];
  }
}

function finite(ms: number): number | null {
  return Number.isFinite(ms) ? ms : null;
}

function decisionOf([about, name, , untilMs, detail]: Wired): Decision {
  const until = untilMs ?? Number.POSITIVE_INFINITY;
  switch (about) {
    case ABOUT.ban:
      return { about: "ban", user: name, untilMs: until, by: String(detail) };
    case ABOUT.unban:
      return { about: "unban", user: name };
    case ABOUT.ticket:
      return { about: "ticket", jti: name, untilMs: until };
    case ABOUT.tickets:
      return { about: "tickets", user: name, untilMs: until, issuedBeforeMs: Number(detail) };
    case ABOUT.suspend:
      return { about: "suspend" };
    default:
      return { about: "resume" };
  }
}

/** What a decision is about: another one about the same takes its place. */
function keyOf([about, name]: Wired): string {
  const thing = about === ABOUT.unban ? ABOUT.ban : about === ABOUT.resume ? ABOUT.suspend : about;
  return `${thing} ${name}`;
}

function readWired(value: unknown): Wired | null {
  if (!Array.isArray(value)) return null;
  const [about, name, atMs, untilMs, detail] = value as unknown[];
  if (!isCount(about) || about < ABOUT.ban || about > ABOUT.resume || typeof name !== "string") return null;
  if (!isCount(atMs) || untilMs !== null && typeof untilMs !== "number") return null;
  if (about === ABOUT.ban && (untilMs === null || typeof detail !== "string")) return null;
  if (about === ABOUT.tickets && typeof detail !== "number") return null;
  return [
    about,
    name,
    atMs,
    untilMs,
    typeof detail === "string" || typeof detail === "number" ? detail : null,
  ];
}
