// What is typed, as messages, and messages, as lines to read. What others have said is shown without what a terminal obeys.

import { Buffer } from "node:buffer";
import { Json } from "../../protocol/json.ts";

/** A typed line. */
export type Typed =
  | {
    readonly kind: "ext";
    readonly svc: string;
    readonly type: string;
    readonly room?: string;
    readonly data?: unknown;
  }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "hot"; readonly bytes: Uint8Array }
  | { readonly kind: "quit" | "help" | "nothing" }
  | { readonly kind: "wrong"; readonly why: string };

export const HELP = `  some text            chat.send to the room that was joined last
  /join ROOM           room.join; /leave [ROOM]
  /send SVC TYPE JSON  any message, with this data, to the room that was joined last
  /hot HEX             a hot message, such as /hot 01 01 09 00 68 69
  {…}                  a message as it stands
  /ping, /help, /quit`;

/** @param room that was joined last */
export function readLine(line: string, room: string | null): Typed {
  const text = line.trim();
  if (text === "") return { kind: "nothing" };
  if (text.startsWith("{")) return { kind: "text", text };
  const placed = room === null ? {} : { room };
  if (!text.startsWith("/")) {
    return { kind: "ext", svc: "chat", type: "send", ...placed, data: { msg: text } };
  }
  const [, word = "", rest = ""] = /^\/(\S*)\s*(.*)$/s.exec(text)!;
  switch (word) {
    case "join":
      return rest === "" ? wrong("/join ROOM") : { kind: "ext", svc: "room", type: "join", room: rest };
    case "leave":
      return { kind: "ext", svc: "room", type: "leave", ...(rest === "" ? placed : { room: rest }) };
    case "ping":
      return { kind: "ext", svc: "sys", type: "ping" };
    case "send":
      return readSend(rest, placed);
    case "hot":
      return readHot(rest);
    case "quit":
    case "help":
      return { kind: word };
    default:
      return wrong(`no "/${word}"; /help tells what there is`);
  }
}

function readSend(rest: string, placed: { readonly room?: string }): Typed {
  const [, svc, type, data] = /^(\S+)\s+(\S+)\s*(.*)$/s.exec(rest) ?? [];
  if (svc === undefined || type === undefined) return wrong("/send SVC TYPE JSON");
  if (!data) return { kind: "ext", svc, type, ...placed };
  try {
    JSON.parse(data);
  } catch {
    return wrong(`this is no JSON: ${data}`);
  }
  return { kind: "ext", svc, type, ...placed, data: Json.written(data) };
}

function readHot(rest: string): Typed {
  const hex = rest.replaceAll(/\s+/g, "");
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(hex)) return wrong("/hot HEX, two digits a byte");
  return { kind: "hot", bytes: Buffer.from(hex, "hex") };
}

function wrong(why: string): Typed {
  return { kind: "wrong", why };
}

/** An ext message as it is sent. */
export function envelopeOf({ svc, type, room, data }: Extract<Typed, { kind: "ext" }>): string {
  const text = data instanceof Json ? data.text : JSON.stringify(data);
  const placed = room === undefined ? "" : `,"room":${JSON.stringify(room)}`;
  return `{"v":1,"svc":${JSON.stringify(svc)},"type":${JSON.stringify(type)}${placed}${
    text === undefined ? "" : `,"data":${text}`
  }}`;
}

/** What a message says, in a line. */
export function lineOf(message: string): string {
  let read: Record<string, unknown>;
  try {
    read = JSON.parse(message) as Record<string, unknown>;
  } catch {
    return plain(message);
  }
  const { svc, type, room, seq, offset } = read;
  const data = (typeof read["data"] === "object" && read["data"] !== null ? read["data"] : {}) as Record<
    string,
    unknown
  >;
  const where = room === undefined ? "" : ` ${room}`;
  const numbered = seq === undefined ? "" : ` #${seq}`;
  if (svc === "sys" && type === "authed") {
    return plain(
      `you are ${data["user"]} of ${data["tenant"]}, by ${data["transport"]}, session ${data["session"]}`,
    );
  }
  if (svc === "sys" && type === "error") {
    const rule = data["rule_id"] === undefined ? "" : ` (${data["rule_id"]})`;
    return plain(`error${numbered} ${data["code"]}: ${data["msg"]}${rule}`);
  }
  if (typeof data["from"] === "string" && typeof data["msg"] === "string") {
    const at = offset === undefined ? "" : ` @${offset}`;
    return plain(`[${room ?? ""}${at}] ${data["from"]}: ${data["msg"]}`);
  }
  const content = read["data"] === undefined ? "" : ` ${JSON.stringify(read["data"])}`;
  return plain(`${svc}.${type}${where}${numbered}${content}`);
}

/** Bytes as hex, and what of them can be read. */
export function hotLine(bytes: Uint8Array): string {
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const text = [...bytes].map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".").join(
    "",
  );
  return `hot ${hex}  |${text}|`;
}

/** A text on one line, without what a terminal would obey. */
export function plain(text: string): string {
  return text.replaceAll(
    // deno-lint-ignore no-control-regex -- these are what it is about
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
