// What the playground is told of the tenants.

import type { TenantConfig } from "../config/schema.ts";
import type { PlaygroundFacts } from "../ops/playground.ts";

/** Of the tenants that take dev tickets: their names and services. */
export function playgroundFacts(tenants: readonly TenantConfig[]): PlaygroundFacts {
  return {
    tenants: tenants.filter(({ auth }) => auth === undefined || auth.mode === "dev").map((tenant) => ({
      id: tenant.id,
      chat: tenant.services.find((service) => "builtin" in service && service.builtin === "chat")?.svc ??
        null,
      hot: tenant.hot_services.map(({ id, kind }) => ({ id, kind })),
      kept: tenant.rooms.find(({ history }) => history !== undefined)?.match.replaceAll("*", "lobby") ?? null,
    })),
  };
}
