// What `cluster` must satisfy beyond each key's own range.

import { configuredFile } from "./configured_file.ts";
import { PEM_BYTES_MAX } from "./certificate.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import type { Tree } from "./tree.ts";

const NATS = ["cluster", "nats"];

/** Keys below `cluster.nats` that name a file, each with how to get there. */
export const CLUSTER_FILES: readonly (readonly string[])[] = [
  ["credentials_file"],
  ["tls", "ca_file"],
  ["tls", "cert_file"],
  ["tls", "key_file"],
];

/** Every broken relation of `cluster` with itself, and files that cannot be read. */
export function checkCluster(
  tree: Tree,
  { read }: { readonly read: (path: string) => Uint8Array },
): { readonly failures: readonly ConfigIssue[] } {
  const failures: ConfigIssue[] = [];
  const fail = (path: Path, message: string) => void failures.push(tree.issue(path, message));
  const has = (...path: string[]) => tree.has([...NATS, ...path]);
  const needs = (key: string[], other: string[]) => {
    if (has(...key) && !has(...other)) fail([...NATS, ...key], `needs ${[...NATS, ...other].join(".")}`);
  };
  needs(["user"], ["password"]);
  needs(["password"], ["user"]);
  needs(["tls", "cert_file"], ["tls", "key_file"]);
  needs(["tls", "key_file"], ["tls", "cert_file"]);
  const ways = ["user", "token", "credentials_file"].filter((way) => has(way));
  for (const way of ways.slice(1)) {
    fail([...NATS, way], `must not stand beside ${[...NATS, ways[0]].join(".")}`);
  }
  for (const keys of CLUSTER_FILES) {
    const path = [...NATS, ...keys], name = tree.at(path);
    if (typeof name !== "string" || name === "") continue;
    const content = configuredFile(read, name, PEM_BYTES_MAX);
    if (typeof content !== "string") fail(path, content.fault);
  }
  return { failures };
}
