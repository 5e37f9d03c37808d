// One decision of policy as it is kept for administrators: who said what, and what became of it.

import type { Finding, FoundMessage } from "../../session/recorder.ts";
import type { SessionHandle } from "../../session/session_handle.ts";

/** Longest message that is kept, in characters of its text. */
export const MESSAGE_CHARS_MAX = 4096;
/** Rooms of its session that are kept with it. */
const ROOMS_MAX = 16;

/** A decision, in words of the admin API where it is shown. */
export interface Decision {
  readonly seq: number;
  /** Unix time in milliseconds. */
  readonly timeMs: number;
  /** Whose message it was; what is kept of it does not keep its session. */
  readonly session: string;
  readonly user: string;
  readonly transport: string;
  /** What its ticket took away. */
  readonly narrowing: SessionHandle["narrowing"];
  readonly lane: "ext" | "hot";
  /** Null where that was not read, and of a message that passed. */
  readonly service: string | null;
  readonly bytes: number;
  /** As it came: text, or hexadecimal digits; null for what is too long to be kept, or is no message. */
  readonly message: string | null;
  /** The room that the session had joined last. */
  readonly active: string | null;
  /** Rooms that it was in. */
  readonly rooms: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
  /** Null for a message against which nothing was found. */
  readonly finding: Finding | null;
  /** Others like it of the same session and second that are not kept. */
  repeats: number;
}

export interface NewDecision {
  readonly seq: number;
  readonly timeMs: number;
  readonly session: SessionHandle;
  readonly message: FoundMessage;
  readonly finding: Finding | null;
}

export function decisionOf({ seq, timeMs, session, message, finding }: NewDecision): Decision {
  const { lane, service, bytes, body } = message;
  const rooms: string[] = [];
  for (const name of session.memberships.keys()) {
    if (rooms.length === ROOMS_MAX) break;
    rooms.push(name);
  }
  return {
    seq,
    timeMs,
    session: session.session,
    user: session.user,
    transport: session.transport,
    narrowing: session.narrowing,
    lane,
    service,
    bytes,
    message: body === null ? null : textOf(body),
    active: session.active?.room.name ?? null,
    rooms,
    claims: session.claims,
    finding,
    repeats: 0,
  };
}

/** Hexadecimal digits of bytes. */
export function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

function textOf(body: string | Uint8Array): string | null {
  if (typeof body === "string") return body.length > MESSAGE_CHARS_MAX ? null : body;
  return body.length * 2 > MESSAGE_CHARS_MAX ? null : hexOf(body);
}

/** What a decision weighs, in characters. */
export function weightOf({ message, rooms }: Decision): number {
  return 500 + (message?.length ?? 0) + rooms.length * 64;
}
