// The parts of the schema that speak of your backend: HTTP services. What keys must satisfy together is checked in
// backend.ts.

import * as z from "zod";
import { text, whole } from "./fields.ts";
import { httpUrl, signing } from "./outbound.ts";

/** Headers that the request itself has, or that are the connection's. */
const OWN_HEADERS = /^(host|content-length|content-type|connection|transfer-encoding|te|upgrade|keep-alive)$/;

const header = z.strictObject({
  name: text((value) => /^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/.test(value) && !OWN_HEADERS.test(value), {
    description: "The header's name.",
    wish: "a header name in lower case, other than those of the body and the connection",
  }),
  value: text((value) => /^[\x21-\x7e]([\x20-\x7e]{0,4094}[\x21-\x7e])?$/.test(value), {
    description: "Its value.",
    wish: "1–4096 printable ASCII characters",
  }).meta({ secret: true }),
}).meta({ description: "A header of every request." });

/** `tenants[].services[].http`. */
export const httpServiceSchema = z.strictObject({
  url: httpUrl("Where messages go, with POST and a JSON body."),
  ...signing(),
  headers: z.array(header).max(32).default([]).meta({
    description: "Further headers of every request.",
    wish: "a list of at most 32 headers",
    secret: true,
  }),
  timeout_ms: whole(50, 120_000, 2000, "Time that an answer may take, in milliseconds."),
  max_concurrent: whole(1, 10_000, 64, "Requests under way at the same time."),
  max_queued: whole(
    0,
    100_000,
    256,
    "Messages that wait for their turn, up to `timeout_ms`; one more is answered with `UNAVAILABLE`.",
  ),
  max_response_bytes: whole(1024, 16_777_216, 1_048_576, "Largest answer, in bytes."),
  retry: z.strictObject({
    attempts: whole(
      0,
      10,
      0,
      "How often a request that failed is sent again, with the same `Idempotency-Key`.",
    ),
  }).prefault({}).meta({ description: "What happens to a request that failed." }),
}).meta({ description: "A service of your backend." });

/** `tenants[].services[].http`. */
export type HttpServiceConfig = z.infer<typeof httpServiceSchema>;
