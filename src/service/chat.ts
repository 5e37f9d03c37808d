// The built-in `chat` service: a member says something to its room, reliably.

import { type Refusal, refusal } from "../protocol/codes.ts";
import type { Envelope } from "../protocol/envelope.ts";
import { extFrame, LANE } from "../protocol/frame.ts";
import type { Json } from "../protocol/json.ts";
import { senderKey } from "../room/sent_keys.ts";
import type { Rooms } from "../room/rooms.ts";
import { type Answer, type Context, type ExtService, published, UNKNOWN_TYPE } from "./service.ts";

const NO_ROOM = refusal("BAD_REQUEST", "chat.send needs a room");
const BAD_DATA = refusal("BAD_REQUEST", "chat.send takes data {msg: string}");
const NOT_A_MEMBER = refusal("NOT_ALLOWED", "chat.send is for members of the room: join it first");

export class ChatService implements ExtService {
  /** The name it answers to, and under which its messages go out. */
  readonly #svc: string;
  readonly #rooms: Rooms;

  constructor(svc: string, rooms: Rooms) {
    this.#svc = svc;
    this.#rooms = rooms;
  }

  handle(context: Context, message: Envelope): Answer {
    if (message.type !== "send") return UNKNOWN_TYPE;
    const { room, data } = message;
    if (room === null) return NO_ROOM;
    const msg = msgIn(data);
    if (typeof msg !== "string") return msg;
    if (context.membership(room) === undefined) return NOT_A_MEMBER;
    const said = { v: 1, svc: this.#svc, type: "msg", room, data: { from: context.user, msg } } as const;
    const key = senderKey(`user ${context.user}`, message.key);
    return published(this.#rooms.publish(room, extFrame(said, LANE.reliable), { except: null, key }));
  }
}

function msgIn(data: Json | undefined): string | Refusal {
  const read = data?.read();
  if (read === undefined) return BAD_DATA;
  if (!read.ok) return refusal("BAD_REQUEST", `data of chat.send ${read.why}`);
  const { value } = read;
  const msg = typeof value === "object" && value !== null ? (value as { msg?: unknown }).msg : undefined;
  return typeof msg === "string" ? msg : BAD_DATA;
}
