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
  readonly ping_interval_ms: number;
  readonly max_frame_bytes: number;
  /** The gateway's clock, Unix time in milliseconds. */
  readonly time_ms: number;
  /** When the ticket expires, from now; absent for never. */
  readonly expires_in_ms?: number;
}

/** What may stand beside `code` and `msg` in a `sys.error`. */
export interface ErrorDetail {
  readonly seq?: number | null;
  readonly retryAfterMs?: number | undefined;
  /** The check or rule that refused. */
  readonly ruleId?: string | undefined;
}

/** `seq` is that of the `sys.auth` that this answers. */
export function sysAuthed(traceId: string, data: Authed, seq: number | null = null): Frame {
  return control(withSeq({ v: 1, svc: "sys", type: "authed", data, trace_id: traceId }, seq));
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

/** `member` is the session's number in the room (u32), `count` how many members the room has. */
export function sysJoined(
  traceId: string,
  room: string,
  data: { member: number; count: number },
  seq: number | null,
): Frame {
  return control(withSeq({ v: 1, svc: "sys", type: "joined", room, data, trace_id: traceId }, seq));
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

export function sysAck(traceId: string, seq: number): Frame {
  return control({ v: 1, svc: "sys", type: "ack", seq, trace_id: traceId });
}

/** A change in a room's membership. On the reliable lane: it can be many, so it must be bounded. */
export function sysPresence(
  traceId: string,
  room: string,
  data: { event: "join" | "leave"; user: string; member: number; count: number },
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

/** Answers `sys.ping`: an object as `data` comes back with `time_ms` added, any other value as `data.echo`. */
export function sysPong(traceId: string, data: Json | undefined, timeMs: number, seq: number | null): Frame {
  const answer = data === undefined ? { time_ms: timeMs } : Json.written(pongText(data, timeMs));
  return control(withSeq({ v: 1, svc: "sys", type: "pong", data: answer, trace_id: traceId }, seq));
}

/** What the client says goes back as it came, but for a `time_ms` of its own. */
function pongText(data: Json, timeMs: number): string {
  const { text } = data;
  if (text.charCodeAt(0) === 0x7b && text.includes('"') && !text.includes("time") && !text.includes("\\")) {
    return `${text.slice(0, -1)},"time_ms":${timeMs}}`;
  }
  const members = membersOf(data);
  if (members === null) return `{"echo":${data.text},"time_ms":${timeMs}}`;
  const time = `"time_ms":${timeMs}`;
  const own = members.findIndex(({ key }) => key === "time_ms");
  if (own < 0) return members.length === 0 ? `{${time}}` : `${data.text.slice(0, -1)},${time}}`;
  const texts = members.filter(({ key }, i) => key !== "time_ms" || i === own)
    .map(({ text }, i) => i === own ? time : text);
  return `{${texts.join(",")}}`;
}

function withSeq(envelope: OutEnvelope, seq: number | null): OutEnvelope {
  return seq === null ? envelope : { ...envelope, seq };
}

function control(envelope: OutEnvelope): Frame {
  return extFrame(envelope, LANE.control);
}
