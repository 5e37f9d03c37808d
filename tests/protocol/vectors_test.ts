// Holds the codecs to the vectors that authors of clients get.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { cborForm, decodeCbor } from "../../src/protocol/cbor.ts";
import { decodeJson, type Envelope, type Unreadable } from "../../src/protocol/envelope.ts";
import { extFrame, LANE, type OutEnvelope } from "../../src/protocol/frame.ts";
import {
  ackOf,
  checkHot,
  HOT_AT,
  HOT_FLAG,
  hotPayloadAt,
  hotSeq,
  withSender,
} from "../../src/protocol/hot.ts";
import extCbor from "../vectors/ext_cbor.json" with { type: "json" };
import extJson from "../vectors/ext_json.json" with { type: "json" };
import gateway from "../vectors/gateway.json" with { type: "json" };
import hot from "../vectors/hot.json" with { type: "json" };
import { hex, type Json, readCbor, unhex, within, writeCbor } from "./naive.ts";

interface Refused {
  readonly code: string;
  readonly close: number;
  readonly seq?: number;
}

/** As vectors spell it: no `data` where there is none, and -0 is 0. */
function read({ svc, type, flags, seq, room, data }: Envelope): Record<string, unknown> {
  const fields = { svc, type, flags: flags + 0, seq: seq === null ? null : seq + 0, room };
  if (data === undefined) return fields;
  const read = data.read();
  assert.ok(read.ok);
  return { ...fields, data: read.value };
}

function refused({ refusal, seq }: Unreadable): Refused {
  const { code, close } = refusal;
  assert.ok(close);
  return seq === null ? { code, close: close.code } : { code, close: close.code, seq };
}

test("Every valid JSON envelope of the vectors is read as its fields say", () => {
  for (const { name, text, fields } of extJson.valid) {
    const envelope = decodeJson(text);
    assert.ok(envelope.ok, name);
    assert.deepEqual(read(envelope), fields, name);
  }
});

test("Every invalid JSON envelope of the vectors is refused as it says", () => {
  for (const { name, text, refused: expected } of extJson.invalid) {
    const envelope = decodeJson(text);
    assert.ok(!envelope.ok, name);
    assert.deepEqual(refused(envelope), expected, name);
  }
});

test("Every valid CBOR envelope of the vectors is read as its fields say, wherever its bytes lie", () => {
  for (const { name, hex: bytes, fields } of extCbor.valid) {
    for (const message of [unhex(bytes), within(unhex(bytes), 0xff), within(unhex(bytes), 0x61)]) {
      const envelope = decodeCbor(message);
      assert.ok(envelope.ok, name);
      assert.deepEqual(read(envelope), fields, name);
    }
  }
});

test("Every invalid CBOR envelope of the vectors is refused as it says, wherever its bytes lie", () => {
  for (const { name, hex: bytes, refused: expected } of extCbor.invalid) {
    for (const message of [unhex(bytes), within(unhex(bytes), 0x00), within(unhex(bytes), 0x61)]) {
      const envelope = decodeCbor(message);
      assert.ok(!envelope.ok, name);
      assert.deepEqual(refused(envelope), expected, name);
    }
  }
});

test("What both encodings can say stands in both files, under the same name", () => {
  const names = (cases: readonly { name: string }[]) => new Set(cases.map(({ name }) => name));
  const json = names([...extJson.valid, ...extJson.invalid]),
    cbor = names([...extCbor.valid, ...extCbor.invalid]);
  assert.equal(json.size, extJson.valid.length + extJson.invalid.length, "a JSON name twice");
  assert.equal(cbor.size, extCbor.valid.length + extCbor.invalid.length, "a CBOR name twice");
  assert.ok([...json].filter((name) => cbor.has(name)).length > 80);
});

test("Every valid hot frame of the vectors is read as its fields say, wherever its bytes lie", () => {
  for (const { name, hex: bytes, fields } of hot.valid) {
    for (const frame of [unhex(bytes), within(unhex(bytes), 0xff), within(unhex(bytes), 0x00)]) {
      assert.equal(checkHot(frame), null, name);
      const seen = {
        svc_id: frame[HOT_AT.svcId],
        opcode: frame[HOT_AT.opcode],
        seq: hotSeq(frame),
        ack: (frame[HOT_AT.flags]! & HOT_FLAG.ackRequested) !== 0,
        payload: hex(frame.subarray(hotPayloadAt(frame))),
      };
      assert.deepEqual(seen, fields, name);
    }
  }
});

test("Every invalid hot frame of the vectors is refused as it says, wherever its bytes lie", () => {
  for (const { name, hex: bytes, refused: expected } of hot.invalid) {
    for (const frame of [unhex(bytes), within(unhex(bytes), 0x00), within(unhex(bytes), 0x01)]) {
      const refusal = checkHot(frame);
      assert.ok(refusal, name);
      assert.deepEqual({ code: refusal.code, close: refusal.close?.code }, expected, name);
    }
  }
});

test("Every hot frame of the gateway is made of the client's as the vectors say", () => {
  for (const { name, received, sender, sent } of gateway.hot) {
    for (const frame of [unhex(received), within(unhex(received), 0xff)]) {
      const out = sender === undefined ? ackOf(frame) : withSender(frame, sender);
      assert.equal(hex(out), sent, name);
      assert.equal(hex(frame), received, `${name}: the client's frame is left alone`);
    }
  }
});

test("The fields of the gateway's hot frames are what the header's drawing says", () => {
  for (const { name, sent, fields } of gateway.hot) {
    const view = new DataView(unhex(sent).buffer);
    assert.equal(view.getUint8(0), 1, name);
    const flags = view.getUint8(3);
    let at = 4;
    const u32 = () => view.getUint32((at += 4) - 4, true);
    const seq = (flags & 1) === 0 ? null : u32();
    const sender = (flags & 4) === 0 ? null : u32();
    const ack = (flags & 2) !== 0;
    const seen = {
      svc_id: view.getUint8(1),
      opcode: view.getUint8(2),
      seq,
      sender,
      ack,
      payload: sent.slice(2 * at),
    };
    assert.deepEqual(seen, fields, name);
  }
});

test("Every message of the gateway is the same value as text and as CBOR", () => {
  for (const { name, json, cbor } of gateway.messages) {
    assert.deepEqual(readCbor(unhex(cbor)), json, name);
    const frame = extFrame(json as OutEnvelope, LANE.control);
    assert.deepEqual(JSON.parse(frame.payload as string), json, name);
    assert.deepEqual(readCbor(cborForm(frame).payload as Uint8Array), json, name);
  }
});

test("The second opinion reads what it writes", () => {
  for (const { name, json } of gateway.messages) {
    for (const wider of [0, 1, 2, 4]) {
      assert.deepEqual(readCbor(Uint8Array.from(writeCbor(json as Json, () => wider))), json, name);
    }
  }
});
