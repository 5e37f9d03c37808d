// What `token` and `check-token` share: a configuration, and one tenant's `auth` in it.

import type { AuthConfig } from "../config/schema.ts";
import { DEV_AUTH } from "../admission/verifiers.ts";
import { loadFile } from "./config_file.ts";
import { writeNow } from "./descriptor.ts";
import { EXIT } from "./exit.ts";
import type { VariableOptions } from "./variables.ts";

/** The `auth` of a tenant, or the exit code of a command that has already said why there is none. */
export async function loadAuth(
  config: string | undefined,
  tenant: string,
  variables: VariableOptions,
): Promise<AuthConfig | number> {
  // As with --dev: nothing is served here, and a tenant without auth is worth a better word than a refused file.
  const loaded = await loadFile(config, true, variables);
  if (loaded === null) return EXIT.config;
  const found = loaded.config.tenants.find(({ id }) => id === tenant);
  if (found !== undefined) return found.auth ?? DEV_AUTH;
  const known = loaded.config.tenants.map(({ id }) => id).join(", ");
  return complain(`${loaded.file} has no tenant ${JSON.stringify(tenant)}; it has ${known}`, EXIT.usage);
}

/** Says on stderr what is wrong. @returns the code, for the command to end with */
export function complain(message: string, code: number): number {
  writeNow(2, `${message}\n`);
  return code;
}
