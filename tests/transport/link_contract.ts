// What src/transport/port.ts promises of a link, whatever its wire looks like: each adapter is held to it through a client
// that speaks its wire. What only one kind of wire can do wrong stands in a suite of its own (contract.ts, tcp_test.ts).

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Link, LinkHandler } from "../../src/transport/port.ts";
import { within } from "../raw_client.ts";
import { strictly } from "../uncaught.ts";
import { wireFrame } from "./contract.ts";

/** The far end of a link. */
export interface FarEnd {
  /** Resolves when it is on its way. */
  say(message: string | Uint8Array): void | Promise<void>;
  /** The next message. */
  next(): Promise<string | Uint8Array>;
  /** Reads nothing from now on, and then reads again. */
  stall(): void;
  read(): void;
  /** Goes without a word. */
  leave(): void;
  /** Resolves at the end: the code that it was told, null for none. */
  readonly closed: Promise<number | null>;
}

/** A transport that serves. */
export interface Serving {
  /** A new connection, whose handler is this. */
  connect(handler: LinkHandler): Promise<FarEnd>;
  stop(): Promise<void>;
}

/** What a wire cannot do. */
export interface WireLimits {
  /** False: a pause is not felt (native Deno). */
  readonly pauses: boolean;
}

const STALL_BYTES = 64 * 1024 * 1024;

class Recorder implements LinkHandler {
  link!: Link;
  readonly heard: (string | readonly number[])[] = [];
  readonly closes: number[] = [];
  drains = 0;
  readonly closed: Promise<number>;
  #opened = 0;
  #closed!: (code: number) => void;
  #wakes: (() => void)[] = [];

