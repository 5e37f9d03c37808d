// Who verifies the tickets of a tenant.

import type { Verifier } from "../admission/verifier.ts";
import { DEV_AUTH, verifierFor } from "../admission/verifiers.ts";
import type { AuthConfig, TenantConfig } from "../config/schema.ts";
import type { Share } from "../outbound/inflow.ts";
import type { TenantDeps } from "./tenant_deps.ts";
import { verifiesBy } from "./tenant_settings.ts";

/** The former one goes on, with all it has cached, where what it verifies by is the same. */
export function tenantVerifier(
  config: TenantConfig,
  former: { readonly config: TenantConfig; readonly verifier: Verifier } | null,
  { deps, share }: { readonly deps: TenantDeps; readonly share: Share },
): { readonly verifier: Verifier; readonly auth: AuthConfig } {
  const { dev, signatureTurns, gateway: { log }, clock: { now, unixMs } } = deps;
  const { id } = config;
  if (config.auth === undefined && !dev) throw new Error(`Cannot serve tenant "${id}": it has no auth`);
  const auth = config.auth ?? DEV_AUTH;
  if (former !== null && verifiesBy(former.config.auth ?? DEV_AUTH) === verifiesBy(auth)) {
    return { verifier: former.verifier, auth };
  }
  return {
    verifier: verifierFor({ tenant: id, config: auth, signatureTurns, share, now, unixMs, log }),
    auth,
  };
}
