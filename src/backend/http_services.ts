// A tenant's HTTP services, built from its configuration. Services that ask the same URL share what is known of its
// health; tenants share nothing. At a reload a service whose configuration is the same keeps its object, and with it
// its connections.

import type { HttpServiceConfig } from "../config/backend_schema.ts";
import { Breaker } from "../outbound/breaker.ts";
import { HttpClient } from "../outbound/http_client.ts";
import type { Share } from "../outbound/inflow.ts";
import { HttpService, type HttpServiceOptions } from "./http_service.ts";

/** A service as the configuration has it. */
export interface HttpSpec {
  readonly svc: string;
  /** Absent where it is of another kind. */
  readonly http?: HttpServiceConfig | undefined;
}

/** What all services of a tenant are built with. */
export type HttpServicesOptions = Omit<HttpServiceOptions, "svc" | "config" | "client" | "breaker">;

interface Made {
  readonly spec: string;
  readonly service: HttpService;
}

const NOTHING: { made: ReadonlyMap<string, Made>; breakers: ReadonlyMap<string, Breaker> } = {
  made: new Map(),
  breakers: new Map(),
};

export class HttpServices {
  /** By name. */
  readonly #made = new Map<string, Made>();
  /** By URL. */
  readonly #breakers = new Map<string, Breaker>();

  /** Has no effects. @param former whose services may be kept; null for a new tenant */
  constructor(specs: readonly HttpSpec[], shared: HttpServicesOptions, former: HttpServices | null) {
    const before = former === null ? NOTHING : { made: former.#made, breakers: former.#breakers };
    for (const { svc, http: config } of specs) {
      if (config === undefined) continue;
      const { url } = config;
      const breaker = this.#breakers.get(url) ?? before.breakers.get(url) ?? new Breaker(shared.now);
      this.#breakers.set(url, breaker);
      const spec = JSON.stringify(config);
      const kept = before.made.get(svc);
      this.#made.set(
        svc,
        kept?.spec === spec ? kept : {
          spec,
          service: new HttpService({
            ...shared,
            svc,
            config,
            client: clientFor(config, shared.share),
            breaker,
          }),
        },
      );
    }
  }

  /** The services, by name. */
  get all(): [svc: string, service: HttpService][] {
    return [...this.#made].map(([svc, { service }]) => [svc, service]);
  }

  /** Stops what is not in use any more: all of it, or all but what `successor` goes on with. */
  stop(successor: HttpServices | null): void {
    for (const [svc, made] of this.#made) {
      if (successor === null || successor.#made.get(svc) !== made) made.service.stop();
    }
  }
}

function clientFor({ url, headers, max_response_bytes }: HttpServiceConfig, share: Share): HttpClient {
  return new HttpClient({
    url,
    headers: {
      ...Object.fromEntries(headers.map(({ name, value }) => [name, value])),
      "content-type": "application/json",
      accept: "application/json",
    },
    bodyBytesMax: max_response_bytes,
    share,
  });
}
