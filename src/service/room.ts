// The built-in `room` service: join, leave, members, history. Presence events are asked for when joining and need the
// right to ask for the members, since they tell the same; where a class of rooms has them, all members get them.

import { type Refusal, refusal } from "../protocol/codes.ts";
import type { Envelope } from "../protocol/envelope.ts";
import { Frame, LANE } from "../protocol/frame.ts";
import { DEFAULT_ROOM } from "../protocol/limits.ts";
import { type JoinedData, sysJoined, sysLeft, sysMissed, sysPresence, sysRefused } from "../protocol/sys.ts";
import type { Cursor } from "../room/history.ts";
import type { KeptRoom, Missed, Page, Range, Wish } from "../room/kept_room.ts";
import type { Membership, Room } from "../room/rooms.ts";
import { type Answer, type Context, DONE, type ExtService, UNKNOWN_TYPE } from "./service.ts";

const NOT_A_MEMBER = refusal("NOT_ALLOWED", "room.members is for members of the room");
const NOT_YOURS = refusal("NOT_ALLOWED", "room.history is for members of the room: join it first");
const PRESENCE_NOT_ALLOWED = refusal("NOT_ALLOWED", "presence events need room:members in the ext_allowlist");
const BAD_JOIN = refusal(
  "BAD_REQUEST",
  "room.join takes data {presence?: boolean, since?: {epoch: string, offset: integer} or last?: integer}",
);
const NO_ROOM = refusal("BAD_REQUEST", "room.members needs a room");
const NO_HISTORY_ROOM = refusal("BAD_REQUEST", "room.history needs a room");
const BAD_HISTORY = refusal(
  "BAD_REQUEST",
  "room.history takes data {after: integer or before: integer, limit?: 1..100}",
);
const NOTHING_KEPT = refusal("NOT_FOUND", "room keeps no history");
const UNREADABLE = refusal("UNAVAILABLE", "room's history cannot be read now");

/** Messages of one answer, and the payload bytes above which no further one comes. */
const PAGE_MAX = 100;
const PAGE_BYTES = 65_536;
const EPOCH_CHARS_MAX = 64;

export class RoomService implements ExtService {
  handle(context: Context, message: Envelope): Answer | Promise<Answer> {
    switch (message.type) {
      case "join":
        return join(context, message);
      case "leave":
        return leave(context, message);
      case "members":
        return members(context, message);
      case "history":
        return history(context, message);
      default:
        return UNKNOWN_TYPE;
    }
  }
}

function join(context: Context, message: Envelope): Answer {
  const read = message.data?.read();
  if (read?.ok === false) return refusal("BAD_REQUEST", `data of room.join ${read.why}`);
  const asked = readJoin(read?.value);
  if (asked === null) return BAD_JOIN;
  if (asked.presence && !context.mayExt("room", "members")) return PRESENCE_NOT_ALLOWED;
  const joined = context.join(message.room ?? DEFAULT_ROOM);
  if ("ok" in joined) return joined;
  if (asked.presence !== null) joined.room.setPresence(joined, asked.presence);
  const { wish } = asked, { seq } = message;
  const ready = joined.room.kept?.prepare(wish) ?? joined.room.ready;
  if (ready !== null) context.recover(new LateJoin(context, joined, { wish, seq, isLate: true, ready }));
  else {
    const { frame, missed } = joinedFrame(context, joined, { wish, seq });
    context.deliver(frame);
    if (missed !== null) context.recover(missed);
  }
  return DONE;
}

/**
 * What a member has missed that comes from another node, where it had been given all up to the cursor. It is told of nothing
 * but a loss.
 */
export function catchUp(context: Context, joined: Membership, since: Cursor): Missed {
  const wish: Wish = { since },
    ready = joined.room.kept?.prepare(wish) ?? joined.room.ready ?? Promise.resolve();
  return new LateJoin(context, joined, { wish, seq: null, isLate: true, ready, isUntold: true });
}

interface Joining {
  readonly wish: Wish | null;
  readonly seq: number | null;
  /** It has been a member for long: nothing is answered where nothing is lost. */
  readonly isUntold?: boolean;
  /** Answered only once the room's history was opened, while its messages came already. */
  readonly isLate?: boolean;
}

