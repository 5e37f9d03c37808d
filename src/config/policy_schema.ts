// `tenants[].policy.quotas`, `tenants[].policy.rules` and `gateway.quotas`: how much may be sent, and what a message must
// be like. What keys must satisfy together is checked in rules.ts.

import * as z from "zod";
import { CLOSE } from "../protocol/codes.ts";
import { flag, text, whole } from "./fields.ts";

/** Largest rate or burst, in messages or bytes. */
const UNITS_MAX = 1_000_000_000_000;
/** Rules of one tenant. */
const RULES_MAX = 1000;
/** Steps of a ladder, and conditions of one `require`. */
const LIST_MAX = 16;
/** Longest ban, in milliseconds: ten years. */
const BAN_MS_MAX = 315_360_000_000;

const units = (description: string) => z.int().min(1).max(UNITS_MAX).optional().meta({ description });

const quotaKeys = {
  messages_per_second: units("Messages per second. Absent: any number."),
  burst: units("Messages at once, after a pause. Absent: two seconds' worth."),
  bytes_per_second: units("Bytes of messages per second. Absent: any number."),
  bytes_burst: units(
    "Bytes at once, after a pause. Absent: two seconds' worth. A message that is larger needs the whole burst and " +
      "is paid off afterwards.",
  ),
};

const tenantQuota = z.strictObject({
  ...quotaKeys,
  outbound_bytes_per_second: units(
    "Bytes per second of all that the tenant's sessions are sent, of a room's messages once for every member. While it " +
      "is exceeded, messages of clients are refused. Absent: any number.",
  ),
  outbound_bytes_burst: units("Such bytes at once, after a pause. Absent: two seconds' worth."),
});

/** `gateway.quotas`. */
export const gatewayQuotasSchema = z.strictObject(quotaKeys).prefault({}).meta({
  description: "What all tenants together may send; when it is scarce, they share it fairly.",
});

/** `tenants[].policy.quotas`. */
export const quotasSchema = z.strictObject({
  tenant: tenantQuota.prefault({}).meta({
    description: "All sessions together. When it is scarce, they share it fairly.",
  }),
  user: z.strictObject(quotaKeys).prefault({}).meta({ description: "All sessions of one user." }),
  session: z.strictObject(quotaKeys).prefault({}).meta({
    description: "One session. Whoever goes on far above it is disconnected (4005).",
  }),
}).prefault({}).meta({
  description: "How much clients may send. `rate_limit_*` beside it holds where these keys say nothing.",
});

const ladderStep = z.union([
  z.enum(["observe", "reject", "drop"]),
  z.strictObject({
    mute_ms: z.int().min(1).max(86_400_000).meta({
      description: "Refuses all that the rule matches, for this session and so many milliseconds.",
    }),
  }),
  z.strictObject({
    close: z.literal(closeCodes()).meta({
      description: "Ends the session with this close code, such as 4507 (policy violation).",
    }),
  }),
  z.strictObject({
    ban_ms: z.int().min(1).max(BAN_MS_MAX).meta({
      description: "Ends all sessions of the user, who is not let in again for so many milliseconds.",
    }),
  }),
]).meta({
  description: 'What happens: "observe" (count only), "reject" (tell), "drop" (silently), or one of these.',
  wish: 'one of "observe", "reject", "drop", { mute_ms }, { close }, { ban_ms }',
});

const match = z.strictObject({
  lane: z.enum(["ext", "hot"]).optional().meta({ description: "Only messages of this lane." }),
  service: text((value) => SERVICE_PATTERN.test(value), {
    description:
      'Only messages of this kind: `"svc:type"`, on the hot lane `"svc_id:opcode"`, with `*` for any. Numbers mean ' +
      "the hot lane where `lane` says nothing.",
    wish: '"svc:type" or "svc_id:opcode", either part may be "*"',
  }).optional(),
  room: z.string().min(1).max(128).meta({
    description: "Only messages to rooms of this name, `*` for any characters.",
    wish: "1–128 characters",
  }).optional(),
  transport: z.enum(["websocket", "tcp", "webtransport", "sse"]).optional().meta({
    description: "Only messages of clients that are connected by this transport.",
  }),
}).prefault({}).meta({
  description:
    "Which messages; what is left out is any. The protocol's own `sys` messages are no rule's business.",
});

const rate = z.strictObject({
  per: z.enum(["session", "user", "room", "tenant"]).default("session").meta({
    description: "Whose messages are counted together. Messages without a room have no rate per room.",
  }),
  messages_per_second: z.int().min(1).max(UNITS_MAX).meta({ description: "Messages per second." }),
  burst: units("Messages at once, after a pause. Absent: two seconds' worth."),
}).optional().meta({ description: "How often." });

/** `tenants[].policy.rules[]`. */
export const ruleSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9-]{1,64}$/).meta({
    description: "The rule's name in errors, metrics and logs; unique in the tenant.",
    wish: "1–64 of a–z 0–9 -",
  }),
  match,
  rate,
  max_bytes: z.int().min(1).max(16_777_216).optional().meta({
    description: "Largest message, in bytes, all of it counted.",
  }),
  schema: z.string().min(1).max(4096).optional().meta({
    description:
      "File with a JSON Schema (2020-12) that `data` must satisfy; relative to this file. On the ext lane only.",
    wish: "a path",
  }),
  schema_text: z.string().min(1).max(65_536).optional().meta({
    description: "The same, written here as JSON.",
    wish: "a JSON Schema as text",
  }),
  require: z.array(text((value) => /^(member|claim:[^=]{1,128}=.*)$/s.test(value) && value.length <= 512, {
    description: "A condition.",
    wish: '"member" or "claim:name=value"',
  })).max(LIST_MAX).default([]).meta({
    description:
      "What must hold: the session is a `member` of the message's room, a claim of its ticket has a value.",
    wish: `a list of at most ${LIST_MAX} conditions`,
  }),
  window_ms: whole(100, 86_400_000, 10_000, "How long a violation counts, in milliseconds."),
  then: z.array(ladderStep).min(1).max(LIST_MAX).default(["reject"]).meta({
    description:
      "What happens at a session's first violation within the window, at its second, and so on; the last repeats. With " +
      "close or ban_ms among the steps, or a rate per user, the violations of all of a user's sessions count together.",
    wish: `a list of 1–${LIST_MAX} actions`,
  }),
  dry_run: flag(false, "Whether violations are only counted and logged."),
}).meta({
  description: "A rule. One without rate, max_bytes, schema and require is violated by all that it matches.",
});

/** `tenants[].policy.rules`. */
export const rulesSchema = z.array(ruleSchema).max(RULES_MAX).default([]).meta({
  description: "What messages must be like, and what happens when they are not.",
  wish: `a list of at most ${RULES_MAX} rules`,
});

/** `match.service`: both parts a name or `*`, or `*` alone for both. */
export const SERVICE_PATTERN = /^(\*|(\*|[A-Za-z0-9._-]{1,64}):(\*|[A-Za-z0-9._-]{1,64}))$/;

/** The protocol's own, those that say "come back" and those that say "do not". */
function closeCodes(): number[] {
  return Object.values(CLOSE).map(({ code }) => code).filter((code) => code >= 4000);
}
