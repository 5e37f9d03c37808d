// The entry of a thread that loads a configuration, so that the loop which serves sessions never waits for it: a file of
// 1,000 tenants takes half a second to read and check. What it made is handed over in portions, as they are asked for,
// for taking a large message apart is work on the loop as well. Started by file_source.ts.

import { setPriority } from "node:os";
import process from "node:process";
import { errorText } from "../error_text.ts";
import type { SchemaCodes } from "./data_schema.ts";
import { type Environment, withEnvFile } from "./env_file.ts";
import { fingerprint } from "./fingerprint.ts";
import type { ConfigIssue } from "./issue.ts";
import { type FileResult, readConfig } from "./load.ts";
import { type Path, placesIn } from "./places.ts";
import type { Config, TenantConfig } from "./schema.ts";
import { StandIns } from "./stand_ins.ts";

/** What the thread is asked to do; where a load's answer is a good one, `null` asks for a portion. */
export type Order = LoadOrder | LinesOrder;

/** Asks for the lines at which a text that was loaded says these; null for what it does not say. */
export interface LinesOrder {
  readonly text: string;
  readonly paths: readonly Path[];
  /** As in `LoadOrder`. */
  readonly envFile: string | null;
}

/** Asks for a configuration. */
export interface LoadOrder {
  readonly file: string;
  readonly dev: boolean;
  /** A file whose variables go before the environment's; null for none. */
  readonly envFile: string | null;
  /** Fingerprints of the tenants that the asker has already, by id. */
  readonly known: ReadonlyMap<string, string>;
  /** A text in the place of the file's own, which somebody has pasted; null for the file. */
  readonly pasted: Pasted | null;
}

/** A text that is no file yet: it learns nothing of files and variables that the file in use has not told already. */
export interface Pasted {
  readonly text: string;
  /** Files that it may name, in full. */
  readonly files: readonly string[];
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
    readonly text: string;
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
  if (data === null) return scope.postMessage(portion());
  const order = data as Order;
  if ("paths" in order) {
    scope.postMessage(order.paths.map(placesIn(order.text, withEnvFile(process.env, order.envFile))));
  } else void load(order);
};

async function load({ file, dev, envFile, known, pasted }: LoadOrder): Promise<void> {
  let env: Environment;
  try {
    env = withEnvFile(process.env, envFile);
  } catch (error) {
    const failures = [{ path: "", message: errorText(error) }];
    return scope.postMessage({ ok: false, failures, files: [] } satisfies LoadAnswer);
  }
  const result = pasted === null
    ? await readConfig(file, { env, dev })
    : await loadPasted({ file, dev, env }, pasted);
  if (!result.ok) return scope.postMessage(result satisfies LoadAnswer);
  const { config: { tenants: configs, ...general }, warnings, files, schemas, text } = result;
  const tenants = configs.map((config) => ({ id: config.id, print: fingerprint(config) }));
  left.tenants = configs.filter((_, i) => known.get(tenants[i]!.id) !== tenants[i]!.print);
  left.schemas = new Map(schemas);
  scope.postMessage({ ok: true, general, tenants, warnings, files, text } satisfies LoadAnswer);
}

async function loadPasted(
  { file, dev, env }: { readonly file: string; readonly dev: boolean; readonly env: Environment },
  { text, files }: Pasted,
): Promise<FileResult> {
  const bytes = new TextEncoder().encode(text), values = new StandIns(text, env);
  const mayRead = (name: string) => files.includes(name);
  let result: FileResult;
  do result = await readConfig(file, { env: values.env, dev, bytes, mayRead }); while (
    !result.ok && values.adapt(result.failures)
  );
  return result;
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
