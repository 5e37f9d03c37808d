// What the gateway itself says, one function a message, in the order of docs/protocol.md.
// Every `sys` message carries `trace_id`: it finds the session in the logs.

import type { ErrorCode, Refusal } from "./codes.ts";
import { Json, membersOf } from "./json.ts";
import { extFrame, type Frame, LANE, LANE_NAMES, type LossLane, type OutEnvelope } from "./frame.ts";

/** The content of `sys.authed`. */
export interface Authed {
  readonly tenant: string;
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  /** By what it is connected. */
  readonly transport?: string;
  readonly ping_interval_ms: number;
  readonly max_frame_bytes: number;
  /** The gateway's clock, Unix time in milliseconds. */
  readonly time_ms: number;
  /** The gateway's name, where it is one of several. */
  readonly node?: string;
  /** When the ticket expires, from now; absent for never. */
  readonly expires_in_ms?: number;
  /** By what the client comes back after a lost connection, where it asked for that and the tenant has it. */
  readonly resume?: { readonly token: string; readonly window_ms: number };
  /** The client brought a token, and why that led to no session. */
  readonly resumed?: { readonly ok: false; readonly reason: string };
}

/** What may stand beside `code` and `msg` in a `sys.error`. */
export interface ErrorDetail {
  readonly seq?: number | null;
  readonly retryAfterMs?: number | undefined;
  /** The check or rule that refused. */
  readonly ruleId?: string | undefined;
}

/** What an ack says of a message that is kept, or that had a key. */
export interface AckData {
  readonly offset?: number;
  readonly epoch?: string;
  /** It was published before under the same key; offset and epoch are those of the first. */
  readonly duplicate?: true;
}

/** The content of `sys.joined`; what comes behind `count` is said in rooms that keep what is said in them. */
export interface JoinedData {
  /** The session's number in the room (u32). */
  readonly member: number;
  /** How many members the room has. */
  readonly count: number;
  readonly epoch?: string;
  /** The offset after which the member hears everything live. */
  readonly offset?: number;
  /** Whether what is replayed is all that was missed, where the client said what it has. */
  readonly recovered?: boolean;
  readonly replayed?: number;
  readonly reason?: string;
}

/** `seq` is that of the `sys.auth` that this answers. */
export function sysAuthed(traceId: string, data: Authed, seq: number | null = null): Frame {
  return control(withSeq({ v: 1, svc: "sys", type: "authed", data, trace_id: traceId }, seq));
}

/** The client has come back: `heard` messages of its own were taken, and `replay` ones that it missed follow. */
export function sysResumed(traceId: string, data: Authed & { heard: number; replay: number }): Frame {
  return control({ v: 1, svc: "sys", type: "resumed", data, trace_id: traceId });
}

/** The session's ticket expires; a new one renews it in place. */
export function sysExpiring(traceId: string, expiresInMs: number): Frame {
  const data = { expires_in_ms: expiresInMs };
  return control({ v: 1, svc: "sys", type: "expiring", data, trace_id: traceId });
}

export function sysError(traceId: string, code: ErrorCode, msg: string, detail: ErrorDetail = {}): Frame {
  const { seq, retryAfterMs, ruleId } = detail;
  const what = ruleId === undefined ? { code, msg } : { code, msg, rule_id: ruleId };
  const data = retryAfterMs === undefined ? what : { ...what, retry_after_ms: retryAfterMs };
  const head = { v: 1, svc: "sys", type: "error" } as const;
  return control(
    seq === undefined || seq === null
      ? { ...head, data, trace_id: traceId }
      : { ...head, seq, data, trace_id: traceId },
  );
}

/** A refusal as `sys.error`. */
export function sysRefused(traceId: string, { code, msg, ruleId }: Refusal, detail: ErrorDetail): Frame {
  return sysError(traceId, code, msg, { ...detail, ruleId });
}

export function sysJoined(
  traceId: string,
  room: string,
  data: JoinedData,
  seq: number | null,
): Frame {
  return control(withSeq({ v: 1, svc: "sys", type: "joined", room, data, trace_id: traceId }, seq));
}

/**
 * Tells all members of a room that they have missed something, and where they stand now: as if they had joined again. Among
 * the room's messages, for it holds for what comes behind it.
 */
