// An administrator of a gateway process: its admin API over real sockets.

import assert from "node:assert/strict";
import { within } from "../raw_client.ts";
import type { GatewayProcess } from "./gateway_process.ts";

const secretOf = (id: string) => `${id}-secret-0123456789-0123456789`;

/** `admin` of a configuration, on a free port, with a key of each name that is good for `tenants` and `permissions`. */
export function adminConfig(
  keys: Readonly<
    Record<string, { readonly tenants: readonly string[]; readonly permissions: readonly string[] }>
  >,
): object {
  return {
    listen: "127.0.0.1:0",
    keys: Object.entries(keys).map(([id, rest]) => ({
      id,
      secret: secretOf(id),
      rps: 100_000,
      burst: 100_000,
      ...rest,
    })),
  };
}

/** An answer of the API. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // deno-lint-ignore no-explicit-any -- a test says what it expects
  readonly body: any;
}

export class Admin {
  readonly port: number;
  readonly #secret: string;

  /** The one with this key; `adminConfig` made it. */
  static async of(gateway: GatewayProcess, key: string): Promise<Admin> {
    const line = await gateway.logged("admin listening");
    return new Admin(line["port"] as number, secretOf(key));
  }

  constructor(port: number, secret: string) {
    this.port = port;
    this.#secret = secret;
  }

  get authorization(): string {
    return `Bearer ${this.#secret}`;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** @param body sent as JSON */
  async ask(method: string, path: string, body?: unknown): Promise<Answered> {
    const answer = await within(
      fetch(`${this.origin}${path}`, {
        method,
        headers: {
          authorization: this.authorization,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
      `the answer to ${method} ${path}`,
    );
    const { status, headers } = answer;
    const text = await answer.text();
    const isJson = headers.get("content-type")?.startsWith("application/json") === true;
    return { status, headers, text, body: isJson ? JSON.parse(text) : null };
  }

  /** The body of an answer, which must be 200. */
  async good(method: string, path: string, body?: unknown): Promise<Answered["body"]> {
    const answer = await this.ask(method, path, body);
    assert.equal(answer.status, 200, answer.text);
    return answer.body;
  }

  /** All items of a list, page after page. */
  async all(path: string, name: string, limit: number): Promise<Record<string, unknown>[]> {
    const items: Record<string, unknown>[] = [];
    let cursor: string | null = null;
    do {
      const more = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const page = await this.good("GET", `${path}?limit=${limit}${more}`);
      items.push(...page[name]);
      cursor = page.next;
    } while (cursor !== null);
    return items;
  }
}
