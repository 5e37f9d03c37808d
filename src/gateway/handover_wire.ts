// What nodes ask each other about a session that moves, and how the answers are read: a later release may say more, and
// what cannot be read is no answer.

import { frameOf, isCount, isText } from "../cluster/wire.ts";
import { Frame } from "../protocol/frame.ts";
import type { Mover, MoverRoom } from "../session/handover.ts";
import type { ResumeFailure } from "../session/resume_tokens.ts";

/** Questions of the asking node; the first field behind it. */
export const ASK = {
  /** `[digest, heard, cbor]` → `["here", mover]`, `["moved", node]`, `["busy"]`, `["gone", reason]` or `["bad"]` */
  request: 1,
  /** `[session]` → `["parting", head, names, sent, pages, frames]` or `["gone", reason]`; the session has left then. */
  part: 2,
  /** `[session, index]` → `["page", frames]` */
  page: 3,
} as const;

/** What one message between nodes has of a session, in bytes, but for its last frame. */
const PAGE_BYTES = 262_144;

/** Frames as another node reads them. */
export function wiredFrames(
  frames: readonly Frame[],
): (readonly [payload: Frame["payload"], lane: number])[] {
  return frames.map(({ payload, lane }) => [payload, lane]);
}

/** Frames that go in one answer each. */
export function pagesOf(frames: readonly Frame[]): Frame[][] {
  const pages: Frame[][] = [];
  let bytes = PAGE_BYTES;
  for (const frame of frames) {
    if (bytes >= PAGE_BYTES) {
      pages.push([]);
      bytes = 0;
    }
    pages.at(-1)!.push(frame);
    bytes += frame.bytes;
  }
  return pages;
}

/** Null for what cannot be read. */
export function framesIn(value: unknown): Frame[] | null {
  if (!Array.isArray(value)) return null;
  const frames: Frame[] = [];
  for (const wired of value) {
    const frame = extFrameOf(wired);
    if (frame === null) return null;
    frames.push(frame);
  }
  return frames;
}

/** An ext message, as JSON or as CBOR. */
function extFrameOf(wired: unknown): Frame | null {
  if (!Array.isArray(wired)) return null;
  const [payload, lane] = wired as unknown[];
  if (!(payload instanceof Uint8Array)) return frameOf(wired, () => 0);
  return lane === 0 || lane === 1 ? new Frame(payload, lane, 0, true) : null;
}

export function failureOf(value: unknown): ResumeFailure {
  return value === "expired" || value === "overflow" || value === "ended" ? value : "unknown";
}

/** Null for what cannot be read. */
export function moverIn(value: unknown): Mover | null {
  if (typeof value !== "object" || value === null) return null;
  const mover = value as Mover, rooms = roomsIn(mover.rooms);
  const texts = [mover.session, mover.user, mover.sid, mover.traceId];
  const times = [mover.expiresAtMs, mover.issuedAtMs];
  const isGood = texts.every(isText) && typeof mover.openedMs === "number" &&
    times.every((time) => time === null || typeof time === "number") &&
    (mover.ticketId === null || isText(mover.ticketId)) &&
    [mover.claims, mover.narrowing].every((claims) => typeof claims === "object" && claims !== null);
  return isGood && rooms !== null ? { ...mover, rooms } : null;
}

export function roomsIn(value: unknown): MoverRoom[] | null {
  if (!Array.isArray(value)) return null;
  const isRoom = (room: unknown): room is MoverRoom => {
    const { name, member, cursor } = (room ?? {}) as Partial<MoverRoom>;
    return isText(name) && isCount(member) &&
      (cursor === null || isText(cursor?.epoch) && isCount(cursor.offset));
  };
  return value.every(isRoom) ? value : null;
}
