// The entry of a thread that loads a configuration, so that the loop which serves sessions never waits for it: a file of
// 1,000 tenants takes half a second to read and check. What it made is handed over in portions, as they are asked for,
// for taking a large message apart is work on the loop as well. Started by file_source.ts.

import { setPriority } from "node:os";
import process from "node:process";
import { fingerprint } from "./fingerprint.ts";
import type { ConfigIssue } from "./issue.ts";
import { readConfig } from "./load.ts";
import type { Config, TenantConfig } from "./schema.ts";

/** What the thread is asked to do, first of all; each further message, of whatever content, asks for a portion. */
export interface LoadOrder {
  readonly file: string;
  readonly dev: boolean;
  /** Fingerprints of the tenants that the asker has already, by id. */
  readonly known: ReadonlyMap<string, string>;
}

/** The first answer. Where the file was good, portions of `TenantConfig[]` follow, of those that are not known. */
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

/** Below that of the thread that serves, so that it goes first where CPUs are few. */
const NICENESS = 10;
/** Tenants in a portion; one takes some 10 µs to be taken apart. */
const PORTION = 25;

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

scope.onmessage = async ({ data }) => {
  const { file, dev, known } = data as LoadOrder;
  const result = await readConfig(file, { env: process.env, dev });
  if (!result.ok) return scope.postMessage(result satisfies LoadAnswer);
  const { config: { tenants: configs, ...general }, warnings, files } = result;
  const tenants = configs.map((config) => ({ id: config.id, print: fingerprint(config) }));
  const wanted: TenantConfig[] = configs.filter((_, i) => known.get(tenants[i]!.id) !== tenants[i]!.print);
  scope.onmessage = () => scope.postMessage(wanted.splice(0, PORTION));
  scope.postMessage({ ok: true, general, tenants, warnings, files } satisfies LoadAnswer);
};
