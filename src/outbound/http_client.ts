// Asks one URL, again and again, over connections that are kept. No redirects, no proxies, no compression: whoever is
// asked answers itself.

import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import type { HttpResponse } from "./http1.ts";
import type { Share } from "./inflow.ts";
import { USER_AGENT } from "./user_agent.ts";
import { type NoAnswer, Wire } from "./wire.ts";

export interface HttpClientOptions {
  /** http: or https:, without a user name or password. */
  readonly url: string;
  /** Sent with every request; `user-agent` besides, where it is not among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** Largest body of an answer, in bytes; above it the connection is dropped. */
  readonly bodyBytesMax: number;
  /** Of the tenant in whose name it asks. */
  readonly share: Share;
  /** Whether bodies of answers are read and not kept: the status is all that is of interest. */
  readonly discards?: boolean;
}

/** One GET. */
export interface Get {
  /** Besides those of every request. */
  readonly headers: Readonly<Record<string, string>>;
  /** For the whole answer, the connection's making among it. */
  readonly timeoutMs: number;
  /**
   * Whether it may be sent once more when a kept connection turns out to have ended: the other side may have closed it
   * just then, or, rarely, have read the request and died of it.
   */
  readonly repeatable: boolean;
}

/** One POST. */
export interface Post extends Get {
  readonly body: string;
}

export class HttpClient {
  readonly #head: string;
  readonly #wire: Wire;

  constructor({ url, headers, bodyBytesMax, share, discards = false }: HttpClientOptions) {
    const { protocol, hostname, host, port, pathname, search } = new URL(url);
    this.#head = `${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\n${lines(named(headers))}`;
    // Brackets are the URL's.
    const name = hostname.replace(/^\[|\]$/g, "");
    const isSecure = protocol === "https:";
    this.#wire = new Wire({
      host: name,
      port: Number(port || (isSecure ? 443 : 80)),
      tls: isSecure ? { servername: isIP(name) === 0 ? name : null } : null,
    }, { bodyBytesMax, share, discards });
  }

  /** Connections open now. */
  get connections(): number {
    return this.#wire.connections;
  }

  /** Asks. How many do so at the same time is up to the caller. Never rejects. */
  get({ headers, timeoutMs, repeatable }: Get): Promise<HttpResponse | NoAnswer> {
    return this.#wire.ask({ bytes: `GET ${this.#head}${lines(headers)}\r\n`, timeoutMs, repeatable });
  }

  /** Asks, as `get` does. */
  post({ body, headers, timeoutMs, repeatable }: Post): Promise<HttpResponse | NoAnswer> {
    const length = Buffer.byteLength(body);
    const head = `POST ${this.#head}${lines(headers)}content-length: ${length}\r\n\r\n`;
    return this.#wire.ask({ bytes: head + body, timeoutMs, repeatable });
  }

  /** Keeps no connection from now on; what is under way is still answered. */
  close(): void {
    this.#wire.close();
  }
}

function named(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const isNamed = Object.keys(headers).some((name) => name.toLowerCase() === "user-agent");
  return isNamed ? headers : { "user-agent": USER_AGENT, ...headers };
}

function lines(headers: Readonly<Record<string, string>>): string {
  let text = "";
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  return text;
}
