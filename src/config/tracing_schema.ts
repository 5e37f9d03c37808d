// `tracing`: where the gateway's traces go.

import * as z from "zod";
import { headers } from "./backend_schema.ts";
import { httpUrl } from "./outbound.ts";

/** `tracing`. */
export const tracingSchema = z.strictObject({
  otlp_endpoint: httpUrl(
    "The collector, which speaks OTLP over HTTP, such as `http://127.0.0.1:4318`. `/v1/traces` is added where it is " +
      "not there.",
  ),
  sample_ratio: z.number().min(0).max(1).default(0.01).meta({
    description: "How much is traced: 0 nothing, 1 everything. What clients want traced is no exception.",
    wish: "a number 0..1",
  }),
  headers: headers(),
}).optional().meta({
  description:
    "Exports traces of handshakes and ext messages: policy, services, extensions, requests to your backend, webhooks' " +
    "events. Without it there are none, and a `traceparent` that came with a message still reaches your backend.",
});
