// `gateway.tls` at load: the files are read and judged, and what is wrong is told at the key that names the file.

import { checkCertificate, type Finding, PEM_BYTES_MAX } from "./certificate.ts";
import { configuredFile } from "./configured_file.ts";
import type { ConfigIssue } from "./issue.ts";
import type { Tree } from "./tree.ts";

export interface TlsCircumstances {
  /** A file's bytes, by its path as the configuration has it; throws the file system's error. */
  readonly read: (path: string) => Uint8Array;
  /** Unix time in milliseconds. */
  readonly nowMs: number;
}

/** Checks the pair that `gateway.tls` names; nothing when there is none, or when its keys are faulty by themselves. */
export function checkTls(
  tree: Tree,
  { read, nowMs }: TlsCircumstances,
): { readonly failures: readonly ConfigIssue[]; readonly warnings: readonly ConfigIssue[] } {
  const path = ["gateway", "tls"];
  const [cert, key] = ["cert_file", "key_file"].map((name) => tree.at([...path, name]));
  if (typeof cert !== "string" || typeof key !== "string" || cert === "" || key === "") return NOTHING;
  const content = (name: string) => configuredFile(read, name, PEM_BYTES_MAX);
  const verdict = checkCertificate({ cert: content(cert), key: content(key) }, nowMs);
  const issue = ({ key, message }: Finding) => tree.issue([...path, key], message);
  return verdict.ok
    ? { failures: [], warnings: verdict.warnings.map(issue) }
    : { failures: verdict.failures.map(issue), warnings: [] };
}

const NOTHING = { failures: [], warnings: [] };
