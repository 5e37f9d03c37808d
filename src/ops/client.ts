// Asks the admin API of a running gateway, for the command line. By `node:http`, which goes through no proxy that the
// environment names: the key is for the gateway only. Without `connection: close`, after which Bun 1.4.5 fails on every
// other request ("socket hang up").

import { errorText } from "../error_text.ts";
import { Buffer } from "node:buffer";
import { request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";

/** What was answered. */
export type Reply = { readonly ok: true; readonly body: Readonly<Record<string, unknown>> } | Unanswered;

/** Why there is no good answer. */
export interface Unanswered {
  readonly ok: false;
  /** `denied`: the key is unknown or not good for it. `failed`: anything else that the gateway has said. */
  readonly kind: "unreachable" | "denied" | "failed";
  readonly msg: string;
}

export interface AdminClientOptions {
  /** http: or https:, with a path in front of the API's own where there is one. */
  readonly url: string;
  readonly key: string;
}

/** For a whole answer. */
const TIMEOUT_MS = 30_000;
/** Largest answer; a page of dead letters is 1 MiB, or one event. */
const BYTES_MAX = 67_108_864;

export class AdminClient {
  readonly #base: string;
  readonly #key: string;

  constructor({ url, key }: AdminClientOptions) {
    this.#base = url.replace(/\/+$/, "");
    this.#key = key;
  }

  /** Asks a route. @param body sent as JSON. Never rejects */
  async ask(method: "GET" | "POST", path: string, body?: unknown): Promise<Reply> {
    let answer: { readonly status: number; readonly text: string };
    try {
      answer = await this.#send(method, path, body === undefined ? null : JSON.stringify(body));
    } catch (cause) {
      const why = errorText(cause);
      const msg = `Cannot reach the admin API at ${this.#base}: ${
        why || "no connection"
      }; is the gateway running?`;
      return { ok: false, kind: "unreachable", msg };
    }
    const { status, text } = answer;
    const read = objectIn(text);
    if (read === null) {
      return {
        ok: false,
        kind: "failed",
        msg: `${this.#base} answered ${status}, and not as an admin API does`,
      };
    }
    if (status === 200) return { ok: true, body: read };
    const kind = status === 401 || status === 403 ? "denied" : "failed";
    return { ok: false, kind, msg: `The gateway answered ${status}: ${String(read["msg"] ?? text)}` };
  }

  /** Asks for a text; null where there is no good answer. Never rejects */
  async text(path: string): Promise<string | null> {
    try {
      const { status, text } = await this.#send("GET", path, null);
      return status === 200 ? text : null;
    } catch {
      return null;
    }
  }

  #send(method: string, path: string, body: string | null): Promise<{ status: number; text: string }> {
    const url = new URL(this.#base + path);
    const request = url.protocol === "https:" ? requestSecure : requestPlain;
    const headers = {
      authorization: `Bearer ${this.#key}`,
      ...(body === null
        ? {}
        : { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)) }),
    };
    return new Promise((resolve, reject) => {
      const sent = request(url, { method, headers }, (response) => {
        const chunks: Uint8Array[] = [];
        let bytes = 0;
        response.on("data", (chunk: Uint8Array) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > BYTES_MAX) sent.destroy(new Error(`an answer of more than ${BYTES_MAX} bytes`));
        });
        response.on("error", reject);
        response.on("end", () => {
          clearTimeout(timer);
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
        });
      });
      const timer = setTimeout(
        () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)),
        TIMEOUT_MS,
      );
      sent.on("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
      sent.end(body ?? undefined);
    });
  }
}

function objectIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : null;
  } catch {
    return null;
  }
}
