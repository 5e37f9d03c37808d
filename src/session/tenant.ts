// What the sessions of a tenant share. What lives as long as the tenant is here by itself; what comes from its
// configuration is behind `settings`. Built in gateway/.

import type { TenantMetrics } from "../metrics/metrics.ts";
import type { Ban, Bans } from "../policy/bans.ts";
import { CLOSE, type CloseCode, type Refusal } from "../protocol/codes.ts";
import { sysKicked } from "../protocol/sys.ts";
import type { Fanout } from "../room/fanout.ts";
import type { Rooms } from "../room/rooms.ts";
import type { GatewayContext } from "./gateway_context.ts";
import { MessageHandler } from "./message_handler.ts";
import type { DecisionRecorder } from "./recorder.ts";
import type { Registry } from "./registry.ts";
import { type ResumeFailure, ResumeTokens } from "./resume_tokens.ts";
import type { ResumableSession, ReturnRequest } from "./resumable_session.ts";
import type { SessionHandle } from "./session_handle.ts";
import type { TenantSettings } from "./settings.ts";
import { type TargetPeers, Targets } from "./targets.ts";
import { TenantActions } from "./tenant_actions.ts";
import type { SessionWatcher } from "./watcher.ts";

export interface TenantOptions {
  readonly id: string;
  readonly settings: TenantSettings;
  readonly rooms: Rooms;
  readonly fanout: Fanout;
  readonly registry: Registry<SessionHandle>;
  readonly metrics: TenantMetrics;
  readonly bans: Bans;
  readonly gateway: GatewayContext;
  /** Its sessions on other nodes; absent where there are none. */
  readonly peers?: TargetPeers | null;
  /** A new id of 64 bits, hard to guess. */
  readonly newId: () => string;
  /** Behind each token for coming back: this node; empty where the gateway is alone. */
  readonly incarnation?: string;
}

/** Fetches sessions that other nodes have. */
export interface SessionsElsewhere {
  /** @returns null where no other node can have the session of this token; later what became of it, or why it cannot come */
  fetch(tenant: Tenant, comer: Comer): Promise<Fetched> | null;
  /** Ends sessions that are on their way here as soon as they have come: they are not let in any more. */
  drop(code: CloseCode, isMeant: (session: Holder) => boolean): void;
}

/** Whose session it is, and by which ticket. */
export type Holder = Pick<SessionHandle, "user" | "ticketId" | "issuedAtMs">;

/** A client that comes with a token of another node. */
export interface Comer extends ReturnRequest {
  readonly cbor: boolean;
}

/** A session that is here from now on, or why it is not. */
export type Fetched = ResumableSession | ResumeFailure | "bad" | Refusal;

/** One tenant at run time. Nothing in it is reachable from another tenant's sessions. */
export class Tenant {
  readonly id: string;
  /** What its configuration says now: a reload puts another value in its place. */
  settings: TenantSettings;
  readonly rooms: Rooms;
  readonly registry: Registry<SessionHandle>;
  readonly targets: Targets;
  readonly metrics: TenantMetrics;
  /** Users who are not let in. */
  readonly bans: Bans;
  readonly gateway: GatewayContext;
  readonly handler: MessageHandler;
  /** What those may do who speak for the tenant. */
  readonly actions: TenantActions;
  /** Those who are told of its sessions; none for a tenant that nobody watches. */
  readonly watchers: SessionWatcher[] = [];
  /** Who looks at decisions; nobody by default. */
  recorder: DecisionRecorder | null = null;
  /** By what its sessions are found when their clients come back. */
  readonly resumeTokens: ResumeTokens<ResumableSession>;
  /** Sessions whose clients are away, those that are longest first. */
  readonly detached = new Set<ResumableSession>();
  /** Those on other nodes; null where there are none. */
  elsewhere: SessionsElsewhere | null = null;

  constructor(options: TenantOptions) {
    const { rooms, registry, fanout } = options;
    this.id = options.id;
    this.settings = options.settings;
    this.rooms = rooms;
    this.registry = registry;
    this.metrics = options.metrics;
    this.bans = options.bans;
    this.gateway = options.gateway;
    this.targets = new Targets({ rooms, registry, fanout, peers: options.peers ?? null });
    this.actions = new TenantActions({
      targets: this.targets,
      registry,
      bounds: () => {
        const { maxFrameBytes, maxJsonDepth } = this.settings.policy;
        return { maxBytes: maxFrameBytes, maxDepth: maxJsonDepth };
      },
    });
    const { log, tracer, now, unixMs } = options.gateway;
    this.resumeTokens = new ResumeTokens(options.newId, now, options.incarnation);
    this.handler = new MessageHandler({ tenant: this, metrics: options.metrics, log, tracer, now, unixMs });
  }

  /** Those whose clients are away go by what the settings say now, and as many end as are too many. */
  recheckDetached(): void {
    for (const session of this.detached) session.schedule();
    this.boundDetached();
  }

  /** Those who wait longest end where they are too many. */
  boundDetached(): void {
    const { resume } = this.settings;
    if (resume === null) return;
    for (const longest of this.detached) {
      if (this.detached.size <= resume.maxDetached) return;
      longest.expire();
    }
  }

  /** Ends all sessions of a user, who is not let in again for so many milliseconds. @returns the ban that holds */
  ban(user: string, ms: number, by: string): Ban {
    const nowMs = this.gateway.unixMs();
    const ban = this.bans.ban({ user, untilMs: nowMs + ms, by }, nowMs);
    for (const session of [...this.registry.ofUser(user)]) {
      session.end(CLOSE.banned, sysKicked(session.traceId, "banned"));
    }
    this.elsewhere?.drop(CLOSE.banned, (session) => session.user === user);
    return ban;
  }
}
