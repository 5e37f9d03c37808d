// The example files do what docs/policy.md says they do.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readConfig } from "../../src/config/load.ts";
import { alone, TenantPolicy } from "../../src/policy/policy.ts";
import { type Said, say, Speaking } from "./policies.ts";

const SECRET = "0123456789-abcdefghijklmnopqrstuv";

/** The policy of a tenant of an example. */
async function policyOf(example: string, tenant: string): Promise<TenantPolicy> {
  const file = fileURLToPath(new URL(`../../config/examples/${example}.yaml`, import.meta.url));
  const env = { WSPRISM_GAME_SECRET: SECRET, WSPRISM_CHAT_SECRET: SECRET };
  const result = await readConfig(file, { env, dev: false });
  assert.ok(result.ok, JSON.stringify(result));
  return new TenantPolicy(alone(result.config.tenants.find(({ id }) => id === tenant)!));
}

/** What becomes of each message: "pass", or the rule and what it does. */
function story(policy: TenantPolicy, from: Speaking, said: Said, times: readonly number[]): string[] {
  return times.map((now) => {
    const denial = say(policy, from, said, now);
    return denial === null ? "pass" : `${denial.ruleId} ${denial.action}`;
  });
}

const shot = { hot: "1:1", bytes: 12, room: "match:7" };

test("game: shots too fast are dropped, then muted, and who goes on is kept out", async () => {
  const policy = await policyOf("game", "arena"), player = new Speaking("ann");
  const burst = new Array<number>(17).fill(0);
  assert.deepEqual(story(policy, player, shot, burst).slice(14), [
    "pass",
    "shot-rate drop",
    "shot-rate mute",
  ]);
  // Muted for a second, and the gun is cold again: so goes a stall of the network.
  assert.deepEqual(story(policy, player, shot, [500, 1500]), ["shot-rate mute", "pass"]);
  const bot = new Speaking("bot");
  const seen = new Set<string>();
  for (let now = 10_000; now < 40_000; now += 10) seen.add(story(policy, bot, shot, [now])[0]!);
  assert.ok(seen.has("shot-rate ban"), [...seen].join());
});

test("game: a position of another size ends the session, and the lobby has its pace", async () => {
  const policy = await policyOf("game", "arena"), player = new Speaking("ann");
  const position = (bytes: number) => ({ hot: "2:10", bytes, room: "match:7" });
  assert.deepEqual(story(policy, player, position(36), [0]), ["pass"]);
  assert.deepEqual(story(policy, player, position(37), [0]), ["position-size close"]);
  const lobby = { ext: "chat:send", room: "lobby" };
  assert.deepEqual(story(policy, player, lobby, [0]), ["chat-pace reject"], "no member");
  const crowd = Array.from({ length: 30 }, (_, i) => new Speaking(`player ${i}`));
  for (const one of crowd) one.rooms.add("lobby");
  const verdicts = crowd.map((one) => story(policy, one, lobby, [0])[0]);
  assert.equal(verdicts.filter((verdict) => verdict === "pass").length, 20);
  assert.deepEqual(new Set(verdicts.slice(20)), new Set(["lobby-pace reject"]));
});

test("chat: messages have their shape, and who floods waits longer each time", async () => {
  const policy = await policyOf("chat-saas", "free-demo"), ann = new Speaking("ann");
  const message = (data: unknown) => ({ ext: "chat:send", room: "team", data });
  const good = message({ msg: "hello" });
  assert.deepEqual(story(policy, ann, good, [0]), ["pass"]);
  const bads = [{ msg: "" }, { msg: "  " }, { msg: "x".repeat(1001) }, { msg: "x", html: "<b>" }];
  for (const [i, bad] of bads.entries()) {
    assert.deepEqual(story(policy, new Speaking(`bob ${i}`), message(bad), [0]), ["message-shape reject"]);
  }
  assert.deepEqual(story(policy, ann, good, [0, 0, 0, 0, 0, 0, 0, 0]).slice(4), [
    "pass",
    "chat-flood reject",
    "chat-flood reject",
    "chat-flood mute",
  ]);
  assert.deepEqual(story(policy, ann, good, [4999, 5000]), ["chat-flood mute", "pass"]);
});

test("chat: announcements are the staff's, and the rule being tried denies nothing", async () => {
  const policy = await policyOf("chat-saas", "northwind");
  const announce = { ext: "chat:send", room: "announce:all", data: { msg: "hello" } };
  assert.deepEqual(story(policy, new Speaking("ann"), announce, [0]), ["announcements reject"]);
  assert.deepEqual(story(policy, new Speaking("sam", { role: "staff" }), announce, [0]), ["pass"]);
  const crowd = Array.from({ length: 100 }, (_, i) => new Speaking(`user ${i}`));
  const team = { ...announce, room: "team" };
  assert.ok(crowd.every((one) => story(policy, one, team, [0])[0] === "pass"));
});

test("trading: prices come from the feed, fills from execution, and nobody joins a restricted board unasked", async () => {
  const policy = await policyOf("trading-dashboard", "equities");
  const quote = { hot: "10:3", bytes: 20, room: "board:tech" },
    fill = { hot: "11:1", bytes: 64, room: "board:tech" };
  assert.deepEqual(story(policy, new Speaking("feed", { role: "feed" }), quote, [0]), ["pass"]);
  assert.deepEqual(story(policy, new Speaking("screen"), quote, [0, 1]), ["quotes reject", "quotes close"]);
  assert.deepEqual(story(policy, new Speaking("feed", { role: "feed" }), fill, [0]), ["fills close"]);
  assert.deepEqual(story(policy, new Speaking("exec", { role: "execution" }), fill, [0]), ["pass"]);
  const join = { ext: "room:join", room: "restricted:blocks" };
  assert.deepEqual(story(policy, new Speaking("ann", { clearance: "restricted" }), join, [0]), ["pass"]);
  assert.deepEqual(story(policy, new Speaking("bob"), join, [0, 1, 2]), [
    "restricted-boards reject",
    "restricted-boards reject",
    "restricted-boards ban",
  ]);
});

test("trading: a note begins with its instrument", async () => {
  const policy = await policyOf("trading-dashboard", "equities"), ann = new Speaking("ann");
  ann.rooms.add("board:tech");
  const note = (msg: string) => ({ ext: "notes:send", room: "board:tech", data: { msg } });
  assert.deepEqual(story(policy, ann, note("AAPL: halted, news pending"), [0, 0, 0, 0]).slice(2), [
    "pass",
    "note-pace reject",
  ]);
  assert.deepEqual(story(policy, ann, note("halted"), [5000]), ["note-shape reject"]);
});
