// A tenant's policy for a question: compiled anew, with full buckets, so that asking changes nothing for anybody.

import { SchemaCompiler } from "../../config/data_schema.ts";
import type { TenantConfig } from "../../config/schema.ts";
import { alone, TenantPolicy } from "../../policy/policy.ts";
import type { GatewayQuotas } from "../../policy/quotas.ts";

/** The code of the schemas of a tenant's rules, by their texts; compiling them is what takes time. */
export type SchemaCache = WeakMap<TenantConfig, ReadonlyMap<string, string>>;

export function freshPolicy(config: TenantConfig, gateway: GatewayQuotas, cache: SchemaCache): TenantPolicy {
  let schemas = cache.get(config);
  if (schemas === undefined) cache.set(config, schemas = compiled(config));
  return new TenantPolicy({ ...alone(config), gateway, schemas });
}

function compiled({ policy: { rules } }: TenantConfig): Map<string, string> {
  const codes = new Map<string, string>();
  const compiler = new SchemaCompiler();
  for (const { schema_text: text } of rules) {
    if (text === undefined || codes.has(text)) continue;
    const found = compiler.compile(text);
    if (typeof found !== "string") codes.set(text, found.code);
  }
  return codes;
}
