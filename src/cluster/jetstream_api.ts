// JetStream's clients over a link: made anew where the link has another connection.

import { jetstream, type JetStreamClient, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { StreamLink } from "./stream_link.ts";

interface Clients {
  readonly of: unknown;
  readonly manager: Promise<JetStreamManager>;
  readonly client: JetStreamClient;
}

/** Both throw where NATS was never there. */
export class JetStreamApi {
  readonly #link: StreamLink;
  readonly #timeoutMs: number;
  #clients: Clients | null = null;

  /** @param timeoutMs how long a request may take */
  constructor(link: StreamLink, timeoutMs: number) {
    this.#link = link;
    this.#timeoutMs = timeoutMs;
  }

  get client(): JetStreamClient {
    return this.#made().client;
  }

  get manager(): Promise<JetStreamManager> {
    return this.#made().manager;
  }

  #made(): Clients {
    const { connection } = this.#link;
    if (connection === null) throw new Error("NATS is away");
    if (this.#clients?.of === connection) return this.#clients;
    const options = { timeout: this.#timeoutMs };
    // Without a look at the account, which need not be allowed.
    const manager = jetstreamManager(connection, { ...options, checkAPI: false });
    return this.#clients = { of: connection, client: jetstream(connection, options), manager };
  }
}
