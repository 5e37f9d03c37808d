// How admission asks others over HTTP: with bounds on what comes back, over connections of its own, so that a backend that
// hangs holds up nobody but its tenant.

import type { HttpResponse } from "../outbound/http1.ts";
import { HttpClient } from "../outbound/http_client.ts";
import type { Share } from "../outbound/inflow.ts";
import type { NoAnswer } from "../outbound/wire.ts";

/** Asks one URL; an `HttpClient`, or a test's. */
export type Client = Pick<HttpClient, "get" | "post" | "close">;

/** A client of this URL, over the network. */
export function clientOf(
  url: string,
  bounds: { readonly bodyBytesMax: number; readonly share: Share },
): Client {
  return new HttpClient({ url, headers: {}, ...bounds });
}

/**
 * The text of a good answer.
 * @throws where there is no answer, it has another status, or it is no UTF-8
 */
export function textOf(answer: HttpResponse | NoAnswer): string {
  if (!answer.ok) throw new Error(answer.msg);
  if (answer.status !== 200) throw new Error(`status ${answer.status}`);
  return new TextDecoder("utf-8", { fatal: true }).decode(answer.body);
}
