// What a connection may do before it is admitted, when its first message is its handshake.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Hellos } from "../../src/admission/hello.ts";
import { TimerWheel } from "../../src/session/timer_wheel.ts";
import type { Handshake, HandshakeAnswer } from "../../src/admission/handshake.ts";
import type { LinkHandler } from "../../src/transport/port.ts";
import { FakeLink } from "../session/house.ts";

const HELLO =
  '{"v":1,"svc":"sys","type":"hello","data":{"tenant":"acme","ticket":"t","sid":"s","cbor":true}}';

/** The handler of an admitted connection: writes down what it is told. */
class Admitted implements LinkHandler {
  readonly heard: unknown[] = [];
  open(): void {
    this.heard.push("open");
  }
  text(message: string): void {
    this.heard.push(message);
  }
  binary(message: Uint8Array): void {
    this.heard.push([...message]);
  }
  pong(): void {
    this.heard.push("pong");
  }
  control(bytes: number): void {
    this.heard.push(bytes);
  }
  onDatagramsDrain(): void {}
  onDrain(): void {
    this.heard.push("drain");
  }
  onClose(code: number): void {
    this.heard.push(`close ${code}`);
  }
}

class House {
  ms = 0;
  readonly asked: Handshake[] = [];
  readonly admitted = new Admitted();
  says: () => HandshakeAnswer | Promise<HandshakeAnswer> = () => ({
    accept: this.admitted,
    compression: null,
  });
  readonly wheel = new TimerWheel(() => this.ms);
  readonly hellos = new Hellos({
    answer: (handshake) => {
      this.asked.push(handshake);
      return this.says();
    },
    max: 2,
    timeoutMs: () => 1000,
    wheel: this.wheel,
    newId: () => "trace",
  });

  connect(): { handler: LinkHandler; link: FakeLink } {
    const handler = this.hellos.connect();
    const link = new FakeLink(handler, "192.0.2.1");
    handler.open(link);
    return { handler, link };
  }
}

function refusedWith(link: FakeLink): unknown[] {
  assert.equal(link.got.length, 1);
  return [JSON.parse(link.got[0] as string).data.code, link.closed?.code];
}

test("a hello is the handshake that it stands for, and what follows goes on to who was admitted", () => {
  const house = new House();
  const { handler } = house.connect();
  assert.equal(house.hellos.size, 1);
  handler.text(HELLO);
  assert.equal(house.hellos.size, 0);
  const [{ header, ...asked }] = house.asked as [Handshake];
  assert.deepEqual(asked, {
    remoteAddress: "192.0.2.1",
    fault: null,
    tenant: "acme",
    sid: "s",
    ticket: { ticket: "t", way: "header" },
    cbor: true,
    resume: { kind: "no" },
  });
  assert.equal(header("origin"), null);
  handler.text("a");
  handler.binary(Uint8Array.of(1));
  handler.control(3);
  handler.onDrain();
  handler.onClose(1000, "");
  assert.deepEqual(house.admitted.heard, ["open", "a", [1], 3, "drain", "close 1000"]);
});

test("what is no hello is refused, and asks nobody", () => {
  const cases: [string | Uint8Array, unknown[]][] = [
    [Uint8Array.of(1, 1, 1, 1), ["AUTH_FAILED", 4500]],
    ['{"v":1,"svc":"chat","type":"send"}', ["AUTH_FAILED", 4500]],
    ["x".repeat(20_000), ["AUTH_FAILED", 4500]],
    ['{"v":1,"svc":"sys","type":"hello"}', ["BAD_REQUEST", 4505]],
    ['{"v":1,"svc":"sys","type":"hello","data":[]}', ["BAD_REQUEST", 4505]],
    ['{"v":1,"svc":"sys","type":"hello","data":{"tenant":1}}', ["BAD_REQUEST", 4505]],
    ['{"v":1,"svc":"sys","type":"hello","data":{"tenant":"a","cbor":1}}', ["BAD_REQUEST", 4505]],
    ["{", ["BAD_REQUEST", 4505]],
  ];
  for (const [message, expected] of cases) {
    const house = new House();
    const { handler, link } = house.connect();
    if (typeof message === "string") handler.text(message);
    else handler.binary(message);
    assert.deepEqual(refusedWith(link), expected, String(message).slice(0, 60));
    assert.equal(house.asked.length, 0);
    assert.equal(house.hellos.size, 0);
  }
});

test("messages that come while admission is asked are kept, in order, and not too many", async () => {
  for (const count of [16, 17]) {
    const house = new House();
    let answer!: (answer: HandshakeAnswer) => void;
    house.says = () => new Promise((resolve) => answer = resolve);
    const { handler, link } = house.connect();
    handler.text(HELLO);
    assert.equal(link.paused, true);
    for (let i = 0; i < count; i++) handler.text(`${i}`);
    answer({ accept: house.admitted, compression: null });
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (count === 16) {
      assert.equal(link.paused, false);
      assert.deepEqual(house.admitted.heard, ["open", ...Array.from({ length: 16 }, (_, i) => `${i}`)]);
    } else assert.deepEqual(refusedWith(link), ["RATE_LIMITED", 4005]);
  }
});

test("a refusal of admission becomes a sys.error and the close that fits", () => {
  for (
    const [status, code, close] of [
      [401, "AUTH_FAILED", 4500],
      [400, "BAD_REQUEST", 4505],
      [403, "SUSPENDED", 4509],
      [403, "NOT_ALLOWED", 4504],
      [429, "RATE_LIMITED", 4005],
      [503, "RESOURCE_EXHAUSTED", 4002],
      [503, "DRAINING", 1001],
    ] as const
  ) {
    const house = new House();
    house.says = () => ({ refuse: { status, code, msg: "no", reason: "test", retryAfterMs: 5 } });
    const { handler, link } = house.connect();
    handler.text(HELLO);
    assert.deepEqual(refusedWith(link), [code, close]);
    assert.equal(JSON.parse(link.got[0] as string).data.retry_after_ms, 5);
  }
});

test("a stranger in a crowd of strangers ends, the one that has waited longest", () => {
  const house = new House();
  const [first, second, third] = [house.connect(), house.connect(), house.connect()];
  assert.deepEqual(refusedWith(first.link), ["RESOURCE_EXHAUSTED", 4002]);
  assert.equal(second.link.closed, null);
  assert.equal(third.link.closed, null);
});

test("33 pings before the hello are a flood", () => {
  const house = new House();
  const { handler, link } = house.connect();
  for (let i = 0; i < 32; i++) handler.control(0);
  assert.equal(link.closed, null);
  handler.control(0);
  assert.deepEqual(refusedWith(link), ["RATE_LIMITED", 4005]);
});