export function sysMissed(traceId: string, room: string, data: Omit<JoinedData, "member">): Frame {
  return extFrame({ v: 1, svc: "sys", type: "joined", room, data, trace_id: traceId }, LANE.reliable);
}

/** `room` is null when there was none to leave. */
export function sysLeft(traceId: string, room: string | null, seq: number | null): Frame {
  const head = { v: 1, svc: "sys", type: "left" } as const;
  const envelope = room === null ? { ...head, trace_id: traceId } : { ...head, room, trace_id: traceId };
  return control(withSeq(envelope, seq));
}

export function sysKicked(traceId: string, reason: string): Frame {
  return control({ v: 1, svc: "sys", type: "kicked", data: { reason }, trace_id: traceId });
}

export function sysAck(traceId: string, seq: number, data?: AckData): Frame {
  const head = { v: 1, svc: "sys", type: "ack", seq } as const;
  return control(data === undefined ? { ...head, trace_id: traceId } : { ...head, data, trace_id: traceId });
}

/** A change in a room's membership. On the reliable lane: it can be many, so it must be bounded. */
export function sysPresence(
  traceId: string,
  room: string,
  data: {
    event: "join" | "leave";
    user: string;
    member: number;
    count: number;
    reason?: string;
    at?: number;
  },
): Frame {
  return extFrame({ v: 1, svc: "sys", type: "presence", room, data, trace_id: traceId }, LANE.reliable);
}

/** Messages of a hot lane were dropped for this session, the first of them `sinceMs` ago. */
export function sysGap(
  traceId: string,
  gap: { lane: LossLane; dropped: number; bytes: number; sinceMs: number },
): Frame {
  const { lane, dropped, bytes, sinceMs } = gap;
  const data = { lane: LANE_NAMES[lane], dropped, bytes, since_ms: Math.round(sinceMs) };
  return control({ v: 1, svc: "sys", type: "gap", data, trace_id: traceId });
}

export function sysDraining(traceId: string, retryAfterMs: number): Frame {
  const data = { retry_after_ms: retryAfterMs };
  return control({ v: 1, svc: "sys", type: "draining", data, trace_id: traceId });
}

/**
 * Answers `sys.ping`: an object as `data` comes back with `time_ms` added, any other value as `data.echo`.
 * @param heard ext messages taken from this client; null where its session cannot be resumed
 */
export function sysPong(
  traceId: string,
  data: Json | undefined,
  { timeMs, seq, heard }: { timeMs: number; seq: number | null; heard: number | null },
): Frame {
  const ours: Record<string, number> = heard === null ? { time_ms: timeMs } : { time_ms: timeMs, heard };
  const answer = data === undefined ? ours : Json.written(pongText(data, ours));
  return control(withSeq({ v: 1, svc: "sys", type: "pong", data: answer, trace_id: traceId }, seq));
}

/** What the client says goes back as it came, but for these numbers, which are the gateway's own. */
function pongText(data: Json, ours: Readonly<Record<string, number>>): string {
  const { text } = data;
  const added = JSON.stringify(ours).slice(1, -1);
  const plain = text.charCodeAt(0) === 0x7b && text.includes('"') && !text.includes("\\");
  if (plain && !text.includes("time") && !text.includes("heard")) return `${text.slice(0, -1)},${added}}`;
  const members = membersOf(data);
  if (members === null) return `{"echo":${text},${added}}`;
  const given = new Set(members.map(({ key }) => key));
  const own = Object.entries(ours).filter(([key]) => !given.has(key)).map(([key, value]) =>
    `"${key}":${value}`
  );
  if (own.length === Object.keys(ours).length) {
    return members.length === 0 ? `{${added}}` : `${text.slice(0, -1)},${added}}`;
  }
  const told = new Set<string>();
  const texts = members.flatMap(({ key, text }) => {
    if (!Object.hasOwn(ours, key)) return [text];
    if (told.has(key)) return [];
    told.add(key);
    return [`"${key}":${ours[key]}`];
  });
  return `{${[...texts, ...own].join(",")}}`;
}

function withSeq(envelope: OutEnvelope, seq: number | null): OutEnvelope {
  return seq === null ? envelope : { ...envelope, seq };
}

function control(envelope: OutEnvelope): Frame {
  return extFrame(envelope, LANE.control);
}