/** `sys.joined`, and what follows it. */
function joinedFrame(
  context: Context,
  joined: Membership,
  joining: Joining,
): { frame: Frame; missed: Missed | null; isWhole: boolean } {
  const { room, member } = joined;
  const { kept } = room;
  const data: JoinedData = { member, count: room.count };
  const found = kept === null ? null : missedBy(joined, kept, joining);
  const told = found === null ? data : { ...data, ...found.told };
  const frame = joining.isUntold
    ? sysMissed(context.traceId, room.name, told)
    : sysJoined(context.traceId, room.name, told, joining.seq);
  return { frame, missed: found?.missed ?? null, isWhole: found?.told.recovered === true };
}

/**
 * A room on disk of which it is not known yet what it keeps: the member is told when it is, and hears nothing before that.
 * The answer is made as soon as it can be, and not when the member is given it: so it holds for what waits behind it.
 */
class LateJoin implements Missed {
  readonly #answer: Promise<readonly Frame[] | null>;
  #told = false;
  #stopped = false;
  #missed: Missed | null = null;
  readonly #joined: Membership;
  /**
   * The client's cursor can be ahead of what this node has heard, so that live messages come which it has had on another
   * node. What is said before the answer is made is therefore told with what it missed.
   */
  #hides: boolean;
  #hid = false;

  constructor(
    context: Context,
    joined: Membership,
    joining: Joining & { readonly ready: Promise<void> },
  ) {
    const { room } = joined, ownPresence = room.live !== null && room.class?.presence === true;
    this.#joined = joined;
    this.#hides = joining.wish !== null && "since" in joining.wish;
    this.#answer = joining.ready.then(() => known(room)).then(() => {
      this.#hides = false;
      if (joined.index < 0 || this.#stopped) return null;
      const { kept } = joined.room;
      if (kept !== null && this.#hid) joined.heardAfter = kept.last;
      const { frame, missed, isWhole } = joinedFrame(context, joined, joining);
      this.#missed = missed;
      if (joining.isUntold && isWhole) return [];
      return ownPresence && joined.observerIndex >= 0 ? [frame, presenceOf(context, joined)] : [frame];
    }, () => {
      context.leave(joined);
      return [sysRefused(context.traceId, UNREADABLE, { seq: joining.seq })];
    });
  }

