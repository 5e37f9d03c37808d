// One tenant's part on this node of a cluster: what the others are told of it, and what they have it do.

import type { Bus, BusReceiver } from "../cluster/bus.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Rooms } from "../room/rooms.ts";
import type { SessionPeers } from "../session/registry.ts";
import type { SessionHandle } from "../session/session_handle.ts";
import type { TargetPeers } from "../session/targets.ts";
import type { Tenant } from "../session/tenant.ts";
import { type Clocks, TenantJournal } from "./tenant_journal.ts";
import { TenantOrders } from "./tenant_orders.ts";

export class TenantNode {
  readonly #id: string;
  readonly #cluster: Cluster;
  readonly #orders: TenantOrders;
  readonly #journal: TenantJournal;

  /** Has no effects. */
  constructor(id: string, cluster: Cluster, { now, unixMs }: Clocks) {
    this.#id = id;
    this.#cluster = cluster;
    const common = { tenant: id, now, unixMs };
    const orders = this.#orders = new TenantOrders({ ...common, cluster });
    this.#journal = new TenantJournal({
      ...common,
      orders,
      journal: cluster.journal,
      peers: cluster.peers(id),
    });
  }

  get sessions(): SessionPeers<SessionHandle> {
    return this.#journal;
  }

  get targets(): TargetPeers {
    return this.#orders;
  }

  openBus(receiver: BusReceiver): Bus {
    return this.#cluster.openBus(this.#id, receiver);
  }

  /** Tells the others who is in which room. */
  follow(rooms: Rooms): void {
    rooms.watch(this.#journal);
  }

  /** The tenant is served from now on. @returns what ends that */
  attach(tenant: Tenant): () => void {
    return this.#orders.attach(tenant);
  }
}
