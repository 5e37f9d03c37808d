// Sessions of one tenant that other nodes have asked for: how each leaves, and where it has gone.

import type { Cluster } from "../cluster/cluster.ts";
import { isCount, isText, ORDER, wireFrame } from "../cluster/wire.ts";
import type { Frame } from "../protocol/frame.ts";
import { Session } from "../session/session.ts";
import type { Tenant } from "../session/tenant.ts";
import type { Clocks } from "./clocks.ts";
import { ASK, pagesOf, wiredFrames } from "./handover_wire.ts";

export interface HandoverOptions extends Clocks {
  readonly cluster: Cluster;
  /** Resolves so many milliseconds later. */
  readonly wait: (ms: number) => Promise<void>;
}

/** How long an asking node may take; then the session may go elsewhere. */
const DEPARTURE_MS = 5000;
/** How long it is known where a session has gone. */
const GONE_MS = 120_000;
const GONE_MAX = 100_000;
/** With a page and all names, one message is within what NATS takes (1 MiB). */
const FRAME_BYTES_MAX = 400_000;
const NAMES_MAX = 2000;
/** Among several NATS servers, a new listener is known to all of them within this time. */
const INTEREST_MS = 100;

/** A session that has been asked for. */
interface Departure {
  readonly session: Session;
  readonly asker: string;
  readonly until: number;
  /** Once it has left: what is still to be fetched. */
  readonly pages: (readonly Frame[])[];
}

/** A session that has left. */
interface Gone {
  readonly session: string;
  readonly user: string;
  readonly node: string;
  readonly until: number;
}

export class Departures {
  readonly #options: HandoverOptions;
  readonly #departures = new Map<string, Departure>();
  /** By the digests of their tokens, and by their names. */
  readonly #gone = new Map<string, Gone>();

  constructor(options: HandoverOptions) {
    this.#options = options;
  }

  /** The node to which a session has gone, by its name or the digest of a token; null for one that has not. */
  nodeOf(key: string): string | null {
    const gone = this.#gone.get(key);
    return gone === undefined || gone.until <= this.#options.now() ? null : gone.node;
  }

  /** Sessions of these users that have gone. */
  goneOf(users: ReadonlySet<string>): string[] {
    const now = this.#options.now();
    return [...this.#gone].flatMap(([key, { session, user, until }]) =>
      key === session && until > now && users.has(user) ? [session] : []
    );
  }

  /** Sessions that have been asked for, or of which something is still to be fetched. */
  get size(): number {
    return this.#departures.size;
  }

  /** A session is here again. */
  returned(session: string): void {
    this.#gone.delete(session);
  }

  /** Answers what another node asks. */
  async answer(
    tenant: Tenant,
    asker: string,
    [ask, ...fields]: readonly unknown[],
  ): Promise<readonly unknown[]> {
    const [first, second, third] = fields;
    if (!isText(first)) return ["bad"];
    switch (ask) {
      case ASK.request:
        return isCount(second)
          ? this.#requested(tenant, asker, { digest: first, heard: second, cbor: third === true })
          : ["bad"];
      case ASK.part:
        return await this.#depart(tenant, asker, first);
      case ASK.page: {
        const departure = this.#departures.get(first);
        const page = isCount(second) ? departure?.pages[second] : undefined;
        if (page === undefined) return ["bad"];
        if (second === departure!.pages.length - 1) this.#departures.delete(first);
        return ["page", wiredFrames(page)];
      }
      default:
        return ["bad"];
    }
  }

  #requested(
    tenant: Tenant,
    asker: string,
    { digest, heard, cbor }: { digest: string; heard: number; cbor: boolean },
  ): readonly unknown[] {
    const found = tenant.settings.resume === null ? "unknown" : tenant.resumeTokens.findDigest(digest);
    if (typeof found === "string") {
      const moved = this.nodeOf(digest);
      return moved === null ? ["gone", found] : ["moved", moved];
    }
    if (!(found instanceof Session) || found.cbor !== cbor) return ["bad"];
    const { session } = found, now = this.#options.now();
    const before = this.#departures.get(session);
    if (before !== undefined && before.asker !== asker && before.until > now) return ["busy"];
    const fault = found.requested(heard);
    if (fault !== null) return fault === "bad" ? ["bad"] : ["gone", fault];
    if (!found.isOpen) return ["gone", "ended"];
    this.#departures.set(session, { session: found, asker, until: now + DEPARTURE_MS, pages: [] });
    void this.#options.wait(DEPARTURE_MS).then(() => this.#forget(session, now));
    return ["here", found.mover()];
  }

  async #depart(tenant: Tenant, asker: string, session: string): Promise<readonly unknown[]> {
    const { cluster: { reliable } } = this.#options;
    const departure = this.#departures.get(session);
    if (departure === undefined || departure.asker !== asker) return ["gone", "ended"];
    // All that NATS has sent before the other node was heard to listen has come by then.
    if (reliable.hasSeveralServers) await this.#options.wait(INTEREST_MS);
    await reliable.settled();
    const { session: found } = departure;
    if (!await found.mayDepart() || this.#departures.get(session) !== departure) return ["gone", "ended"];
    if (!found.isPortable(FRAME_BYTES_MAX, NAMES_MAX)) {
      found.overflow();
      return ["gone", "overflow"];
    }
    const digests = found.digests, { user } = found;
    const parting = found.depart(asker, (frame) => this.forward(tenant, session, frame));
    this.#note([session, ...digests], { session, user, node: asker, until: this.#options.now() + GONE_MS });
    const { rooms, taken, sentCount, detachedMs, names, sent, waiting } = parting;
    const { pages } = departure;
    pages.push(...pagesOf([...sent, ...waiting]));
    // Most have one.
    if (pages.length <= 1) this.#departures.delete(session);
    const head = { rooms, taken, sentCount, detachedMs };
    return ["parting", head, names, sent.length, pages.length, wiredFrames(pages[0] ?? [])];
  }

  /** Brings something to a session that has gone. */
  forward(tenant: Tenant, session: string, frame: Frame): void {
    const node = this.nodeOf(session), { cluster } = this.#options;
    if (node === null) return;
    const wired = wireFrame(frame, cluster.incarnation), { source, sourceNumber } = frame;
    cluster.order(node, tenant.id, ORDER.sessions, wired, null, [session], source, sourceNumber);
  }

  #note(keys: readonly string[], gone: Gone): void {
    const now = this.#options.now();
    for (const [oldest, { until }] of this.#gone) {
      if (until > now && this.#gone.size < GONE_MAX) break;
      this.#gone.delete(oldest);
    }
    for (const key of keys) {
      this.#gone.delete(key);
      this.#gone.set(key, gone);
    }
  }

  #forget(session: string, since: number): void {
    const departure = this.#departures.get(session);
    if (departure !== undefined && departure.until <= since + DEPARTURE_MS) this.#departures.delete(session);
  }
}