  constructor() {
    this.closed = new Promise((resolve) => this.#closed = resolve);
  }

  open(link: Link): void {
    assert.equal(++this.#opened, 1, "opened twice");
    this.link = link;
    this.#wake();
  }
  text(message: string): void {
    this.#hear(message);
  }
  binary(message: Uint8Array): void {
    this.#hear([...message]);
  }
  pong(): void {}
  control(): void {}
  onDatagramsDrain(): void {}
  onDrain(): void {
    assert.equal(this.link.bufferedBytes(), 0, "drained while something waits");
    this.drains++;
    this.#wake();
  }
  onClose(code: number): void {
    this.closes.push(code);
    this.#closed(code);
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds()) await within(new Promise<void>((resolve) => this.#wakes.push(resolve)), what);
  }

  #hear(what: string | readonly number[]): void {
    assert.equal(this.#opened, 1, "heard before open");
    assert.deepEqual(this.closes, [], "heard after the close");
    this.heard.push(what);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakes.splice(0)) wake();
  }
}

interface Pair {
  readonly far: FarEnd;
  readonly link: Link;
  readonly near: Recorder;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Registers the suite for one transport. */
export function linkContract(
  name: string,
  start: () => Promise<Serving>,
  { pauses }: WireLimits = { pauses: true },
): void {
  function it(what: string, run: (pair: () => Promise<Pair>, serving: Serving) => Promise<void>): void {
    test(`${name}: ${what}`, () =>
      strictly(async () => {
        const serving = await start();
        const recorders: Recorder[] = [];
        try {
          await run(async () => {
            const near = new Recorder();
            recorders.push(near);
            const far = await serving.connect(near);
            await near.until(() => near.link !== undefined, "open");
            return { far, near, link: near.link };
          }, serving);
        } finally {
          await within(serving.stop(), "stop");
        }
        for (const { closed, closes } of recorders) {
          await within(closed, "the close of every link after stop");
          assert.equal(closes.length, 1, "closed twice");
        }
      }));
  }

  it("messages keep type, bytes and order, both ways", async (pair) => {
    const { far, near, link } = await pair();
    await far.say('{"é":"🎈"}');
    await far.say(Uint8Array.of(1, 1, 9, 0, 255));
    await far.say('{"v":2}');
    await near.until(() => near.heard.length === 3, "three messages");
    assert.deepEqual(near.heard, ['{"é":"🎈"}', [1, 1, 9, 0, 255], '{"v":2}']);
    link.write(["a ✓", "b"].map(wireFrame), 2);
    link.write([wireFrame(Uint8Array.of(1, 2, 3)), wireFrame("c")], 2);
    assert.equal(await far.next(), "a ✓");
    assert.equal(await far.next(), "b");
    assert.deepEqual([...await far.next() as Uint8Array], [1, 2, 3]);
    assert.equal(await far.next(), "c");
  });

  it("write sends the first count frames only, and nothing for a count of 0", async (pair) => {
    const { far, link } = await pair();
    const frames = ["a", "b", "c"].map(wireFrame);
    assert.equal(link.write(frames, 0), 0);
    link.write(frames, 2);
    link.write([wireFrame("end")], 1);
    assert.deepEqual([await far.next(), await far.next(), await far.next()], ["a", "b", "end"]);
  });

  it("one frame can be written to many links and many times", async (pair) => {
    const pairs = [await pair(), await pair()];
    const run = [wireFrame("shared ✓"), wireFrame(Uint8Array.of(7, 7)), wireFrame("more")];
    for (const { link } of [...pairs, ...pairs]) link.write(run, 3);
    for (const { far } of [...pairs, ...pairs]) {
      assert.equal(await far.next(), "shared ✓");
      assert.deepEqual([...await far.next() as Uint8Array], [7, 7]);
      assert.equal(await far.next(), "more");
    }
  });

  it("what waits behind a reader that stalls is told, and drain follows when it reads again; nothing is lost", async (pair) => {
    const { far, near, link } = await pair();
    far.stall();
    let written = 0, waiting = 0;
    while (waiting < 500_000) {
      assert.ok(written * 10_000 < STALL_BYTES, "no backpressure");
      link.write([wireFrame(`${written++} `.padEnd(10_000, "x"))], 1);
      if (written % 50 !== 0) continue;
      await turn(); // what waits for a moment only is gone then
      waiting = link.bufferedBytes();
    }
    assert.ok(link.bufferedBytes() > 0);
    const before = near.drains;
    far.read();
    for (let i = 0; i < written; i++) assert.equal(parseInt(await far.next() as string), i);
    await near.until(() => near.drains > before && link.bufferedBytes() === 0, "a drain");
    link.write([wireFrame("and on")], 1);
    assert.equal(await far.next(), "and on");
  });

  it("a close comes after what was written, and is told to both ends", async (pair) => {
    const { far, near, link } = await pair();
    link.write([wireFrame("last")], 1);
    link.close(4501, "kicked");
    link.close(4002, "again");
    assert.equal(link.write([wireFrame("too late")], 1), 0);
    assert.equal(await far.next(), "last");
    assert.equal(await within(far.closed, "the far end's close"), 4501);
    assert.equal(await within(near.closed, "the close"), 4501);
  });

  it("terminate drops it, and 1006 is told", async (pair) => {
    const { far, near, link } = await pair();
    const { near: other, link: otherLink, far: otherFar } = await pair();
    link.terminate();
    assert.equal(await within(near.closed, "the close"), 1006);
    await within(far.closed, "the far end's end");
    otherLink.write([wireFrame("others live on")], 1);
    assert.equal(await otherFar.next(), "others live on");
    assert.deepEqual(other.closes, []);
  });

  it("a far end that goes without a word is 1006", async (pair) => {
    const { far, near } = await pair();
    far.leave();
    assert.equal(await within(near.closed, "the close"), 1006);
  });

  it("every method after the end does nothing", async (pair) => {
    const { far, near, link } = await pair();
    far.leave();
    await within(near.closed, "the close");
    assert.equal(link.write([wireFrame("x")], 1), 0);
    assert.equal(link.bufferedBytes(), 0);
    link.ping();
    link.pause();
    link.resume();
    link.close(1000, "");
    link.terminate();
    link.resumable?.("token", 3);
  });

  it("nothing is heard while it is paused, and all of it in order afterwards", async (pair) => {
    if (!pauses) return;
    const { far, near, link } = await pair();
    const { far: other, near: beside } = await pair();
    link.pause();
    const said = (async () => {
      await far.say("a");
      await far.say("b");
    })();
    await other.say("others are heard");
    await beside.until(() => beside.heard.length === 1, "the other link");
    assert.deepEqual(near.heard, []);
    link.resume();
    await said;
    await near.until(() => near.heard.length === 2, "what was said meanwhile");
    assert.deepEqual(near.heard, ["a", "b"]);
  });

  it("stop ends each link with 1006", async (pair, serving) => {
    const pairs = [await pair(), await pair()];
    await within(serving.stop(), "stop");
    for (const { near, far } of pairs) {
      assert.equal(await within(near.closed, "the close"), 1006);
      await within(far.closed, "the far end's end");
    }
  });
}
