// What a service may ask of its tenant besides its reply: speak to rooms, users and sessions, let sessions join and
// leave, end them. The same words from an HTTP backend, an extension and the admin API; what they say is foreign JSON,
// read here once and strictly.

import type { Refusal } from "../protocol/codes.ts";
import { isRoomName } from "../protocol/envelope.ts";
import { depthOf } from "../protocol/json.ts";
import { JSON_DEPTH_MAX } from "../protocol/json_scan.ts";
import { KEY_PATTERN, NAME_PATTERN, NAME_RULE, ROOM_BYTES_MAX } from "../protocol/limits.ts";
import type { Stored } from "../room/kept_room.ts";

/**
 * To all members of a room, reliably; `except` is the id of a session that is left out, and `key` keeps the same service's
 * second message within five minutes from being published again.
 */
export interface PublishAction {
  readonly action: "publish";
  readonly room: string;
  readonly type: string;
  readonly data?: unknown;
  readonly except?: string;
  readonly key?: string;
}

/** To all sessions of a user, or to one session, reliably. */
export interface SendAction {
  readonly action: "send";
  readonly to: { readonly user: string } | { readonly session: string };
  readonly type: string;
  readonly data?: unknown;
}

/** The acting session, or `session`, joins or leaves a room, and is told so. */
export interface RoomAction {
  readonly action: "join" | "leave";
  readonly room: string;
  readonly session?: string;
}

/** The acting session, or `session`, is told the reason and ended. */
export interface KickAction {
  readonly action: "kick";
  readonly reason: string;
  readonly session?: string;
}

/** As in JSON. */
export type Action = PublishAction | SendAction | RoomAction | KickAction;

/** In whose name something is done. */
export interface Actor {
  /** `svc` of the messages that go out. */
  readonly svc: string;
  /** The session that called, null when none did. */
  readonly session: string | null;
}

/** What became of an action: to how many sessions something was handed, or why nothing was done. */
export type Performed = {
  readonly ok: true;
  readonly deliveries: number;
  /** Of a message in a room that keeps it, or that had a key. */
  readonly stored?: Stored;
} | Refusal;

/** One tenant, as those see it who may act in it. MUST NOT throw for anything that `readActions` lets pass. */
export interface Actions {
  /**
   * Does it now. The tenant's limits hold, and what a session's ticket allows. What becomes of a message that has to be on
   * disk first turns out later.
   */
  perform(action: Exclude<Action, PublishAction>, by: Actor): Performed;
  perform(action: Action, by: Actor): Performed | Promise<Performed>;
}

/** Actions in one list. */
export const ACTIONS_MAX = 256;

/** Longest reason of a kick, and longest name of a user or session, in characters. */
const TEXT_CHARS_MAX = 128;

const ROOM_RULE = `1..${ROOM_BYTES_MAX} bytes of printable UTF-8`;
const TEXT_RULE = `1..${TEXT_CHARS_MAX} characters`;

const KEY_RULE = "1–64 of A–Z a–z 0–9 . _ : -";

interface Field {
  readonly name: string;
  readonly required: boolean;
  readonly good: (value: unknown) => boolean;
  readonly rule: string;
}

const room: Field = { name: "room", required: true, good: isRoomName, rule: ROOM_RULE };
const type: Field = { name: "type", required: true, good: isName, rule: NAME_RULE };
const data: Field = {
  name: "data",
  required: false,
  good: isData,
  rule: `nested at most ${JSON_DEPTH_MAX} deep`,
};
const session: Field = { name: "session", required: false, good: isText, rule: TEXT_RULE };
const except: Field = { name: "except", required: false, good: isText, rule: TEXT_RULE };
const key: Field = { name: "key", required: false, good: isKey, rule: KEY_RULE };
const reason: Field = { name: "reason", required: true, good: isText, rule: TEXT_RULE };
const to: Field = {
  name: "to",
  required: true,
  good: isTarget,
  rule: `{"user"} or {"session"} with ${TEXT_RULE}`,
};

const FIELDS: Readonly<Record<Action["action"], readonly Field[]>> = {
  publish: [room, type, data, except, key],
  send: [to, type, data],
  join: [room, session],
  leave: [room, session],
  kick: [reason, session],
};

/** Reads a list of actions; a text is what is wrong with it. An absent list is an empty one. */
export function readActions(value: unknown): readonly Action[] | string {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return `actions must be a list, got ${shown(value)}`;
  if (value.length > ACTIONS_MAX) return `actions must be at most ${ACTIONS_MAX}, got ${value.length}`;
  const actions: Action[] = [];
  for (const [i, item] of value.entries()) {
    const action = readAction(item, `actions[${i}]`);
    if (typeof action === "string") return action;
    actions.push(action);
  }
  return actions;
}

/**
 * Reads one action; a text is what is wrong with it.
 * @param at how the text calls it
 */
export function readAction(value: unknown, at: string): Action | string {
  if (!isMap(value)) return `${at} must be an object, got ${shown(value)}`;
  const verb = Object.hasOwn(value, "action") ? value["action"] : undefined;
  if (typeof verb !== "string" || !Object.hasOwn(FIELDS, verb)) {
    return `${at}.action must be one of ${Object.keys(FIELDS).join(", ")}, got ${shown(verb)}`;
  }
  const fields = FIELDS[verb as Action["action"]];
  for (const key of Object.keys(value)) {
    if (key !== "action" && !fields.some(({ name }) => name === key)) {
      return `${at} has a key that "${verb}" does not take: ${shown(key)}`;
    }
  }
  for (const { name, required, good, rule } of fields) {
    const there = Object.hasOwn(value, name);
    if (!there && required) return `${at}.${name} is missing; it must be ${rule}`;
    if (there && !good(value[name])) return `${at}.${name} must be ${rule}, got ${shown(value[name])}`;
  }
  return value as unknown as Action;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isName(value: unknown): boolean {
  return typeof value === "string" && NAME_PATTERN.test(value);
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value.length > 0 && value.length <= TEXT_CHARS_MAX;
}

function isKey(value: unknown): boolean {
  return typeof value === "string" && KEY_PATTERN.test(value);
}

function isTarget(value: unknown): boolean {
  if (!isMap(value)) return false;
  const [key, ...others] = Object.keys(value);
  return others.length === 0 && (key === "user" || key === "session") && isText(value[key]);
}

/** Whether a value can be `data`: it is not nested deeper than any tenant allows. Each tenant's own bound comes later. */
export function isData(value: unknown): boolean {
  return depthOf(value, JSON_DEPTH_MAX) <= JSON_DEPTH_MAX;
}

/** A foreign value in a message: short, and on one line. */
function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (value === null || value === undefined) return value === null ? "null" : "nothing";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : String(value);
}
