// What a ticket takes away: claims that narrow one session within what its tenant allows. A claim that cannot be
// read refuses the ticket; ignored, it would leave the session with more than its issuer meant.

import { parseExtEntry, parseHotEntry } from "../config/allowlist.ts";
import { NAME_PATTERN } from "../protocol/limits.ts";
import { Patterns } from "../protocol/patterns.ts";

/** Bounds that a ticket may set, each only below the tenant's own. */
export interface NarrowedLimits {
  readonly max_frame_bytes?: number;
  readonly rate_limit_rps?: number;
  readonly rate_limit_burst?: number;
}

/** What a ticket says about its session; null where it leaves things as the tenant has them. */
export interface Narrowing {
  /** Rooms that may be joined. */
  readonly rooms: Patterns | null;
  /** "svc:type" and "svc:*". */
  readonly ext: readonly string[] | null;
  /** "svc_id:opcode" and "svc_id:*". */
  readonly hot: readonly string[] | null;
  readonly limits: NarrowedLimits | null;
  /** The session's `sid`, whatever the client asks for. */
  readonly sid: string | null;
}

/** The claims that narrow; all others are for services. */
export const NARROWING_CLAIMS: readonly string[] = ["rooms", "services", "limits", "sid"];

/** A ticket that takes nothing away. */
export const UNNARROWED: Narrowing = { rooms: null, ext: null, hot: null, limits: null, sid: null };

/** Entries of one claim. */
const ENTRIES_MAX = 256;

/** Reads the claims that narrow; a text is what is wrong with one. */
export function readNarrowing(claims: Readonly<Record<string, unknown>>): Narrowing | string {
  const rooms = own(claims, "rooms"), services = own(claims, "services"), limits = own(claims, "limits");
  const sid = own(claims, "sid");
  if (rooms === undefined && services === undefined && limits === undefined && sid === undefined) {
    return UNNARROWED;
  }
  if (rooms !== undefined && !isTexts(rooms)) return `rooms must be a list of at most ${ENTRIES_MAX} texts`;
  if (services !== undefined && !isTexts(services)) {
    return `services must be a list of at most ${ENTRIES_MAX} texts`;
  }
  const ext: string[] = [], hot: string[] = [];
  for (const entry of services ?? []) {
    // A service named by a number is of the hot lane: "2:*" would be both otherwise.
    if (parseHotEntry(entry) !== undefined) hot.push(entry);
    else if (parseExtEntry(entry) !== undefined) ext.push(entry);
    else return 'services must be entries such as "chat:send" or "2:*"';
  }
  const narrowed = limits === undefined ? null : readLimits(limits);
  if (typeof narrowed === "string") return narrowed;
  if (sid !== undefined && (typeof sid !== "string" || !NAME_PATTERN.test(sid))) {
    return "sid must be a session id";
  }
  return {
    rooms: rooms === undefined ? null : new Patterns(rooms),
    ext: services === undefined ? null : ext,
    hot: services === undefined ? null : hot,
    limits: narrowed,
    sid: sid ?? null,
  };
}

/** The claims from which `readNarrowing` makes the same again. */
export function narrowingClaims({ rooms, ext, hot, limits, sid }: Narrowing): Record<string, unknown> {
  return {
    ...(rooms === null ? {} : { rooms: rooms.sources }),
    ...(ext === null && hot === null ? {} : { services: [...ext ?? [], ...hot ?? []] }),
    ...(limits === null ? {} : { limits }),
    ...(sid === null ? {} : { sid }),
  };
}

/** Claims by these names only: an object's own, for JSON may have a `__proto__`. */
function own(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= ENTRIES_MAX &&
    value.every((item) => typeof item === "string");
}

function readLimits(value: unknown): NarrowedLimits | string {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "limits must be an object";
  for (const [name, limit] of Object.entries(value)) {
    if (!["max_frame_bytes", "rate_limit_rps", "rate_limit_burst"].includes(name)) {
      return "limits may have max_frame_bytes, rate_limit_rps and rate_limit_burst";
    }
    if (!Number.isSafeInteger(limit) || limit < 1) return "limits must be whole numbers of at least 1";
  }
  return value;
}
