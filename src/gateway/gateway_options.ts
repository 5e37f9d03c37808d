// What a gateway is made from.

import type { Certificate } from "../config/certificate.ts";
import type { SchemaCodes } from "../config/data_schema.ts";
import type { ConfigSource } from "../config/file_source.ts";
import type { Config } from "../config/schema.ts";
import type { LaunchHost } from "../extension/host_process.ts";
import type { Log } from "../log.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import type { Tracer } from "../tracing/tracer.ts";
import type { ExtService } from "../service/service.ts";
import type { GuestTransport, StreamHandler, Transport } from "../transport/port.ts";
import type { Clock } from "./clock.ts";

export interface GatewayOptions {
  readonly config: Config;
  /** What the configuration was made from. */
  readonly text: string;
  /** Of its rules' schemas. */
  readonly schemas: SchemaCodes;
  /** What the transport was created with; null without TLS. */
  readonly certificate: Certificate | null;
  /** Accept dev tickets. */
  readonly dev: boolean;
  /** Decide and count all that policy says, and deny nothing. */
  readonly policyDryRun: boolean;
  readonly transport: Transport;
  /** Serves plain TCP, with the certificate that it was created with; null where the configuration has no `tcp`. */
  readonly tcp:
    | { readonly transport: Transport<StreamHandler>; readonly certificate: Certificate | null }
    | null;
  /** Serves WebTransport, with the certificate that it was created with; null where the configuration has none. */
  readonly webtransport: { readonly transport: Transport; readonly certificate: Certificate } | null;
  /** Serves streams of events on the transport's HTTP; null for none. */
  readonly sse: GuestTransport | null;
  /** Starts a process that runs extensions. */
  readonly launchHost: LaunchHost;
  /** Environment variables that extensions may be given. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Serves the admin API; null where the configuration has no `admin`. */
  readonly adminTransport: Transport | null;
  readonly log: Log;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  /** Where its configuration comes from when it is reloaded. */
  readonly source: ConfigSource;
  /** Labels of the metric `wsprism_build_info`. */
  readonly build: Readonly<Record<string, string>>;
  readonly clock: Clock;
  /** Further ext services of every tenant, by name, for embedding. */
  readonly services: ReadonlyMap<string, ExtService>;
  /** Further metrics: of what runs it. */
  readonly metrics: readonly MetricSource[];
}
