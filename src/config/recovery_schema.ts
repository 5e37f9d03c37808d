// What lets nothing get lost over a reconnect: `resume`, by which a session outlives its connection, and classes of
// rooms, some of which keep what was said in them.

import * as z from "zod";
import { flag, limit, whole } from "./fields.ts";

/** `tenants[].resume`; without it a session ends with its connection. */
export const resumeSchema = z.strictObject({
  window_ms: whole(1000, 3_600_000, 30_000, "How long a session waits for its client, in milliseconds."),
  max_bytes: whole(1024, 1_073_741_824, 262_144, "Payload bytes kept for one session's replay."),
  max_messages: whole(1, 1_000_000, 1024, "Messages kept for one session's replay."),
  max_detached: whole(
    1,
    10_000_000,
    10_000,
    "Sessions that wait for their client at the same time; above it, the one that waits longest ends.",
  ),
}).meta({
  description:
    "Lets clients that ask for it come back to their session after a lost connection, and catch up. Absent: a session " +
    "ends with its connection.",
}).optional();

const history = z.strictObject({
  max_messages: whole(1, 100_000, 100, "Messages that a room keeps."),
  max_bytes: whole(1024, 1_073_741_824, 1_048_576, "Payload bytes that a room keeps."),
  max_age_ms: whole(
    1000,
    2_592_000_000,
    300_000,
    "How long a message is kept, in milliseconds, and how long a room that nobody is in.",
  ),
  store: z.enum(["memory", "disk", "nats"]).default("memory").meta({
    description:
      "`memory` begins anew with each start of the gateway; `disk` goes on where it was, in `gateway.state_dir`, also " +
      "after a crash; `nats` is shared by all nodes of a `cluster`, and survives each of them. With `nats`, " +
      "`max_messages` is at most 10000.",
  }),
}).meta({ description: "Keeps the newest reliable messages of each such room, each with an offset." });

/** `tenants[].rooms`. */
export const roomClassesSchema = z.array(z.strictObject({
  match: z.string().min(1).max(128).meta({
    description: "Names of rooms, `*` for any characters.",
    wish: "1–128 characters",
  }),
  history: history.optional(),
  presence: flag(false, "Whether members are told of joins and leaves without asking."),
})).max(256).default([]).meta({
  description: "Classes of rooms; the first that matches a room's name counts. Others have neither.",
  wish: "a list of at most 256 classes of rooms",
});

/** Keys of `gateway`. */
export const recoveryKeys = {
  max_history_bytes: limit(
    "Bytes of memory for rooms with history, all tenants together: what rooms with `store: memory` or `nats` have there, and " +
      "512 for each such room. Above it, the room idle longest lets go: with `memory` its history is lost, with `nats` it is " +
      "read again when somebody needs it; a room that nobody is in goes as a whole.",
    268_435_456,
  ),
  max_replay_bytes: whole(
    65_536,
    1_073_741_824,
    67_108_864,
    "Payload bytes of replays on their way to clients that caught up late, all sessions together; the next waits.",
  ),
};
