// The parts of the schema that speak of your backend: HTTP services, webhooks, and where the state is kept. What keys
// must satisfy together is checked in backend.ts.

import * as z from "zod";
import { flag, name, text, whole } from "./fields.ts";
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

/** `headers` of all that goes to somebody else. */
export function headers() {
  return z.array(header).max(32).default([]).meta({
    description: "Further headers of every request.",
    wish: "a list of at most 32 headers",
    secret: true,
  });
}

/** `tenants[].services[].http`. */
export const httpServiceSchema = z.strictObject({
  url: httpUrl("Where messages go, with POST and a JSON body."),
  ...signing(),
  headers: headers(),
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

/** What a webhook can be told of. */
export const EVENT_TYPES = [
  "session.connected",
  "session.disconnected",
  "session.detached",
  "session.resumed",
  "room.joined",
  "room.left",
  "room.occupied",
  "room.vacated",
  "message.ext",
  "policy.denied",
] as const;

/** One of `EVENT_TYPES`. */
export type EventType = (typeof EVENT_TYPES)[number];

const pattern = (description: string) =>
  text((value) => /^[^\p{Cc}\p{Cs}]{1,128}$/u.test(value), {
    description: `${description} \`*\` stands for any characters.`,
    wish: "1–128 printable characters",
  }).optional();

/** `tenants[].webhooks[]`. */
export const webhookSchema = z.strictObject({
  id: name("The webhook's name; unique in the tenant. Its events have a sequence under this name."),
  url: httpUrl("Where events go, with POST and a JSON body."),
  ...signing(),
  headers: headers(),
  events: z.array(z.enum(EVENT_TYPES)).min(1).meta({
    description: "What it is told of.",
    wish: "a list of at least one event",
  }),
  match: z.strictObject({
    room: pattern("Only events of these rooms, and those that concern no room."),
    user: pattern("Only events of these users."),
    svc: pattern("Only messages to these services, and events that are no messages."),
    type: pattern("Only messages of these types, and events that are no messages."),
  }).prefault({}).meta({ description: "Which of these events." }),
  batch: z.strictObject({
    max_events: whole(1, 10_000, 100, "Events in one request."),
    max_wait_ms: whole(0, 60_000, 50, "Time that an event waits for others to go with it, in milliseconds."),
  }).prefault({}).meta({ description: "How events go together." }),
  timeout_ms: whole(50, 120_000, 5000, "Time that an answer may take, in milliseconds."),
  retry: z.strictObject({
    max_age_ms: whole(
      1000,
      2_592_000_000,
      86_400_000,
      "Time for which an event is sent again until it is taken, in milliseconds; then it is given up.",
    ),
  }).prefault({}).meta({ description: "What happens to events that are not taken." }),
  queue: z.strictObject({
    max_bytes: whole(
      65_536,
      Number.MAX_SAFE_INTEGER,
      268_435_456,
      "Bytes of events that may wait; above it, the oldest are given up.",
    ),
    max_dead_letters: whole(
      0,
      1_000_000,
      1000,
      "Events that the backend refuses are kept for `wsprism webhooks`, so many at most.",
    ),
  }).prefault({}).meta({ description: "What waits for the backend." }),
  durable: flag(
    true,
    "Whether events are kept on disk until the backend has taken them; needs `gateway.state_dir`.",
  ),
}).meta({ description: "Events for your backend, at least once each." });

/** `gateway.state_dir`. */
export const stateDirSchema = z.string().min(1).max(4096).optional().meta({
  description:
    "Folder for what survives a restart: webhooks' events, bans, revocations, suspensions, what extensions keep. A " +
    "relative path starts at this file. One gateway at a time.",
  wish: "a path",
});

/** `tenants[].webhooks[]`. */
export type WebhookConfig = z.infer<typeof webhookSchema>;

/** `tenants[].services[].http`. */
export type HttpServiceConfig = z.infer<typeof httpServiceSchema>;
