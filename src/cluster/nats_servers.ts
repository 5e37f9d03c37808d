// `cluster.nats` of the configuration, with its files read.

import { readFileSync } from "node:fs";
import type { ClusterConfig } from "../config/schema.ts";
import { errorText } from "../error_text.ts";
import type { NatsServers } from "./nats_link.ts";

/** @throws when a file cannot be read: one line that names it */
export function natsServers({ nats }: ClusterConfig): NatsServers {
  const { servers, user, password, token, credentials_file, tls } = nats;
  return {
    servers,
    user: user ?? null,
    password: password ?? null,
    token: token ?? null,
    credentials: credentials_file === undefined ? null : contentOf(credentials_file),
    tls: tls === undefined ? null : {
      ...(tls.ca_file === undefined ? {} : { ca: textOf(tls.ca_file) }),
      ...(tls.cert_file === undefined ? {} : { cert: textOf(tls.cert_file) }),
      ...(tls.key_file === undefined ? {} : { key: textOf(tls.key_file) }),
    },
  };
}

function textOf(file: string): string {
  return new TextDecoder().decode(contentOf(file));
}

function contentOf(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Error(`Cannot read "${file}" of cluster.nats: ${errorText(error)}`, { cause: error });
  }
}
