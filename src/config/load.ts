// A configuration file becomes a `Config` here, or the list of everything that is wrong with it. `loadConfig` is pure;
// `readConfig` adds the reading of the file.

import { errorText } from "../error_text.ts";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type * as z from "zod";
import { formatListen, parseListen, parsePort } from "./addresses.ts";
import { checkAuth } from "./auth.ts";
import { CONFIG_SHAPE } from "./fingerprint.ts";
import { checkBackend } from "./backend.ts";
import { checkCluster, CLUSTER_FILES } from "./cluster.ts";
import { prepareScript, prepareWasm } from "../program/source.ts";
import { checkExtensions, type Prepared, type Preparer } from "./extensions.ts";
import type { SchemaCodes } from "./data_schema.ts";
import { type ConfigIssue, inFileOrder, type Path } from "./issue.ts";
import { checkRelations } from "./relations.ts";
import { anyHotServiceSchema, type Config, configSchema, type Loaded } from "./schema.ts";
import { type MapShape, oneOf, type Shape } from "./shape.ts";
import { checkPolicies } from "./policies.ts";
import { noQuic } from "./quic.ts";
import { checkTls } from "./tls.ts";
import { Tree } from "./tree.ts";
import { findWarnings } from "./warnings.ts";

export { type ConfigIssue, formatIssue, formatWarning } from "./issue.ts";

/** Largest file, in bytes. */
export const FILE_BYTES_MAX = 1_048_576;

/** Where a gateway with `--dev` listens that is told no address. */
const DEV_HOST = "127.0.0.1";

/** What a configuration is made from. */
export interface LoadOptions {
  readonly text: string;
  /** The file's name, for messages. */
  readonly file: string;
  /** The process's environment, for `${NAME}`, `WSPRISM_LISTEN` and `PORT`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether `--dev` was given. */
  readonly dev: boolean;
  /** The bytes of a file that the configuration names, by the path as it stands there; throws the file system's error. */
  readonly read: (path: string) => Uint8Array;
  /** Makes programs of the files that it names as extensions. */
  readonly prepare: Preparer;
  /** Unix time in milliseconds, for what expires. */
  readonly nowMs: number;
  /** Why this runtime cannot serve QUIC; null where it can. */
  readonly noQuic: string | null;
}

/** A complete configuration, or every failure, in the order of the file. */
export type LoadResult =
  | {
    readonly ok: true;
    readonly config: Config;
    readonly warnings: readonly ConfigIssue[];
    /** Of the rules' schemas; of a reload only those of tenants that changed. */
    readonly schemas: SchemaCodes;
    /** What it was made from, to find the place of a key in (see places.ts). */
    readonly text: string;
  }
  | { readonly ok: false; readonly failures: readonly ConfigIssue[] };

/** Reads, checks and completes a configuration. Never throws, whatever the text is. */
export function loadConfig(options: LoadOptions): LoadResult {
  if (Buffer.byteLength(options.text) > FILE_BYTES_MAX) return refused(tooLarge());
  const shape = CONFIG_SHAPE;
  let tree: Tree;
  try {
    tree = new Tree(options.text, shape, options.env);
  } catch (error) {
    // The parser recurses, so thousands of nested brackets exhaust the stack; no sane file gets here.
    const reason = errorText(error);
    return refused({ path: "", message: `the file cannot be read as YAML: ${reason}`, line: 1, column: 1 });
  }
  const failures = [...tree.failures];
  if (tree.root === undefined) return { ok: false, failures: failures.sort(inFileOrder) };

  const parsed = configSchema.safeParse(tree.root);
  if (!parsed.success) failures.push(...valueFailures(parsed.error.issues, tree, shape));
  failures.push(...checkRelations(tree));
  // Whoever tries things out means this machine, unless they say otherwise.
  const preset = options.dev && !tree.has(["gateway", "listen"]) ? DEV_HOST : undefined;
  const listen = listenFromEnv(options.env, parsed.data?.gateway.listen, preset);
  if (typeof listen === "object") failures.push(listen);
  const auth = checkAuth(tree, options);
  const tls = checkTls(tree, ["gateway", "tls"], options);
  const tcpTls = checkTls(tree, ["gateway", "tcp", "tls"], options);
  const quicTls = checkTls(tree, ["gateway", "webtransport", "tls"], options);
  const quic = ["gateway", "webtransport"];
  if (options.noQuic !== null && tree.has(quic)) failures.push(tree.issue(quic, options.noQuic, "key"));
  const policies = checkPolicies(tree, options);
  const backend = checkBackend(tree);
  const extensions = checkExtensions(tree, options);
  const cluster = checkCluster(tree, options);
  for (const { failures: found } of [auth, tls, tcpTls, quicTls, policies, backend, extensions, cluster]) {
    failures.push(...found);
  }
  if (!parsed.success || failures.length > 0) return { ok: false, failures: failures.sort(inFileOrder) };

  const config: Config = parsed.data;
  if (typeof listen === "string") config.gateway.listen = listen;
  for (const [index, checked] of auth.auths.entries()) {
    if (checked !== undefined) config.tenants[index]!.auth = checked;
  }
  for (const { tenant, rule, text } of policies.schemas) {
    config.tenants[tenant]!.policy.rules[rule]!.schema_text = text;
  }
  for (const { tenant, list, index, program, digest } of extensions.programs) {
    const entries: Loaded[] = config.tenants[tenant]![list];
    entries[index] = { ...entries[index], code: { program, digest } };
  }
  const warnings = [
    ...findWarnings(config, tree, options.dev),
    ...auth.warnings,
    ...tls.warnings,
    ...tcpTls.warnings,
    ...quicTls.warnings,
    ...policies.warnings,
    ...backend.warnings,
    ...extensions.warnings,
  ];
  const { text } = options;
  return { ok: true, config, warnings: warnings.sort(inFileOrder), schemas: policies.codes, text };
}

