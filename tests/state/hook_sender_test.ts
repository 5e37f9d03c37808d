// How a webhook's events are brought to a real HTTP server that takes them, or does not. Waits end when the test says so.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { HookQueue } from "../../src/state/hook_queue.ts";
import { HookSender, type SenderSpec } from "../../src/state/hook_sender.ts";
import { Inflow } from "../../src/outbound/inflow.ts";
import { StateDb } from "../../src/state/state_db.ts";
import { isSigned } from "../../src/outbound/signing.ts";
import { elsewhere } from "../session/house.ts";

const KEY = { id: "k1", secret: "a-secret-of-the-backend-and-of-nobody-else" };

interface Wait {
  readonly ms: number;
  readonly task: () => void;
}

/** What a batch was: the ids of its events. */
type Judge = (ids: readonly string[], times: number) => number | { status: number; retryAfter: string };

class Place {
  readonly queue: HookQueue;
  readonly batches: string[][] = [];
  readonly waits: Wait[] = [];
  readonly warned: string[] = [];
  readonly sender: HookSender;
  readonly run: Promise<void>;
  nowMs = 1_000_000;
  random = 0;

  constructor(url: string, spec: Partial<SenderSpec>) {
    const db = new StateDb(null);
    db.run("INSERT INTO hooks (id, tenant, name, last_seq) VALUES (1, 'acme', 'audit', 0)");
    const limits = { maxBytes: 1_000_000, maxAgeMs: 1_000_000_000, maxDeadLetters: 100 };
    this.queue = new HookQueue(db, {
      id: 1,
      tenant: "acme",
      time: () => this.nowMs,
      admits: () => true,
      kept: () => {},
    }, limits);
    this.sender = new HookSender({
      share: new Inflow(() => performance.now()).share(),
      spec: {
        tenant: "acme",
        id: "audit",
        url,
        keys: [KEY],
        headers: { "x-key": "k" },
        maxEvents: 8,
        maxWaitMs: 50,
        timeoutMs: 5000,
        ...spec,
      },
      queue: this.queue,
      unixMs: () => this.nowMs,
      random: () => this.random,
      after: (ms, task) => {
        const wait = { ms, task };
        this.waits.push(wait);
        return () => void (this.waits.includes(wait) && this.waits.splice(this.waits.indexOf(wait), 1));
      },
      changed: () => {},
      broken: (cause) => assert.fail(String(cause)),
      warn: (message) => void this.warned.push(message),
    });
    this.run = this.sender.run();
  }

  add(...ids: readonly string[]): void {
    for (const id of ids) this.queue.append(JSON.stringify({ id }), this.nowMs);
    this.sender.notice();
  }

  /** Waits until it waits for a time, and lets that pass. @returns how long it was */
  async pass(): Promise<number> {
    await elsewhere(() => this.waits.length > 0);
    assert.equal(this.waits.length, 1);
    const { ms, task } = this.waits[0]!;
    this.nowMs += ms;
    task();
    return ms;
  }

  async until(done: () => boolean): Promise<void> {
    await elsewhere(done);
  }
}

