// A house with an admin API, and administrators with keys of all sorts.

import { strict as assert } from "node:assert";
import { Events } from "./event_reader.ts";
import { House, type HouseOptions, OPEN_POLICY, settle } from "../../session/house.ts";

const secretOf = (id: string) => `${id}-0123456789-0123456789-0123456789`;

interface Key {
  readonly tenants: readonly string[];
  readonly permissions: readonly string[];
  readonly more?: string;
}

/** The keys of every house, by id. */
export const KEYS = {
  root: { tenants: ["*"], permissions: ["read", "publish", "disconnect", "reload"] },
  acme: { tenants: ["acme"], permissions: ["read", "publish", "disconnect", "reload"] },
  other: { tenants: ["other"], permissions: ["read", "publish", "disconnect", "reload"] },
  reader: { tenants: ["acme", "gone"], permissions: ["read"] },
  publisher: { tenants: ["acme"], permissions: ["publish"] },
  ender: { tenants: ["acme"], permissions: ["disconnect"] },
  reloader: { tenants: ["acme"], permissions: ["reload"] },
  slow: { tenants: ["*"], permissions: ["read"], more: "rps: 1, burst: 3" },
} as const satisfies Record<string, Key>;
export type KeyId = keyof typeof KEYS;

/** `admin` of every house, as YAML in one line. */
export const ADMIN = `listen: "127.0.0.1:0", console: true, max_body_bytes: 131072, keys: [${
  Object.entries<Key>(KEYS).map(([id, { tenants, permissions, more = "" }]) =>
    `{ id: ${id}, secret: "${secretOf(id)}", tenants: ${
      JSON.stringify(tenants)
    }, permissions: [${permissions}], ${more} }`
  ).join(", ")
}]`;

/** What was answered. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // deno-lint-ignore no-explicit-any -- a test says what it expects
  readonly body: any;
}

export interface Asking {
  /** Null for none; `root` when absent. */
  readonly key?: KeyId | null;
  /** In the place of the key's. */
  readonly secret?: string;
  /** Sent as JSON; a text goes as it is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly address?: string;
  /** Whether turns of the event loop end meanwhile; true when absent. */
  readonly turns?: boolean;
}

export class AdminHouse extends House {
  constructor(options: HouseOptions = {}) {
    super({ tenant: [OPEN_POLICY], admin: ADMIN, ...options });
  }

  /** Asks the admin API; turns of the event loop go by as long as it takes. An endless answer is not read. */
  async ask(method: string, path: string, asking: Asking = {}): Promise<Answered> {
    return await read(await this.#ask(method, path, asking));
  }

  /** Reads the events of the admin API. */
  async watch(path: string, asking: Asking = {}): Promise<Events> {
    const response = await this.#ask("GET", path, asking);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    return new Events(response.body!);
  }

  async #ask(method: string, path: string, asking: Asking): Promise<Response> {
    const { key = "root", secret = key === null ? undefined : secretOf(key), body, headers } = asking;
    const request = new Request(`http://admin${path}`, {
      method,
      headers: {
        ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    assert.ok(this.adminTransport?.door, "not started");
    const answer = Promise.resolve(this.adminTransport.door.request(request, asking.address ?? "192.0.2.9"));
    let response: Response | null = null;
    void answer.then((settled) => response = settled);
    while (response === null) {
      await settle();
      // Bodies are read on threads of the runtime's own.
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (asking.turns !== false) this.turn();
    }
    return await answer;
  }

  async get(path: string, asking: Asking = {}): Promise<Answered> {
    return await this.ask("GET", path, asking);
  }

  async publish(body: unknown, asking: Asking = {}): Promise<Answered> {
    return await this.ask("POST", "/v1/tenants/acme/publish", { ...asking, body });
  }

  /** Connects a user. */
  enterAs(user: string, more: { cbor?: boolean } = {}) {
    const client = this.connect(user, { ...more, greet: false });
    this.turn();
    const [{ data }] = client.link.read() as [{ data: { session: string } }];
    return { client, session: data.session };
  }
}

/** A house that is open. */
export async function open(options: HouseOptions = {}): Promise<AdminHouse> {
  return await new AdminHouse(options).start();
}

async function read(response: Response): Promise<Answered> {
  const { status, headers } = response;
  if (headers.get("content-type") === "text/event-stream") {
    await response.body!.cancel();
    return { status, headers, text: "", body: null };
  }
  const text = await response.text();
  const isJson = headers.get("content-type")?.startsWith("application/json") === true;
  return { status, headers, text, body: isJson ? JSON.parse(text) : null };
}

/** What clients were told, without the traces. */
export function told(client: { readonly link: { read(): unknown[] } }): unknown[] {
  return client.link.read().map((message) => {
    if (Array.isArray(message)) return message;
    const { trace_id: _, ...rest } = message as Record<string, unknown>;
    return rest;
  });
}
