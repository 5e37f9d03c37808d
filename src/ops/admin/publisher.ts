// Publishes in a tenant: one message to rooms, users, sessions or everybody, on either lane. What counts is handed to the
// outboxes at once; what an outbox does with it is as for any other message.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import { KEY_REUSED, type SenderKey, type Stored } from "../../room/kept_room.ts";
import { BUSY } from "../../room/rooms.ts";
import { senderKey } from "../../room/sent_keys.ts";
import { type Refusal, refusal } from "../../protocol/codes.ts";
import { type Frame, hotFrame, LANE } from "../../protocol/frame.ts";
import { KEY_PATTERN, PROTOCOL_VERSION } from "../../protocol/limits.ts";
import { isData } from "../../service/action.ts";
import { conflationKey, TENANT_BUSY, unpublished } from "../../service/service.ts";
import { MESSAGE_TOO_LARGE, messageFrame } from "../../session/message_frame.ts";
import type { Place } from "../../room/fanout.ts";
import type { SessionHandle } from "../../session/session_handle.ts";
import type { AdminTenant } from "./admin_context.ts";
import { REMEMBERED_MS } from "./idempotency.ts";
import type { Slice } from "./slices.ts";
import { Name, RoomName, SessionId, UserName } from "./words.ts";

export const KEY_TAKEN = refusal(
  "RESOURCE_EXHAUSTED",
  "idempotency_key was used for another message already",
);

/** Rooms, users or sessions that one message may name. */
const TARGETS_MAX = 1000;

const targets = <S extends z.ZodType>(item: S) => z.array(item).min(1).max(TARGETS_MAX);

const Target = z.union([
  z.strictObject({ rooms: targets(RoomName) }),
  z.strictObject({ users: targets(UserName) }),
  z.strictObject({ sessions: targets(SessionId) }),
  z.strictObject({ all: z.literal(true) }),
]).openapi("Target", { description: "Who gets it: members of rooms, users, sessions, or all sessions." });

const Octet = z.int().min(0).max(255);

const common = {
  to: Target,
  except: SessionId.optional().openapi({ description: "A session that is left out." }),
  idempotency_key: z.string().min(1).max(128).optional().openapi({
    description:
      "Of your own making. The same message under the same key within ten minutes is not sent again, but answered as " +
      "before, after a restart too where the rooms are kept on disk. Another message under that key is refused.",
  }),
};

const ExtMessage = z.strictObject({
  ...common,
  key: z.string().regex(KEY_PATTERN).optional().openapi({
    description:
      "For rooms: what this API key said under the same `key` within five minutes is not published again in a room. `stored` " +
      "says what became of the first in rooms that keep what is said. Not with `idempotency_key`.",
  }),
  svc: Name.refine((svc) => svc !== "sys", 'must not be "sys", which is the gateway itself'),
  type: Name,
  data: z.unknown().refine(isData, "is nested too deeply").optional().openapi({
    description: "Any JSON value.",
  }),
}).refine(
  ({ to, key, idempotency_key }) => key === undefined || "rooms" in to && idempotency_key === undefined,
  { path: ["key"], message: "needs to.rooms, and stands not beside idempotency_key" },
).openapi("ExtMessage", { description: "A message of the ext lane, delivered reliably." });

