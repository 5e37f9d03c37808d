// Tells the other nodes of one tenant's sessions and of their rooms, and this one's registry of theirs.

import { CHANGE, type Change, type Journal } from "../cluster/journal.ts";
import type { Nodes } from "../cluster/nodes.ts";
import type { ForeignSession, Peers } from "../cluster/peers.ts";
import type { Membership, RoomWatcher } from "../room/rooms.ts";
import type { GivesWay, SessionElsewhere, SessionPeers } from "../session/registry.ts";
import type { SessionHandle } from "../session/session_handle.ts";
import type { Tenant } from "../session/tenant.ts";
import { type Clocks, openedMs } from "./clocks.ts";
import type { TenantOrders } from "./tenant_orders.ts";

export interface TenantJournalOptions extends Clocks {
  readonly tenant: string;
  readonly journal: Journal;
  readonly peers: Peers;
  readonly nodes: Pick<Nodes, "find">;
  readonly orders: TenantOrders;
}

export class TenantJournal implements SessionPeers<SessionHandle>, RoomWatcher {
  readonly #options: TenantJournalOptions;

  constructor(options: TenantJournalOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#options.peers.size;
  }

  ofUser(user: string): readonly SessionElsewhere[] {
    return this.#options.peers.ofUser(user);
  }

  end(session: SessionElsewhere, why: GivesWay): void {
    this.#options.orders.end(session as ForeignSession, why);
  }

  opened(session: SessionHandle): void {
    const { journal, tenant } = this.#options;
    journal.add(openedChange(tenant, session, this.#options));
  }

  closed({ session }: SessionHandle): void {
    const { journal, tenant } = this.#options;
    journal.add([CHANGE.closed, tenant, session]);
  }

  movedIn(session: SessionHandle): void {
    this.#options.peers.withdraw(session.session);
    this.opened(session);
  }

  movedOut(session: SessionHandle, incarnation: string): void {
    const { journal, tenant, peers, nodes, now } = this.#options;
    journal.add([CHANGE.moved, tenant, session.session, incarnation]);
    const { user, sid, traceId } = session;
    const node = nodes.find(incarnation) ?? { incarnation, facts: { name: incarnation } };
    const who = { session: session.session, user, sid, traceId, openedMs: openedMs(session, this.#options) };
    const rooms = [...session.memberships.values()].map(({ room, member }) => [room.name, member] as const);
    peers.adopt({ node, ...who, memberships: new Map(), round: 0 }, rooms, now());
  }

  joined(membership: Membership): void {
    const { journal, tenant } = this.#options;
    journal.add(joinedChange(tenant, membership));
  }

  arrived(membership: Membership): void {
    this.joined(membership);
  }

  left({ subscriber, room }: Membership): void {
    const { journal, tenant } = this.#options;
    journal.add([CHANGE.left, tenant, subscriber.session, room.name]);
  }

  emptied(): void {}
}

/** All sessions of some tenants and where they are, as changes that lead there. */
export function* stateOf(tenants: Iterable<Tenant>, clocks: Clocks): Generator<Change> {
  for (const { id, registry } of tenants) {
    for (const session of registry.all()) {
      yield openedChange(id, session, clocks);
      for (const membership of session.memberships.values()) yield joinedChange(id, membership);
    }
  }
}

function openedChange(tenant: string, session: SessionHandle, clocks: Clocks): Change {
  const { session: id, user, sid, traceId } = session;
  return [CHANGE.opened, tenant, id, user, sid, traceId, openedMs(session, clocks)];
}

function joinedChange(tenant: string, { subscriber, room, member }: Membership): Change {
  return [CHANGE.joined, tenant, subscriber.session, room.name, member];
}
