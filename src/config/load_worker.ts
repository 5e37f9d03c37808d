// The entry of a thread that loads a configuration, so that the loop which serves sessions never waits for it: a file of
// 1,000 tenants takes half a second to read and check. What it made is handed over in portions, as they are asked for,
// for taking a large message apart is work on the loop as well. Started by file_source.ts.

import { setPriority } from "node:os";
import process from "node:process";
import type { SchemaCodes } from "./data_schema.ts";
import { fingerprint } from "./fingerprint.ts";
import type { ConfigIssue } from "./issue.ts";
import { readConfig } from "./load.ts";
import type { Config, TenantConfig } from "./schema.ts";

/** What the thread is asked to do; where the answer is a good one, each further message but an order asks for a portion. */
export interface LoadOrder {
  readonly file: string;
  readonly dev: boolean;
  /** Fingerprints of the tenants that the asker has already, by id. */
  readonly known: ReadonlyMap<string, string>;
}

/** Some of the tenants that are not known, and the code of their rules' schemas that has not come before; none at the end. */
export interface Portion {
  readonly tenants: readonly TenantConfig[];
  readonly schemas: SchemaCodes;
}

/** The first answer. Where the file was good, portions follow. */
export type LoadAnswer =
  | {
    readonly ok: true;
    readonly general: Omit<Config, "tenants">;
    /** Every tenant, in the order of the file. */
    readonly tenants: readonly { readonly id: string; readonly print: string }[];
    readonly warnings: readonly ConfigIssue[];
    readonly files: readonly string[];
  }
  | { readonly ok: false; readonly failures: readonly ConfigIssue[]; readonly files: readonly string[] };

/**
 * The least there is, so that the thread which serves goes first where CPUs are few. On two of them, with the loop and a
 * load generator beside it, the loop was held up for up to 300 ms at 0, for up to 50 ms at 10 and for up to 27 ms at 19.
 */
const NICENESS = 19;
/** Tenants in a portion; one takes some 10 µs to be taken apart. */
const PORTION = 25;
/** Code in a portion that is worth a message of its own, in characters. */
const PORTION_CODE_CHARS = 200_000;

// The scope of a worker, which the library's types for windows do not have.
const scope = self as unknown as {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  postMessage(message: unknown): void;
};

if (process.platform === "linux") { // where it is of this thread alone
  try {
    setPriority(0, NICENESS);
  } catch { // Deno, without the permission
  }
}

/** What is still to be handed over. */
const left = { tenants: [] as TenantConfig[], schemas: new Map<string, string>() };

scope.onmessage = ({ data }) => {
  if (data === null) scope.postMessage(portion());
  else void load(data as LoadOrder);
};

async function load({ file, dev, known }: LoadOrder): Promise<void> {
  const result = await readConfig(file, { env: process.env, dev });
  if (!result.ok) return scope.postMessage(result satisfies LoadAnswer);
  const { config: { tenants: configs, ...general }, warnings, files, schemas } = result;
  const tenants = configs.map((config) => ({ id: config.id, print: fingerprint(config) }));
  left.tenants = configs.filter((_, i) => known.get(tenants[i]!.id) !== tenants[i]!.print);
  left.schemas = new Map(schemas);
  scope.postMessage({ ok: true, general, tenants, warnings, files } satisfies LoadAnswer);
}

/** Takes the next portion out of what is left. */
function portion(): Portion {
  const tenants: TenantConfig[] = [], schemas = new Map<string, string>();
  let chars = 0;
  while (left.tenants.length > 0 && tenants.length < PORTION && chars < PORTION_CODE_CHARS) {
    const config = left.tenants.shift()!;
    tenants.push(config);
    for (const { schema_text: text } of config.policy.rules) {
      const code = text === undefined ? undefined : left.schemas.get(text);
      if (code === undefined) continue;
      left.schemas.delete(text!);
      schemas.set(text!, code);
      chars += code.length;
    }
  }
  return { tenants, schemas };
}