const HotMessage = z.strictObject({
  ...common,
  hot: z.strictObject({
    svc_id: Octet,
    opcode: Octet,
    payload: z.base64().default("").openapi({
      description: "Base64; without the header.",
      pattern: "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    }),
    lane: z.enum(["lossy", "latest"]).optional().openapi({
      description:
        "How it waits for slow clients. Default: as the tenant's hot service of this `svc_id` has it, or `lossy`.",
    }),
  }),
}).openapi("HotMessage", { description: "A binary message of the hot lane." });

/** A message to be published. */
export const Message = z.union([ExtMessage, HotMessage]).openapi("Message");
export type Message = z.infer<typeof Message>;

/** To how many sessions a message was handed, and which rooms had too much to deliver already to take it. */
export interface Handed {
  readonly ok: true;
  readonly deliveries: number;
  readonly busy: readonly string[];
  /** Where it stands in rooms that keep what is said in them. */
  readonly stored: readonly StoredIn[];
}

export interface StoredIn {
  readonly room: string;
  readonly offset: number;
  readonly epoch: string;
  readonly duplicate: boolean;
}

/** Sessions that are looked for between two looks at the time. */
const FOUND_AT_ONCE = 256;

/**
 * Publishes, in slices where that is much. A room, user or session that is not there is no fault: nothing is delivered to it.
 * What comes later may be published meanwhile.
 */
export async function publish(
  { tenant: { targets, rooms, registry }, config }: AdminTenant,
  message: Message,
  { sender, digest, slice }: {
    readonly sender: string;
    /** What is asked for, in short; it goes with `idempotency_key`. */
    readonly digest: string | null;
    readonly slice: Slice;
  },
): Promise<Handed | Refusal> {
  const { to, except = null } = message;
  const keyIn = keysOf(message, { sender, digest });
  if ("rooms" in to) return await toRooms(new Set(to.rooms));
  const frame = frameOf(message, config, null);
  if ("ok" in frame) return frame;
  const here = targets.places(await found(), frame, except);
  return here === BUSY
    ? TENANT_BUSY
    : { ok: true, deliveries: here + elsewhere(frame), busy: [], stored: [] };

  function elsewhere(frame: Frame): number {
    const { peers } = targets;
    if (peers === null) return 0;
    if ("users" in to) return peers.users(new Set(to.users), frame, except);
    return "sessions" in to ? peers.sessions(new Set(to.sessions), frame, except) : peers.all(frame, except);
  }

  async function found(): Promise<Place[]> {
    const places: Place[] = [];
    for (const subscriber of sought()) {
      places.push({ subscriber, index: places.length });
      if (places.length % FOUND_AT_ONCE === 0 && slice.isOver) await slice.next();
    }
    return places;
  }

  function* sought(): Iterable<SessionHandle> {
    if ("users" in to) { for (const user of new Set(to.users)) yield* registry.ofUser(user); }
    else if ("sessions" in to) {
      for (const name of new Set(to.sessions)) {
        const session = registry.find(name);
        if (session !== undefined) yield session;
      }
    } else yield* registry.all();
  }

  async function toRooms(names: ReadonlySet<string>): Promise<Handed | Refusal> {
    let deliveries = 0;
    const busy: string[] = [], stored: StoredIn[] = [];
    const later: Promise<void>[] = [];
    let refused: number = BUSY;
    const note = (room: string, outcome: number | Stored): void => {
      if (typeof outcome === "number") {
        if (outcome >= 0) deliveries += outcome;
        else {
          busy.push(room);
          if (refused !== KEY_REUSED) refused = outcome;
        }
        return;
      }
      deliveries += outcome.deliveries;
      const { offset, epoch, duplicate } = outcome;
      if (offset !== null && epoch !== null) stored.push({ room, offset, epoch, duplicate });
    };
    const handed = (): Handed | Refusal => {
      if (refused === KEY_REUSED) return KEY_TAKEN;
      return busy.length === names.size ? unpublished(refused) : { ok: true, deliveries, busy, stored };
    };
    let isChecked = false;
    for (const name of names) {
      if (slice.isOver) await slice.next();
      if (rooms.count(name) === 0 && rooms.find(name) === undefined && !rooms.keeps(name)) {
        // The same for each: one tells whether the message can be one at all.
        if (!isChecked) {
          const frame = frameOf(message, config, longest(names));
          if ("ok" in frame) return frame;
          isChecked = true;
        }
        continue;
      }
      const frame = frameOf(message, config, name);
      if ("ok" in frame) return frame;
      const outcome = targets.room(name, frame, { except, key: keyIn(name) });
      if (outcome instanceof Promise) later.push(outcome.then((settled) => note(name, settled)));
      else note(name, outcome);
    }
    return later.length === 0 ? handed() : Promise.all(later).then(handed);
  }
}

/** By what a message is known in each room. A key of its own making may be any text; and each room is a message of its own. */
function keysOf(
  message: Message,
  { sender, digest }: { readonly sender: string; readonly digest: string | null },
): (room: string) => SenderKey | null {
  const { idempotency_key: own } = message;
  const key = "key" in message ? message.key : undefined;
  const named = (...words: readonly string[]) =>
    createHash("sha256").update(JSON.stringify(words)).digest("hex");
  if (own !== undefined) return (room) => ({ sender, key: named(own, room), digest, forMs: REMEMBERED_MS });
  return (room) => senderKey(sender, key === undefined ? null : named("key", key, room));
}

function longest(names: Iterable<string>): string {
  let found = "";
  for (const name of names) if (Buffer.byteLength(name) > Buffer.byteLength(found)) found = name;
  return found;
}

/** @param room the one that an ext message names, null for none */
function frameOf(message: Message, config: AdminTenant["config"], room: string | null): Frame | Refusal {
  const { max_frame_bytes: maxBytes, max_json_depth: maxDepth } = config.limits;
  if (!("hot" in message)) {
    const { svc, type, data } = message;
    const bounds = { maxBytes, maxDepth };
    return messageFrame({ v: 1, svc, type, ...(room === null ? {} : { room }), data }, bounds);
  }
  const { svc_id, opcode, payload, lane } = message.hot;
  const header = [PROTOCOL_VERSION, svc_id, opcode, 0];
  const bytes = Buffer.concat([Uint8Array.from(header), Buffer.from(payload, "base64")]);
  if (bytes.length > maxBytes) return MESSAGE_TOO_LARGE;
  const service = config.hot_services.find(({ id }) => id === svc_id);
  return (lane ?? service?.lane) === "latest"
    ? hotFrame(bytes, LANE.latest, conflationKey(null, bytes))
    : hotFrame(bytes, LANE.lossy);
}
