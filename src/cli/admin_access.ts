// Finding the admin API of a running gateway, and a key for it: by options, the environment, or the configuration that the
// gateway itself goes by.

import process from "node:process";
import { type AdminPermission, EVERY_TENANT } from "../config/admin_schema.ts";
import { formatListen, parseListen } from "../config/addresses.ts";
import type { AdminConfig } from "../config/schema.ts";
import { AdminClient } from "../ops/client.ts";
import { loadFile } from "./config_file.ts";
import { EXIT } from "./exit.ts";
import { complain } from "./tenant_auth.ts";

/** Options of every verb that speaks to a running gateway. */
export interface AccessOptions {
  readonly config?: string;
  readonly envFile?: string;
  readonly url?: string;
  readonly key?: string;
}

/** What the key has to be good for. */
export interface Wanted {
  readonly permission: AdminPermission;
  /** Null for any. */
  readonly tenant: string | null;
}

/** Names a key without showing it to all who can see the processes. */
const KEY_VARIABLE = "WSPRISM_ADMIN_KEY";

/** The admin API, or the exit code of a command that has already said why there is none. */
export async function adminClient(options: AccessOptions, wanted: Wanted): Promise<AdminClient | number> {
  const { url } = options;
  const key = options.key ?? (process.env[KEY_VARIABLE] || undefined);
  if (url !== undefined && !isHttp(url)) {
    return complain(`--url must be such as http://127.0.0.1:9090, got ${JSON.stringify(url)}`, EXIT.usage);
  }
  if (url !== undefined && key !== undefined) return client(url, key);
  if (url !== undefined && options.config === undefined) {
    return complain(`No key: set ${KEY_VARIABLE}, or give --key or --config`, EXIT.usage);
  }
  // As with --dev: nobody is let in here.
  const loaded = await loadFile(options.config, true, options);
  if (loaded === null) return EXIT.config;
  const { file, config: { admin } } = loaded;
  if (admin === undefined) {
    return complain(`${file} has no admin section: its gateway serves no admin API`, EXIT.failed);
  }
  const place = url ?? urlOf(admin);
  if (place === null) {
    const why = `admin.listen in ${file} leaves the port to the system`;
    return complain(`${why}: name the address with --url`, EXIT.failed);
  }
  const secret = key ?? secretFor(admin, wanted);
  if (secret === undefined) {
    const where = wanted.tenant === null ? "" : ` in tenant "${wanted.tenant}"`;
    return complain(
      `${file} has no admin key with the permission "${wanted.permission}"${where}: set ${KEY_VARIABLE}, or give --key`,
      EXIT.failed,
    );
  }
  return client(place, secret);
}

function client(url: string, key: string): AdminClient | number {
  // A header takes nothing else, and neither does the configuration.
  if (/^[\x21-\x7e]+$/.test(key)) return new AdminClient({ url, key });
  return complain("A key must be printable ASCII characters without spaces", EXIT.usage);
}

function isHttp(url: string): boolean {
  return /^https?:\/\/[^?#]+$/.test(url) && URL.canParse(url);
}

/** Where the listener is reached from this machine; null where only the running gateway knows its port. */
function urlOf({ listen }: AdminConfig): string | null {
  const { hostname, port } = parseListen(listen)!;
  if (port === 0) return null;
  const here: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  return `http://${formatListen({ hostname: here[hostname] ?? hostname, port })}`;
}

function secretFor({ keys }: AdminConfig, { permission, tenant }: Wanted): string | undefined {
  return keys.find(({ permissions, tenants }) =>
    permissions.includes(permission) &&
    (tenant === null || tenants.includes(EVERY_TENANT) || tenants.includes(tenant))
  )?.secret;
}