/** What came of a file, and which further files it names, in full; certificates are not among them. */
export type FileResult = LoadResult & { readonly files: readonly string[] };

/** The name of the file that is no file: what it names is looked for in the working folder. */
export const STDIN = "-";

/**
 * Reads a file and loads it. A file that cannot be read is a failure like any other.
 * @param options `bytes` where it has been read already, and `mayRead` where not every file may be read that it names
 */
export async function readConfig(
  path: string,
  options: Pick<LoadOptions, "env" | "dev"> & {
    readonly bytes?: Uint8Array;
    readonly mayRead?: (file: string) => boolean;
  },
): Promise<FileResult> {
  let { bytes } = options;
  if (bytes === undefined && path === STDIN) {
    return refused({ path: "", message: "it came from stdin, which cannot be read a second time" });
  }
  try {
    bytes ??= await readFile(path);
  } catch (error) {
    return refused({ path: "", message: unreadable(error) });
  }
  if (bytes.length > FILE_BYTES_MAX) return refused(tooLarge());
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return refused({ path: "", message: "the file must be UTF-8 text" });
  }
  const folder = dirname(path);
  const files = new Set<string>();
  const note = (name: string) => {
    const file = resolve(folder, name);
    if (options.mayRead?.(file) === false) throw new Error("the configuration in use does not name it");
    files.add(file);
    return file;
  };
  const read = (name: string) => readFileSync(note(name));
  const noted = (prepared: Prepared) => {
    // Where one of them is at fault, its next version may be good.
    for (const file of prepared.ok ? prepared.files : [prepared.path]) note(file);
    return prepared;
  };
  const prepare: Preparer = {
    script: (name) => noted(prepareScript({ root: folder, file: note(name) })),
    wasm: (name, memoryMb) => noted(prepareWasm({ root: folder, file: note(name), memoryMb })),
  };
  const result = loadConfig({
    ...options,
    text,
    file: path,
    read,
    prepare,
    nowMs: Date.now(),
    noQuic: noQuic(),
  });
  const { tls: publicTls, tcp, webtransport } = result.ok ? result.config.gateway : {};
  for (const tls of [publicTls, tcp?.tls, webtransport?.tls]) {
    if (tls === undefined) continue;
    tls.cert_file = resolve(folder, tls.cert_file);
    tls.key_file = resolve(folder, tls.key_file);
    files.delete(tls.cert_file);
    files.delete(tls.key_file);
  }
  if (result.ok) {
    placeClusterFiles(result.config, (name) => {
      const file = resolve(folder, name);
      files.delete(file);
      return file;
    });
  }
  if (result.ok && result.config.gateway.state_dir !== undefined) {
    result.config.gateway.state_dir = resolve(folder, result.config.gateway.state_dir);
  }
  return { ...result, files: [...files] };
}

/** Has the files of `cluster` named in full. */
function placeClusterFiles({ cluster }: Config, place: (name: string) => string): void {
  if (cluster === undefined) return;
  for (const keys of CLUSTER_FILES) {
    let map: Record<string, unknown> | undefined = cluster.nats;
    for (const key of keys.slice(0, -1)) map = map?.[key] as Record<string, unknown> | undefined;
    const key = keys.at(-1)!, name = map?.[key];
    if (map !== undefined && typeof name === "string") map[key] = place(name);
  }
}

