// The services of one tenant, made from its configuration. At a reload a hot service whose configuration is the same keeps
// its object, and with it what it remembers.

import type { HttpService } from "../backend/http_service.ts";
import { HttpServices, type HttpServicesOptions } from "../backend/http_services.ts";
import { ExtensionSet } from "../extension/extension_set.ts";
import type { Runner } from "../extension/runner.ts";
import type { TenantConfig } from "../config/schema.ts";
import type { Rooms } from "../room/rooms.ts";
import { builtInExt, builtInHot, type HotSpec } from "../service/built_in.ts";
import { type AnyDispatcher, Dispatcher } from "../service/dispatcher.ts";
import type { Every, ExtService, HotService } from "../service/service.ts";

export interface TenantServicesOptions {
  readonly config: Pick<TenantConfig, "services" | "hot_services" | "plugins">;
  /** Services of every tenant, by name, that are not in its configuration. */
  readonly embedded: ReadonlyMap<string, ExtService>;
  readonly rooms: Rooms;
  readonly every: Every;
  readonly http: HttpServicesOptions;
  readonly runner: Runner;
  /** Whose services may be kept; null for a new tenant. */
  readonly former: TenantServices | null;
}

interface Made {
  readonly spec: string;
  readonly service: HotService;
}

export class TenantServices {
  readonly dispatcher: AnyDispatcher;
  readonly extensions: ExtensionSet;
  /** Hot services by id, with what they were made from. */
  readonly #hot = new Map<number, Made>();
  readonly #http: HttpServices;

  /** Has no effects: what was made and is not wanted after all can be dropped. */
  constructor({ config, embedded, rooms, every, http, runner, former }: TenantServicesOptions) {
    for (const wanted of config.hot_services) {
      const spec = JSON.stringify(wanted satisfies HotSpec);
      const before = former === null ? undefined : former.#hot.get(wanted.id);
      const made = before?.spec === spec ? before : { spec, service: builtInHot(wanted, rooms, every) };
      this.#hot.set(wanted.id, made);
    }
    this.#http = new HttpServices(config.services, http, former === null ? null : former.#http);
    const { tenant, actions } = http;
    const { services, plugins } = config;
    this.extensions = new ExtensionSet(
      { tenant, services, plugins, runner, actions },
      former === null ? null : former.extensions,
    );
    const ext = new Map([
      ...embedded,
      ...builtInExt(services, rooms),
      ...this.#http.all,
      ...this.extensions.services,
    ]);
    const hot = new Map([...this.#hot].map(([id, { service }]) => [id, service]));
    const dispatcher = new Dispatcher(ext, hot);
    this.dispatcher = this.extensions.plugins?.before(dispatcher) ?? dispatcher;
  }

  /** Those of your backend. */
  get http(): HttpService[] {
    return this.#http.all.map(([, service]) => service);
  }

  /** Stops what is not in use any more: all of it, or all but what `successor` goes on with. */
  stop(successor: TenantServices | null = null): void {
    for (const [id, made] of this.#hot) {
      if (successor === null || successor.#hot.get(id) !== made) made.service.stop();
    }
    this.#http.stop(successor === null ? null : successor.#http);
  }
}
