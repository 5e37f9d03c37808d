// Responses, whole and in pieces, good and bad.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { ResponseReader } from "../../src/outbound/http1.ts";
import { UnreadableResponse } from "../../src/outbound/http_headers.ts";
import { Inflow } from "../../src/outbound/inflow.ts";

const AMPLE = new Inflow(() => 0).share();

interface Read {
  readonly status: number;
  readonly body: string;
  readonly persists: boolean;
}

/** Reads what comes in these pieces, and then the connection's end. */
function read(pieces: readonly string[], bodyBytesMax = 1000): Read {
  const reader = new ResponseReader({ bodyBytesMax, memory: AMPLE, bodyless: false, discards: false });
  for (const piece of pieces) {
    const response = reader.push(Buffer.from(piece, "latin1"));
    if (response !== null) {
      return { status: response.status, body: response.body.toString(), persists: reader.persists };
    }
  }
  const { status, body } = reader.end();
  return { status, body: body.toString(), persists: reader.persists };
}

const OK = "HTTP/1.1 200 OK\r\n";
const GOOD: readonly (readonly [text: string, read: Read])[] = [
  [`${OK}content-length: 5\r\n\r\nhello`, { status: 200, body: "hello", persists: true }],
  [`${OK}Content-Length:5 \r\nX: \r\n\r\nhello`, { status: 200, body: "hello", persists: true }],
  [`${OK}content-length: 0\r\n\r\n`, { status: 200, body: "", persists: true }],
  ["HTTP/1.1 404\r\ncontent-length: 1\r\n\r\nx", { status: 404, body: "x", persists: true }],
  ["HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", { status: 204, body: "", persists: true }],
  [`${OK}connection: keep-alive, Close\r\ncontent-length: 1\r\n\r\nx`, {
    status: 200,
    body: "x",
    persists: false,
  }],
  ["HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", { status: 200, body: "x", persists: false }],
  ["HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", {
    status: 200,
    body: "x",
    persists: true,
  }],
  [`${OK}\r\nuntil the end`, { status: 200, body: "until the end", persists: false }],
  [
    `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;a="b"\r\n world\r\n0\r\n\r\n`,
    { status: 200, body: "hello world", persists: true },
  ],
  [
    `${OK}Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nx-after: 1\r\ny: 2\r\n\r\n`,
    { status: 200, body: "0123456789", persists: true },
  ],
  [
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${OK}content-length: 2\r\n\r\nhi`,
    { status: 200, body: "hi", persists: true },
  ],
];

test("A response is read whole or byte by byte", () => {
  for (const [text, wanted] of GOOD) {
    assert.deepEqual(read([text]), wanted, text);
    assert.deepEqual(read([...text]), wanted, text);
  }
});

test("A response is read the same in any pieces", () => {
  const cuts = fc.array(fc.nat(200), { maxLength: 8 });
  fc.assert(fc.property(fc.constantFrom(...GOOD), cuts, ([text, wanted], at) => {
    const places = [0, ...at.filter((i) => i < text.length).sort((a, b) => a - b), text.length];
    const pieces = places.slice(1).map((end, i) => text.slice(places[i]!, end));
    assert.deepEqual(read(pieces), wanted);
  }));
});

test("What follows a response on the connection keeps it from being used again", () => {
  const text = `${OK}content-length: 2\r\n\r\nhi`;
  assert.equal(read([`${text}HTTP/1.1 200 OK\r\n`]).persists, false);
  assert.equal(read([`${OK}transfer-encoding: chunked\r\n\r\n0\r\n\r\nmore`]).persists, false);
});

const BAD: readonly (readonly [text: string, why: RegExp])[] = [
  ["", /ends midway/],
  [OK, /ends midway/],
  [`${OK}content-length: 5\r\n\r\nhell`, /ends midway/],
  [`${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`, /ends midway/],
  [`${OK}transfer-encoding: chunked\r\n\r\n0\r\n`, /ends midway/],
  ["SSH-2.0-OpenSSH_9.9\r\n\r\n", /not HTTP/],
  ["HTTP/2 200\r\n\r\n", /not HTTP/],
  ["HTTP/1.1 2000 OK\r\n\r\n", /not HTTP/],
  ["HTTP/1.1 101 Switching\r\n\r\n", /status 101/],
  [`${OK}no colon\r\n\r\n`, /header/],
  [`${OK}x : 1\r\n\r\n`, /header/],
  [`${OK}x: 1\r\n folded\r\n\r\n`, /header/],
  [`${OK}content-length: 5\r\ncontent-length: 6\r\n\r\nhello`, /no number/],
  [`${OK}content-length: -1\r\n\r\n`, /no number/],
  [`${OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n`, /two lengths/],
  [`${OK}transfer-encoding: gzip, chunked\r\n\r\n`, /coding/],
  [`${OK}transfer-encoding: chunked\r\n\r\nx\r\n`, /no number/],
  [`${OK}transfer-encoding: chunked\r\n\r\n2\r\nabc\r\n`, /too late/],
  [`${OK}transfer-encoding: chunked\r\n\r\n1${" ".repeat(1100)}`, /too long/],
  [`${OK}content-length: 1001\r\n\r\n`, /larger than 1000/],
  [`${OK}transfer-encoding: chunked\r\n\r\n3e9\r\n`, /larger than 1000/],
  [`${OK}transfer-encoding: chunked\r\n\r\n3e8\r\n${"x".repeat(1000)}\r\n1\r\n`, /larger than 1000/],
  [`${OK}\r\n${"x".repeat(1001)}`, /larger than 1000/],
  [`${OK}x: ${"y".repeat(16_400)}`, /head is larger/],
  [`${OK}transfer-encoding: chunked\r\n\r\n0\r\nx: ${"y".repeat(16_400)}`, /trailer is larger/],
];

test("What is no response, or too large, is refused, whole or byte by byte", () => {
  for (const [text, why] of BAD) {
    for (const pieces of [[text], [...text]]) {
      assert.throws(
        () => read(pieces),
        (error) => error instanceof UnreadableResponse && why.test(error.message),
        text,
      );
    }
  }
});

test("Whatever comes, reading either works or is refused in words", () => {
  const parts = fc.constantFrom(
    OK,
    "\r\n",
    "content-length: 3\r\n",
    "transfer-encoding: chunked\r\n",
    "3\r\n",
    "0\r\n",
    "abc",
  );
  fc.assert(fc.property(fc.array(fc.oneof(parts, fc.string()), { maxLength: 8 }), (pieces) => {
    try {
      read(pieces);
    } catch (error) {
      assert.ok(error instanceof UnreadableResponse, String(error));
    }
  }));
});
