// Frames as RFC 6455 allows them and as it does not, with what becomes of each: one table for every adapter. Heads of
// requests and handshakes have theirs in raw_requests.ts.

import { closePayload, frame, OP } from "./raw_client.ts";

/** Frames that end a link. */
export interface BadFrames {
  readonly what: string;
  readonly bytes: Uint8Array;
  /** The close codes that fit. */
  readonly codes: readonly number[];
  /** Whether all that is wrong is a missing mask. */
  readonly unmasked?: boolean;
  /** Whether native Deno passes over it, where no adapter can change that. */
  readonly passedOver?: boolean;
}

/** Frames that are right. */
export interface GoodFrames {
  readonly what: string;
  readonly bytes: Uint8Array;
  /** What the handler hears, in order; binary messages in hexadecimal. */
  readonly heard: readonly string[];
  /** Payloads of the pongs that come back. */
  readonly pongs?: readonly string[];
}

const join = (...parts: readonly Uint8Array[]): Uint8Array => {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};
const first = (payload: string | Uint8Array, opcode: number = OP.text) =>
  frame(opcode, payload, { fin: false });
const middle = (payload: string | Uint8Array) => frame(OP.continuation, payload, { fin: false });
const last = (payload: string | Uint8Array) => frame(OP.continuation, payload);
const text = (...bytes: readonly number[]) => frame(OP.text, Uint8Array.of(...bytes));
const close = (code: number, reason = "") => frame(OP.close, closePayload(code, reason));

const reserved = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): BadFrames => ({
  what: `opcode ${opcode}`,
  bytes: frame(opcode, "x"),
  codes: [1002],
}));

const codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map((
  code,
): BadFrames => ({
  what: `a close with code ${code}`,
  bytes: close(code),
  codes: [1002],
}));

