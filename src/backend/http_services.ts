// A tenant's HTTP services, built from its configuration. Services that ask the same URL share what is known of its
// health; tenants share nothing.

import type { HttpServiceConfig } from "../config/backend_schema.ts";
import { Breaker } from "../outbound/breaker.ts";
import { HttpClient } from "../outbound/http_client.ts";
import { HttpService, type HttpServiceOptions } from "./http_service.ts";

/** A service as the configuration has it. */
export interface HttpSpec {
  readonly svc: string;
  /** Absent where it is of another kind. */
  readonly http?: HttpServiceConfig | undefined;
}

/** Those of the services that are HTTP services, by name. */
export function httpServices(
  specs: readonly HttpSpec[],
  shared: Omit<HttpServiceOptions, "svc" | "config" | "client" | "breaker">,
): Map<string, HttpService> {
  const services = new Map<string, HttpService>();
  const breakers = new Map<string, Breaker>();
  for (const { svc, http: config } of specs) {
    if (config === undefined) continue;
    let breaker = breakers.get(config.url);
    if (breaker === undefined) breakers.set(config.url, breaker = new Breaker(shared.now));
    const client = new HttpClient({
      url: config.url,
      headers: {
        ...Object.fromEntries(config.headers.map(({ name, value }) => [name, value])),
        "content-type": "application/json",
        accept: "application/json",
      },
      bodyBytesMax: config.max_response_bytes,
    });
    services.set(svc, new HttpService({ ...shared, svc, config, client, breaker }));
  }
  return services;
}
