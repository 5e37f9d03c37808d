import { strict as assert } from "node:assert";
import { test } from "node:test";
import { LineSink } from "../../src/cli/line_sink.ts";

/** A stream that does as it is told, and a clock. */
class Stream {
  text = "";
  /** Null takes all; a number so many bytes a write; a text fails with this code. */
  mood: number | string | null = null;
  stalled: (() => void) | null = null;
  stalls = false;
  writes = 0;
  #tasks: (() => void)[] = [];

  readonly write = async (bytes: Uint8Array): Promise<number> => {
    this.writes++;
    if (this.stalls) await new Promise<void>((resolve) => this.stalled = resolve);
    if (typeof this.mood === "string") throw Object.assign(new Error(this.mood), { code: this.mood });
    const count = Math.min(this.mood ?? bytes.length, bytes.length);
    this.text += new TextDecoder().decode(bytes.subarray(0, count));
    return count;
  };

  readonly later = (_ms: number, task: () => void): void => void this.#tasks.push(task);

  async settle(): Promise<void> {
    for (let i = 0; i < 50; i++) await Promise.resolve();
  }

  /** Lets all pauses end. */
  async pass(): Promise<void> {
    for (const task of this.#tasks.splice(0)) task();
    await this.settle();
  }

  recover(): void {
    this.mood = null;
    this.stalls = false;
    this.stalled?.();
  }

  sink(): LineSink {
    const notice = (lines: number) => `${lines} dropped\n`;
    return new LineSink({ write: this.write, later: this.later, notice });
  }
}

test("Lines are written in order, several at a time", async () => {
  const stream = new Stream(), sink = stream.sink();
  for (let i = 0; i < 5; i++) sink.write(`line ${i}\n`);
  await stream.settle();
  assert.equal(stream.text, "line 0\nline 1\nline 2\nline 3\nline 4\n");
  assert.equal(stream.writes, 2);
  assert.equal(sink.dropped, 0);
});

test("Whoever has much to say can wait until it is written, and no longer than that takes", async () => {
  const stream = new Stream(), sink = stream.sink();
  await sink.written(1000);
  stream.stalls = true;
  sink.write("line\n");
  let written = false;
  void sink.written(1000).then(() => written = true);
  await stream.settle();
  assert.equal(written, false);
  stream.recover();
  await stream.settle();
  assert.deepEqual([written, stream.text], [true, "line\n"]);
  stream.stalls = true;
  sink.write("more\n");
  const waited = sink.written(1000);
  await stream.pass();
  await waited;
});

test("What a write leaves goes with the next one", async () => {
  const stream = new Stream(), sink = stream.sink();
  stream.mood = 3;
  sink.write("é line\n");
  await stream.settle();
  assert.equal(stream.text.length, "é line\n".length);
});

test("Of a stream that stalls, a bounded part waits; the rest is dropped, counted and told of in its place", async () => {
  const stream = new Stream(), sink = stream.sink();
  stream.stalls = true;
  const line = `${"x".repeat(99)}\n`;
  for (let i = 0; i < 10_000; i++) sink.write(line);
  assert.ok(sink.dropped > 7000, String(sink.dropped));
  // A short one would have room, but stand before the notice.
  sink.write("short\n");
  stream.recover();
  await stream.settle();
  sink.write("after\n");
  await stream.settle();
  const lines = stream.text.split("\n");
  assert.deepEqual(lines.slice(-3), [`${sink.dropped} dropped`, "after", ""]);
  assert.equal(lines.length - 3 + sink.dropped, 10_001);
});

test("An error ends nothing: lines are dropped and counted, the next attempt comes later and tells of them", async () => {
  for (const code of ["EPIPE", "ENOSPC", "EIO"]) {
    const stream = new Stream(), sink = stream.sink();
    stream.mood = code;
    sink.write("one\n");
    await stream.settle();
    sink.write("two\n");
    sink.write("three\n");
    await stream.settle();
    assert.deepEqual([stream.writes, sink.dropped], [1, 3], code);
    await stream.pass();
    assert.equal(stream.writes, 2, "it tries again");
    stream.recover();
    await stream.pass();
    sink.write("four\n");
    await stream.settle();
    assert.equal(stream.text, "3 dropped\nfour\n");
    assert.equal(sink.dropped, 3);
  }
});

test("A line that an error cut off is ended before the next one", async () => {
  const stream = new Stream(), sink = stream.sink();
  stream.mood = 4;
  const { write } = stream;
  const cut = {
    ...stream,
    write: (bytes: Uint8Array) => {
      const written = write(bytes);
      stream.mood = "ENOSPC";
      return written;
    },
  };
  const broken = new LineSink({ write: cut.write, later: stream.later, notice: (n) => `${n} dropped\n` });
  broken.write("a long line\n");
  await stream.settle();
  stream.mood = null;
  await stream.pass();
  assert.match(stream.text, /^a lo\n1 dr/);
  void sink;
});

test("A stream that is full for now is tried again soon, and nothing is lost", async () => {
  const stream = new Stream(), sink = stream.sink();
  stream.mood = "EAGAIN";
  sink.write("one\n");
  await stream.settle();
  sink.write("two\n");
  stream.recover();
  await stream.pass();
  assert.deepEqual([stream.text, sink.dropped], ["one\ntwo\n", 0]);
});

test("Its end waits for what is on its way, and for nobody for ever", async () => {
  const stream = new Stream(), sink = stream.sink();
  sink.write("one\n");
  await sink.close(1000);
  assert.equal(stream.text, "one\n");
  sink.write("too late\n");
  await stream.settle();
  assert.equal(stream.text, "one\n");

  const stuck = new Stream(), other = stuck.sink();
  stuck.stalls = true;
  other.write("one\n");
  let over = false;
  const closing = other.close(1000).then(() => over = true);
  await stuck.settle();
  assert.equal(over, false);
  await stuck.pass();
  await closing;
});
