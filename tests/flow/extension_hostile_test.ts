// Hostile scripts through a whole gateway: they are ended, others are not held up, and the tenant's next script runs. One of
// each kind here; all of them in tests/soak.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Answer, type Attack, attacks, Siege } from "./siege.ts";
import { lastly } from "./gateway_process.ts";

const all = attacks();
const siege = await Siege.begin();
after(() => siege.gateway.kill());

function attack(file: string): Attack {
  const found = all.find((one) => one.file === file);
  assert.ok(found, `the corpus has no ${file}`);
  return found;
}

async function set(file: string): Promise<Answer | null> {
  const answer = await siege.attack(attack(file));
  await siege.calm();
  return answer;
}

for (const file of ["spin_loop.js", "spin_microtasks.js", "spin_regexp.js", "spin_in_start.js"]) {
  test(`${file} is ended, and its caller told`, async () => {
    assert.deepEqual(await set(file), { code: "UNAVAILABLE" });
  });
}

for (const file of ["memory_array.js", "memory_array_buffer.js", "memory_strings.js"]) {
  test(`${file} is ended before it has much`, async () => {
    assert.deepEqual(await set(file), { code: "UNAVAILABLE" });
  });
}

test("What is refused at load changes nothing", async () => {
  assert.equal(await set("import_defer.js"), null);
  assert.equal(await set("import_parent.js"), null);
});

test("Replies that are no JSON are INTERNAL, and one of 100 MB is that or the host's end", async () => {
  for (const file of ["cyclic.js", "bigint_reply.js"]) {
    assert.deepEqual(await set(file), { code: "INTERNAL" }, file);
  }
  const answer = await set("big_reply.js");
  assert.ok(answer !== null && "code" in answer, JSON.stringify(answer));
});

test("A million publishes, log lines and timers cost others nothing that they notice", async () => {
  for (const file of ["flood_publish.js", "flood_log.js", "flood_timers.js"]) {
    const answer = await set(file);
    assert.ok(answer !== null, file);
  }
});

test("kv takes no more than kv_max_bytes", async () => {
  const answer = await set("flood_kv.js");
  assert.ok(answer !== null && "reply" in answer && typeof answer.reply === "number", JSON.stringify(answer));
  assert.ok(answer.reply > 100 && answer.reply <= 1048, String(answer.reply));
});

test("Places that are not listed are fetched by no spelling", async () => {
  const answer = await set("fetch_places.js");
  assert.ok(answer !== null && "reply" in answer, JSON.stringify(answer));
  assert.deepEqual((answer.reply as { got?: unknown }).got, []);
});

test("The chat of the other tenant has lost nothing", async () => {
  assert.ok(siege.chatMs().length > 20);
  await siege.end();
});

lastly(siege.gateway);
