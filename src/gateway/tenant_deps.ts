// What the tenants of a gateway are given, each the same.

import type { ExtensionContext } from "../extension/runner.ts";
import type { GatewayQuotas } from "../policy/quotas.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Fanout } from "../room/fanout.ts";
import type { HistoryBudget } from "../room/history_budget.ts";
import type { ExtService } from "../service/service.ts";
import type { GatewayContext } from "../session/gateway_context.ts";
import type { Semaphore } from "../collections/semaphore.ts";
import type { Clock } from "./clock.ts";
import type { Persistence } from "./persistence.ts";

/** What all tenants of a gateway have in common. */
export interface TenantDeps {
  readonly gateway: GatewayContext;
  /** Of all tenants, so that a turn's deliveries are bounded whoever causes them. */
  readonly fanout: Fanout;
  /** Null where the gateway is alone. */
  readonly cluster: Cluster | null;
  readonly clock: Clock;
  /** Whether a tenant without `auth` accepts dev tickets. */
  readonly dev: boolean;
  /** Whether the public transport does, which no reload changes. */
  readonly deflates: boolean;
  /** Further ext services of every tenant, by name. */
  readonly services: ReadonlyMap<string, ExtService>;
  /** For the signatures of all tickets: the runtime verifies them on threads of its own. */
  readonly signatureTurns: Semaphore;
  /** What the policies of all tenants share. */
  readonly policy: {
    readonly gateway: GatewayQuotas;
    /** Whether everything is decided and nothing is denied. */
    readonly dryRun: boolean;
  };
  readonly extensions: ExtensionContext;
  readonly persistence: Persistence;
  /** Of what rooms keep in memory, all tenants together. */
  readonly historyBudget: HistoryBudget;
  /** Takes note of a bad ticket from this address. */
  readonly charge: (addressGroup: string) => void;
}