async function place(
  judge: Judge,
  use: (place: Place) => Promise<void>,
  spec: Partial<SenderSpec> = {},
): Promise<void> {
  const seen = new Map<string, number>();
  let here: Place | null = null;
  const server = createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const signed = String(request.headers["wsprism-signature"]);
      assert.ok(isSigned(body, signed, { keys: [KEY], unixMs: here!.nowMs, toleranceMs: 1000 }));
      assert.equal(request.headers["x-key"], "k");
      const events = (JSON.parse(body) as { events: { id: string; seq: number }[] }).events;
      const ids = events.map(({ id }) => id.startsWith("gap") ? "gap" : id);
      here!.batches.push(ids);
      const times = (seen.get(ids.join()) ?? 0) + 1;
      seen.set(ids.join(), times);
      const answer = judge(ids, times);
      if (typeof answer === "number") response.writeHead(answer).end();
      else response.writeHead(answer.status, { "retry-after": answer.retryAfter }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  here = new Place(`http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, spec);
  try {
    await use(here);
  } finally {
    here.sender.stop();
    await here.run;
    server.closeAllConnections();
    server.close();
  }
}

const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

test("A batch waits for others until it is full or its first event has waited long enough", async () => {
  await place(() => 200, async (here) => {
    here.add("a");
    await here.until(() => here.waits.length === 1);
    here.nowMs += 20;
    here.add("b");
    assert.equal(await here.pass(), 50);
    await here.until(() => here.queue.stats.events === 0);
    assert.deepEqual(here.batches, [["a", "b"]]);
    here.add("c");
    await here.until(() => here.waits.length === 1);
    here.add("d", "e", "f", "g", "h", "i", "j", "k");
    await here.until(() => here.batches.length === 2);
    assert.deepEqual(here.batches[1], ["c", "d", "e", "f", "g", "h", "i", "j"]);
    await here.pass();
    await here.until(() => here.queue.stats.events === 0);
    assert.deepEqual(here.batches[2], ["k"]);
    assert.deepEqual(here.sender.stats, { delivered: 11, batches: { ok: 3, refused: 0, failed: 0 } });
  });
});

test("A batch that fails is sent again after a time that doubles up to a minute, with chance added", async () => {
  await place((_, times) => times <= 10 ? 503 : 204, async (here) => {
    here.add("a");
    const waits: number[] = [];
    for (let i = 0; i < 10; i++) waits.push(await here.pass());
    assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    await here.until(() => here.queue.stats.events === 0);
    assert.deepEqual(here.batches, Array(11).fill(["a"]));
    assert.deepEqual(here.warned, Array(10).fill("webhook failed"));
    here.random = 0.9;
    here.add("b");
    assert.equal(await here.pass(), 725, "as at first, since one has been taken");
    await here.until(() => here.batches.length === 13);
    here.random = 0;
  }, { maxWaitMs: 0 });
});

test("Retry-After is waited for, in seconds or as a date, within an hour", async () => {
  const answers = ["7", "Thu, 01 Jan 1970 01:00:00 GMT", "999999", "soon", "-5"];
  await place(
    (_, times) => times <= answers.length ? { status: 429, retryAfter: answers[times - 1]! } : 200,
    async (here) => {
      here.add("a");
      const at = here.nowMs;
      assert.equal(await here.pass(), 7000);
      assert.equal(await here.pass(), 3_600_000 - at - 7000);
      assert.equal(await here.pass(), 3_600_000);
      assert.equal(await here.pass(), 4000, "what cannot be read is not heeded");
      assert.equal(await here.pass(), 8000);
      await here.until(() => here.queue.stats.events === 0);
    },
    { maxWaitMs: 0 },
  );
});

test("A batch that is refused is halved until the event is found that is not taken; a gap goes in its place", async () => {
  await place((ids) => ids.includes("f") ? 422 : 200, async (here) => {
    here.add(...NAMES.slice(0, 8));
    await here.until(() => here.queue.stats.events === 0);
    assert.deepEqual(here.batches, [
      ["a", "b", "c", "d", "e", "f", "g", "h"],
      ["a", "b", "c", "d"],
      ["e", "f"],
      ["e"],
      ["f"],
      ["gap", "g", "h"],
    ]);
    assert.deepEqual(
      here.queue.deadLetters(0, { letters: 9, bytes: 9999 }).letters.map(({ seq, reason }) => [seq, reason]),
      [[
        6,
        "status 422",
      ]],
    );
    assert.deepEqual(here.warned, ["webhook event is set aside"]);
    assert.equal(here.queue.retry(null, here.nowMs), 1);
    here.sender.notice();
    await here.until(() => here.queue.stats.deadLetters === 1);
    await here.until(() => here.queue.stats.events === 0);
    assert.deepEqual(here.batches.slice(6), [["f"], ["gap"]], "tried again, and missing again");
  }, { maxWaitMs: 0 });
});

test("A backend that crashes on one event, again and again, does not keep the others from going on", async () => {
  await place((ids) => ids.includes("b") ? 500 : 200, async (here) => {
    here.add("a", "b", "c");
    for (let i = 0; i < 2; i++) await here.pass();
    // The third time it is halved: "a" and "b" fail three times, "a" goes, "b" has six tries.
    for (let i = 0; i < 2; i++) await here.pass();
    for (let i = 0; i < 6; i++) await here.pass();
    await here.until(() => here.queue.stats.deadLetters === 1);
    await here.until(() => here.queue.stats.events === 0);
    const times = (ids: string) => here.batches.filter((batch) => batch.join() === ids).length;
    assert.deepEqual(["a,b,c", "a,b", "a", "b", "gap,c"].map(times), [3, 3, 1, 6, 1]);
  }, { maxWaitMs: 0 });
});

test("A backend that refuses everything is asked ever less often", async () => {
  await place(() => 400, async (here) => {
    here.add("a", "b", "c", "d");
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) waits.push(await here.pass());
    assert.deepEqual(waits, [1000, 2000, 4000, 8000]);
    await here.until(() => here.queue.stats.deadLetters >= 2);
  }, { maxWaitMs: 0 });
});

test("Once stopped it sends nothing more, and what was on its way is still taken out of the queue", async () => {
  await place(() => 200, async (here) => {
    here.add("a");
    await here.until(() => here.batches.length === 1);
    here.sender.stop();
    await here.run;
    assert.equal(here.queue.stats.events, 0);
    here.add("b");
    assert.equal(here.queue.stats.events, 1);
    assert.equal(here.batches.length, 1);
  }, { maxWaitMs: 0 });
});