function valueFailures(issues: readonly z.core.$ZodIssue[], tree: Tree, shape: MapShape): ConfigIssue[] {
  const failures = new Map<string, ConfigIssue>();
  const add = (failure: ConfigIssue) => {
    if (!failures.has(failure.path)) failures.set(failure.path, failure);
  };
  for (const issue of issues.flatMap((issue) => nearest(issue, tree) ?? [issue, ...behind(issue, tree)])) {
    const path = issue.path as Path;
    if (issue.code === "unrecognized_keys") {
      // Keys that no map has were reported by the tree; these belong to another kind of service.
      const kind = tree.show([...path, "kind"]);
      for (const key of issue.keys) add(tree.issue([...path, key], `does not go with kind ${kind}`, "key"));
    } else if (!tree.isBroken(path)) {
      // A variant may allow less than the key does elsewhere.
      const wish = issue.code === "invalid_value" ? oneOf(issue.values) : shapeAt(shape, path).wish;
      if (tree.has(path)) add(tree.issue(path, `must be ${wish}, got ${tree.show(path)}`));
      else add(tree.issue(path, `is missing; it must be ${wish}`));
    }
  }
  return [...failures.values()];
}

/** Of a value that may be several things, the faults of that one which it is meant to be, if only one has its keys. */
function nearest(issue: z.core.$ZodIssue, tree: Tree): z.core.$ZodIssue[] | undefined {
  if (issue.code !== "invalid_union") return undefined;
  const meant = issue.errors.find((inner) =>
    inner.length > 0 &&
    inner.every(({ code, path }) =>
      code !== "unrecognized_keys" && path.length > 0 && tree.has([...issue.path, ...path] as Path)
    )
  );
  return meant?.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

/** A hot service of no known kind hides the faults of its other keys from zod. */
function behind(issue: z.core.$ZodIssue, tree: Tree): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union" || issue.path.at(-1) !== "kind") return [];
  const path = issue.path.slice(0, -1);
  const entry = tree.at(path as Path);
  const result = anyHotServiceSchema.safeParse({ ...(entry as object), kind: "state" });
  return result.success
    ? []
    : result.error.issues.map((inner) => ({ ...inner, path: [...path, ...inner.path] }));
}

function shapeAt(root: Shape, path: Path): Shape {
  let shape = root;
  for (const part of path) {
    const inner = shape.kind === "map"
      ? shape.keys.get(String(part))
      : shape.kind === "list"
      ? shape.item
      : undefined;
    if (inner === undefined) return shape;
    shape = inner;
  }
  return shape;
}

/** The listen address that the environment asks for; nothing when it asks for none, a failure when it is wrong. */
function listenFromEnv(
  env: LoadOptions["env"],
  fromFile: string | undefined,
  preset: string | undefined,
): string | ConfigIssue | undefined {
  const { WSPRISM_LISTEN: whole, PORT: portText } = env;
  if (whole !== undefined && whole !== "") {
    const address = parseListen(whole);
    if (address !== undefined) return formatListen(address);
    const message =
      'in the environment must be "host:port" with a port 0..65535, as it replaces gateway.listen';
    return { path: "WSPRISM_LISTEN", message };
  }
  const address = fromFile === undefined ? undefined : parseListen(fromFile);
  const hostname = preset ?? address?.hostname ?? "0.0.0.0";
  if (portText === undefined || portText === "") {
    return preset === undefined || address === undefined
      ? undefined
      : formatListen({ hostname, port: address.port });
  }
  const port = parsePort(portText);
  if (port === undefined) {
    return {
      path: "PORT",
      message: "in the environment must be 0..65535, as it replaces the port of gateway.listen",
    };
  }
  return formatListen({ hostname, port });
}

function tooLarge(): ConfigIssue {
  return { path: "", message: `the file must be at most ${FILE_BYTES_MAX} bytes` };
}

function unreadable(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "there is no such file; name one with --config FILE";
  if (code === "EISDIR") return "this is a directory; name a file with --config FILE";
  if (code === "EACCES" || code === "EPERM") {
    return "this process may not read the file; change its permissions";
  }
  return `the file cannot be read: ${errorText(error)}`;
}

function refused(failure: ConfigIssue): Extract<FileResult, { ok: false }> {
  return { ok: false, failures: [failure], files: [] };
}
