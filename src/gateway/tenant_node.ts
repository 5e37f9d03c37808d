// One tenant's part on this node of a cluster: what the others are told of it, and what they have it do.

import type { Revoked } from "../admission/revocations.ts";
import type { Bus, BusReceiver } from "../cluster/bus.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Rooms } from "../room/rooms.ts";
import type { SessionPeers } from "../session/registry.ts";
import type { SessionHandle } from "../session/session_handle.ts";
import type { TargetPeers } from "../session/targets.ts";
import type { Tenant } from "../session/tenant.ts";
import type { Clock } from "./clock.ts";
import type { Clocks } from "./clocks.ts";
import { TenantDecisions } from "./tenant_decisions.ts";
import { TenantHandover } from "./tenant_handover.ts";
import { TenantJournal } from "./tenant_journal.ts";
import { TenantOrders } from "./tenant_orders.ts";
import type { Decision, TenantRecord } from "./tenant_record.ts";

/** A tenant that is served here, for what other nodes have decided. */
export interface ServedTenant {
  readonly tenant: Tenant;
  suspend(): void;
  resume(): void;
  revoke(revoked: Revoked, untilMs: number): void;
}

export class TenantNode {
  readonly #id: string;
  readonly #cluster: Cluster;
  readonly #orders: TenantOrders;
  readonly #journal: TenantJournal;
  readonly #clocks: Clocks;
  readonly #handover: TenantHandover;

  /** Has no effects. */
  constructor(id: string, cluster: Cluster, { now, unixMs, wait }: Clocks & Pick<Clock, "wait">) {
    this.#id = id;
    this.#cluster = cluster;
    this.#clocks = { now, unixMs };
    const common = { tenant: id, now, unixMs };
    const handover = this.#handover = new TenantHandover({ cluster, now, unixMs, wait });
    const orders = this.#orders = new TenantOrders({ ...common, cluster, handover });
    this.#journal = new TenantJournal({
      ...common,
      orders,
      journal: cluster.journal,
      nodes: cluster.nodes,
      peers: cluster.peers(id),
    });
  }

  get sessions(): SessionPeers<SessionHandle> {
    return this.#journal;
  }

  get targets(): TargetPeers {
    return this.#orders;
  }

  /** Sessions of which another node has yet to fetch something. */
  get departing(): number {
    return this.#handover.departures.size;
  }

  openBus(receiver: BusReceiver): Bus {
    return this.#cluster.openBus(this.#id, receiver);
  }

  /** Tells the others who is in which room. */
  follow(rooms: Rooms): void {
    rooms.watch(this.#journal);
  }

  /** The tenant is served from now on. @returns what ends that */
  attach(served: ServedTenant, record: TenantRecord): () => void {
    const [id, cluster] = [this.#id, this.#cluster];
    const { unixMs } = this.#clocks;
    const carryOut = (decision: Decision) => carriedOut(served, decision, unixMs());
    const decisions = new TenantDecisions({ tenant: id, cluster, record, carryOut, unixMs });
    const stops = [
      this.#orders.attach(served.tenant),
      this.#handover.attach(served.tenant),
      decisions.attach(),
    ];
    return () => stops.forEach((stop) => stop());
  }
}

/** Does what another node has decided. */
function carriedOut(served: ServedTenant, decision: Decision, nowMs: number): void {
  const { tenant } = served;
  switch (decision.about) {
    case "ban":
      if (decision.untilMs > nowMs) tenant.ban(decision.user, decision.untilMs - nowMs, decision.by);
      return;
    case "unban":
      return void tenant.bans.unban(decision.user);
    case "ticket":
      return served.revoke({ jti: decision.jti }, decision.untilMs);
    case "tickets":
      return served.revoke(
        { user: decision.user, issuedBeforeMs: decision.issuedBeforeMs },
        decision.untilMs,
      );
    case "suspend":
      return served.suspend();
    case "resume":
      return served.resume();
  }
}