  get left(): number {
    return (this.#told ? 0 : 1) + (this.#missed?.left ?? 0);
  }

  next(): readonly Frame[] | null | Promise<readonly Frame[] | null> {
    if (this.#told) return this.#missed?.next() ?? null;
    this.#told = true;
    return this.#answer;
  }

  stop(): void {
    this.#stopped = true;
    this.#missed?.stop();
  }

  hides({ origin }: Frame): boolean {
    const isHidden = this.#hides && origin !== null && origin === this.#joined.room.kept;
    this.#hid ||= isHidden;
    return isHidden;
  }
}

/** What a member hears of its own join, where it was not told with the others. */
function presenceOf({ traceId, user }: Context, { room, member }: Membership): Frame {
  const at = room.kept === null ? {} : { at: room.kept.last };
  return sysPresence(traceId, room.name, { event: "join", user, member, count: room.count, ...at });
}

/** Resolves once it is known what a room keeps; somebody may let go of it meanwhile, and then that has to be known. */
async function known(room: Room): Promise<void> {
  for (let { ready } = room; ready !== null; ready = room.ready) await ready;
}

/** What a member is given that it has not heard, and what it is told of that. */
function missedBy(
  joined: Membership,
  kept: KeptRoom,
  { wish, isLate = false }: Joining,
): { told: Omit<JoinedData, "member" | "count">; missed: Missed | null } {
  const { epoch, last } = kept;
  // What was said since its history was opened waits behind this answer, and has not been heard.
  const offset = isLate ? Math.min(last, joined.heardAfter) : last;
  if (wish === null) return { told: { epoch, offset }, missed: null };
  const { after, recovered, reason } = (isLate ? willHear(joined, kept, wish) : null) ?? kept.recover(wish);
  // A member that joins once more has heard what was said since it joined first.
  const upTo = Math.min(last, joined.heardAfter);
  joined.heardAfter = Math.min(joined.heardAfter, after);
  const missed = upTo > after ? kept.missed(after, upTo) : null;
  // Offsets may have holes: what stands between two of them is not their difference.
  const replayed = missed?.left ?? 0;
  const told = { epoch, offset, recovered, replayed, ...(reason === null ? {} : { reason }) };
  return { told, missed };
}

/** A cursor behind which all waits for the member already is proven, whatever the room still keeps; null for any other. */
function willHear({ heardAfter }: Membership, { epoch, last }: KeptRoom, wish: Wish) {
  if (!("since" in wish)) return null;
  const { since } = wish;
  if (since.epoch !== epoch || since.offset !== heardAfter || heardAfter === last) return null;
  return { after: heardAfter, recovered: true, reason: null };
}

interface Asked {
  /** Null when the message does not say. */
  readonly presence: boolean | null;
  readonly wish: Wish | null;
}

/** Null for what cannot be read. */
function readJoin(data: unknown): Asked | null {
  if (data === undefined || data === null) return { presence: null, wish: null };
  if (typeof data !== "object") return null;
  const { presence, since, last } = data as { presence?: unknown; since?: unknown; last?: unknown };
  if (presence !== undefined && typeof presence !== "boolean") return null;
  const wish = readWish(since, last);
  return wish === undefined ? null : { presence: presence ?? null, wish };
}

/** Undefined for what cannot be read. */
function readWish(since: unknown, last: unknown): Wish | null | undefined {
  if (since === undefined) return last === undefined ? null : isCount(last) ? { last } : undefined;
  if (last !== undefined || typeof since !== "object" || since === null) return undefined;
  const { epoch, offset } = since as { epoch?: unknown; offset?: unknown };
  if (typeof epoch !== "string" || epoch.length > EPOCH_CHARS_MAX || !isCount(offset)) return undefined;
  return { since: { epoch, offset } };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

// Leaving is idempotent: a client that is not in the room is told the same, as in v1.
function leave(context: Context, message: Envelope): Answer {
  const membership = message.room === null ? context.active : context.membership(message.room) ?? null;
  if (membership !== null) context.leave(membership);
  const name = message.room ?? membership?.room.name ?? null;
  context.deliver(sysLeft(context.traceId, name, message.seq));
  return DONE;
}

function members(context: Context, message: Envelope): Answer | Refusal {
  if (message.room === null) return NO_ROOM;
  const membership = context.membership(message.room);
  if (membership === undefined) return NOT_A_MEMBER;
  const { room } = membership;
  const list = room.members.map(({ member, subscriber }) => ({ user: subscriber.user, member }));
  for (const { member, session } of room.foreign?.members.values() ?? []) {
    list.push({ user: session.user, member });
  }
  return { ok: true, reply: { members: list, count: list.length } };
}

function history(context: Context, { room: name, data, seq }: Envelope): Answer | Promise<Answer> {
  if (name === null) return NO_HISTORY_ROOM;
  const read = data?.read();
  if (read?.ok === false) return refusal("BAD_REQUEST", `data of room.history ${read.why}`);
  const range = readRange(read?.value);
  if (range === null) return BAD_HISTORY;
  const membership = context.membership(name);
  if (membership === undefined) return NOT_YOURS;
  const { kept } = membership.room;
  if (kept === null) return NOTHING_KEPT;
  const tell = (page: Page): Answer => {
    if (membership.index >= 0) context.deliver(historyFrame(page, seq));
    return DONE;
  };
  const page = kept.page(range);
  return page instanceof Promise ? page.then(tell, () => UNREADABLE) : tell(page);
}

function readRange(data: unknown): Range | null {
  const asked = data ?? { before: Number.MAX_SAFE_INTEGER };
  if (typeof asked !== "object" || asked === null) return null;
  const { after, before, limit = PAGE_MAX } = asked as { after?: unknown; before?: unknown; limit?: unknown };
  if (!isCount(limit) || limit < 1 || limit > PAGE_MAX || after !== undefined && before !== undefined) {
    return null;
  }
  const bounds = { limit, maxBytes: PAGE_BYTES };
  if (after !== undefined) return isCount(after) ? { after, ...bounds } : null;
  const end = before ?? Number.MAX_SAFE_INTEGER;
  return isCount(end) ? { before: end, ...bounds } : null;
}

/** A reply with messages as they stand: what was said is not read again. */
function historyFrame({ epoch, first, last, frames, more }: Page, seq: number | null): Frame {
  const numbered = seq === null ? "" : `,"seq":${seq}`;
  const messages = frames.map(({ payload }) => payload as string).join(",");
  const head = `"epoch":${JSON.stringify(epoch)},"first":${first},"last":${last}`;
  const data = `{${head},"messages":[${messages}],"more":${more}}`;
  return new Frame(`{"v":1,"svc":"room","type":"reply"${numbered},"data":${data}}`, LANE.reliable, 0);
}
