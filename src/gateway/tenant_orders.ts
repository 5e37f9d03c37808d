// What one tenant has done by other nodes for sessions that these have, and what it does for theirs: messages, actions, and
// the end of a session that gives way to another.

import type { Cluster } from "../cluster/cluster.ts";
import type { ForeignSession, Peers, PeersWatcher } from "../cluster/peers.ts";
import { frameOf, name, ORDER, wireFrame } from "../cluster/wire.ts";
import { CLOSE } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import { sysKicked } from "../protocol/sys.ts";
import { readActions } from "../service/action.ts";
import type { GivesWay } from "../session/registry.ts";
import type { SessionHandle } from "../session/session_handle.ts";
import type { SessionAction, TargetPeers } from "../session/targets.ts";
import type { Tenant } from "../session/tenant.ts";
import type { TenantHandover } from "./tenant_handover.ts";
import { type Clocks, openedMs } from "./clocks.ts";

export interface TenantOrdersOptions extends Clocks {
  readonly tenant: string;
  readonly cluster: Cluster;
  readonly handover: TenantHandover;
}

export class TenantOrders implements TargetPeers, PeersWatcher {
  readonly #options: TenantOrdersOptions;
  readonly #peers: Peers;
  #tenant: Tenant | null = null;

  /** Has no effects. */
  constructor(options: TenantOrdersOptions) {
    this.#options = options;
    this.#peers = options.cluster.peers(options.tenant);
  }

  /** The tenant is served from now on. @returns what ends that */
  attach(tenant: Tenant): () => void {
    this.#tenant = tenant;
    const stops = [
      this.#peers.watch(this),
      this.#options.cluster.obey(tenant.id, (fields) => this.#obey(tenant, fields)),
    ];
    return () => stops.forEach((stop) => stop());
  }

  users(names: ReadonlySet<string>, frame: Frame, except: string | null): number {
    const found = [...names].flatMap((user) => this.#peers.ofUser(user));
    return this.#toNodes(found, ORDER.users, frame, except, ({ user }) => user);
  }

  sessions(names: ReadonlySet<string>, frame: Frame, except: string | null): number {
    const found = [...names].flatMap((name) => this.#peers.find(name) ?? []);
    return this.#toNodes(found, ORDER.sessions, frame, except, ({ session }) => session);
  }

  all(frame: Frame, except: string | null): number {
    const { size } = this.#peers;
    if (
      size === 0 ||
      !this.#order(
        null,
        ORDER.everybody,
        wireFrame(frame, this.#options.cluster.incarnation),
        except,
        null,
        ...named(frame),
      )
    ) return 0;
    return size - (except !== null && this.#peers.find(except) !== undefined ? 1 : 0);
  }

  act(session: string, action: SessionAction): boolean {
    const found = this.#peers.find(session);
    return found !== undefined &&
      this.#order(found, ORDER.act, session, JSON.stringify({ ...action, session }));
  }

  end(session: ForeignSession, why: GivesWay): void {
    this.#order(session, ORDER.end, session.session, why);
  }

  /** A session begins elsewhere with the user and `sid` of one here, and neither node knew of the other's: the older goes. */
  opened({ user, sid, session, openedMs: theirsMs }: ForeignSession): void {
    const registry = this.#tenant?.registry;
    const same = registry?.ofUser(user).find((own) => own.sid === sid);
    if (same === undefined) return;
    const oursMs = openedMs(same, this.#options);
    if (theirsMs > oursMs || theirsMs === oursMs && session > same.session) giveWay(same, "replaced");
  }

  #toNodes(
    found: readonly ForeignSession[],
    order: number,
    frame: Frame,
    except: string | null,
    nameOf: (session: ForeignSession) => string,
  ): number {
    const names = new Map<string, Set<string>>();
    let count = 0;
    for (const session of found) {
      if (session.session === except) continue;
      const { incarnation } = session.node;
      const known = names.get(incarnation);
      if (known === undefined) names.set(incarnation, new Set([nameOf(session)]));
      else known.add(nameOf(session));
      count++;
    }
    const wired = wireFrame(frame, this.#options.cluster.incarnation);
    for (const [node, some] of names) {
      const { cluster, tenant } = this.#options;
      if (!cluster.order(node, tenant, order, wired, except, [...some], ...named(frame))) return 0;
    }
    return count;
  }

  name(frame: Frame): void {
    this.#options.cluster.nodes.name(frame);
  }

  /** Sends something after those of these sessions that have gone on to another node. */
  #follow(
    tenant: Tenant,
    sessions: readonly string[],
    { frame, except }: { frame: Frame; except: string | null },
  ): void {
    for (const session of sessions) {
      if (session !== except) this.#options.handover.departures.forward(tenant, session, frame);
    }
  }

  #order(session: ForeignSession | null, ...fields: readonly unknown[]): boolean {
    const { cluster, tenant } = this.#options;
    return cluster.order(session?.node.incarnation ?? null, tenant, ...fields);
  }

  /** @returns false for what cannot be read */
  #obey(tenant: Tenant, fields: readonly unknown[]): boolean {
    const [order, first, second, third, source, number] = fields;
    const { cluster, handover } = this.#options;
    if (typeof first === "string") {
      if (handover.later(first, () => void this.#obey(tenant, fields))) return true;
      const node = handover.departures.nodeOf(first);
      if (node !== null) return cluster.order(node, tenant.id, ...fields) || true;
    }
    switch (order) {
      case ORDER.end: {
        if (typeof first !== "string" || second !== "replaced" && second !== "max_sessions_exceeded") {
          return false;
        }
        const session = tenant.registry.find(first);
        if (session !== undefined) giveWay(session, second);
        return true;
      }
      case ORDER.act: {
        if (typeof first !== "string" || typeof second !== "string") return false;
        return act(tenant, first, second);
      }
      case ORDER.users:
      case ORDER.sessions:
      case ORDER.everybody: {
        const { nodes } = cluster;
        const frame = Array.isArray(first) ? frameOf(first, (node) => nodes.numberOf(node)) : null;
        const except = typeof second === "string" ? second : null;
        const names = Array.isArray(third) ? third.filter((one) => typeof one === "string") : [];
        if (frame === null) return false;
        name(frame, source, number);
        if (order === ORDER.everybody) {
          tenant.targets.allHere(frame, except);
          for (const session of handover.arriving()) if (session.session !== except) session.deliver(frame);
        } else if (order === ORDER.users) {
          tenant.targets.usersHere(names, frame, except);
          this.#follow(tenant, handover.departures.goneOf(new Set(names)), { frame, except });
        } else {
          tenant.targets.sessionsHere(names, frame, except);
          this.#follow(tenant, names.filter((one) => !handover.deliver(one, frame)), { frame, except });
        }
        return true;
      }
      default:
        // Of a later release.
        return true;
    }
  }
}

/** What names a frame, at the end of an order. */
function named({ source, sourceNumber }: Frame): readonly unknown[] {
  return [source, sourceNumber];
}

function giveWay(session: SessionHandle, why: GivesWay): void {
  session.end(why === "replaced" ? CLOSE.replaced : CLOSE.kicked, sysKicked(session.traceId, why));
}

/** @returns false for what is no action of a session */
function act(tenant: Tenant, session: string, text: string): boolean {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return false;
  }
  const read = readActions([value]);
  if (!Array.isArray(read)) return false;
  const [action] = read;
  if (action === undefined || action.action === "publish" || action.action === "send") return false;
  tenant.actions.act(session, action);
  return true;
}