const utf8: readonly BadFrames[] = ([
  ["bytes that no character has", [0xff, 0xfe]],
  ["an overlong slash", [0xc0, 0xaf]],
  ["an overlong character of three bytes", [0xe0, 0x80, 0xaf]],
  ["an overlong character of four bytes", [0xf0, 0x80, 0x80, 0xaf]],
  ["a high surrogate", [0xed, 0xa0, 0x80]],
  ["a pair of surrogates", [0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80]],
  ["a character beyond U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
  ["a character of five bytes", [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ["a continuation byte alone", [0x80]],
  ["half a character at its end", [0x61, 0xe2, 0x82]],
] as const).map(([what, bytes]) => ({
  what: `a text with ${what}`,
  bytes: text(...bytes),
  codes: [1007],
}));

/** Frames that no link outlives. */
export const BAD_FRAMES: readonly BadFrames[] = [
  ...reserved,
  ...codes,
  ...utf8,
  { what: "an unmasked text", bytes: frame(OP.text, "x", { mask: null }), codes: [1002], unmasked: true },
  { what: "RSV1 without an extension", bytes: frame(OP.text, "x", { rsv: 4 }), codes: [1002] },
  { what: "RSV2", bytes: frame(OP.text, "x", { rsv: 2 }), codes: [1002] },
  { what: "RSV3", bytes: frame(OP.binary, "x", { rsv: 1 }), codes: [1002] },
  { what: "all reserved bits of a ping", bytes: frame(OP.ping, "x", { rsv: 7 }), codes: [1002] },
  {
    what: "RSV2 of a continuation",
    bytes: join(first("x"), frame(OP.continuation, "y", { rsv: 2 })),
    codes: [1002],
  },
  { what: "a ping of 126 bytes", bytes: frame(OP.ping, "x".repeat(126)), codes: [1002] },
  { what: "a pong of 126 bytes", bytes: frame(OP.pong, "x".repeat(126)), codes: [1002], passedOver: true },
  { what: "a fragmented ping", bytes: frame(OP.ping, "x", { fin: false }), codes: [1002] },
  { what: "a fragmented pong", bytes: frame(OP.pong, "x", { fin: false }), codes: [1002] },
  { what: "a fragmented close", bytes: frame(OP.close, closePayload(1000), { fin: false }), codes: [1002] },
  { what: "a continuation of nothing", bytes: last("x"), codes: [1002] },
  { what: "a continuation of nothing that goes on", bytes: middle("x"), codes: [1002] },
  { what: "a new text amid fragments", bytes: join(first("x"), frame(OP.text, "y")), codes: [1002] },
  { what: "a new binary amid fragments", bytes: join(first("x"), frame(OP.binary, "y")), codes: [1002] },
  { what: "a new fragmented text amid fragments", bytes: join(first("x"), first("y")), codes: [1002] },
  {
    what: "a broken character over two fragments",
    bytes: join(first(Uint8Array.of(0xc3)), last("x")),
    codes: [1007],
  },
  {
    what: "an announced length of 2^62",
    bytes: frame(OP.binary, "x", { announce: 2n ** 62n }),
    codes: [1009, 1002],
  },
  {
    what: "an announced length of 2^63",
    bytes: frame(OP.binary, "x", { announce: 2n ** 63n }),
    codes: [1009, 1002],
  },
  { what: "a close frame of one byte", bytes: frame(OP.close, "x"), codes: [1002] },
  {
    what: "a close reason of invalid UTF-8",
    bytes: frame(OP.close, Uint8Array.of(3, 232, 255)),
    codes: [1007, 1002],
  },
];

const lengths = [0, 1, 125, 126, 127, 128, 1000].map((length): GoodFrames => ({
  what: `a text of ${length} bytes`,
  bytes: frame(OP.text, "x".repeat(length)),
  heard: ["x".repeat(length)],
}));

/** Frames that are taken, and after which the link goes on. */
export const GOOD_FRAMES: readonly GoodFrames[] = [
  ...lengths,
  { what: "a mask of zeroes", bytes: frame(OP.text, "plain", { mask: new Uint8Array(4) }), heard: ["plain"] },
  { what: "an empty binary", bytes: frame(OP.binary), heard: [""] },
  { what: "a binary that is no UTF-8", bytes: frame(OP.binary, Uint8Array.of(0xff, 0)), heard: ["ff00"] },
  { what: "a text in three parts", bytes: join(first("a"), middle("b"), last("c")), heard: ["abc"] },
  { what: "a binary in two parts", bytes: join(first("a", OP.binary), last("b")), heard: ["6162"] },
  { what: "parts that are empty", bytes: join(first(""), middle(""), last("")), heard: [""] },
  { what: "empty parts around a full one", bytes: join(first(""), middle("a"), last("")), heard: ["a"] },
  {
    what: "a character over two parts",
    bytes: join(first(Uint8Array.of(0xc3)), last(Uint8Array.of(0xa9))),
    heard: ["é"],
  },
  { what: "the last character of Unicode", bytes: text(0xf4, 0x8f, 0xbf, 0xbf), heard: ["\u{10ffff}"] },
  { what: "a character that is none", bytes: text(0xef, 0xbf, 0xbf), heard: ["\uffff"] },
  { what: "a NUL", bytes: text(0), heard: ["\0"] },
  { what: "an empty ping", bytes: frame(OP.ping), heard: [], pongs: [""] },
  {
    what: "a ping of 125 bytes",
    bytes: frame(OP.ping, "x".repeat(125)),
    heard: [],
    pongs: ["x".repeat(125)],
  },
  {
    what: "pings amid a fragmented text",
    bytes: join(first("a"), frame(OP.ping, "1"), middle("b"), frame(OP.ping, "2"), last("c")),
    heard: ["abc"],
    pongs: ["1", "2"],
  },
  { what: "a pong that nobody has asked for", bytes: frame(OP.pong, "x"), heard: [] },
  {
    what: "a pong amid a fragmented text",
    bytes: join(first("a"), frame(OP.pong, "x"), last("b")),
    heard: ["ab"],
  },
];

/** Closes that are echoed; the handler is told code and reason. */
export const CLOSES: readonly (readonly [code: number, reason: string])[] = [
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999].map((code) =>
    [code, ""] as const
  ),
  [1000, "x".repeat(123)],
  [1000, "bye, \u00e9"],
];
