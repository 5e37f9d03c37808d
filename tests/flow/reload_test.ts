// A configuration that changes under a gateway that serves: nothing is lost, nothing is judged twice, and what is not good
// changes nothing.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { copyFileSync, mkdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SignJWT } from "jose";
import { RawClient } from "../raw_client.ts";
import { Client, hot, KINDS, type Message, target } from "./client.ts";
import { Folder, GatewayProcess, TARGET, until, wsprism } from "./gateway_process.ts";
import type { Metrics } from "./metrics_text.ts";

const RATES = { rate_limit_rps: 1_000_000, rate_limit_burst: 1_000_000 };
const ACK = 4;

/** A file with one tenant; `policy` and `more` are added to it. */
function file(policy: object = {}, more: object = {}, gateway: object = {}): object {
  return {
    gateway: { drain_grace_ms: 200, ...gateway },
    tenants: [{
      id: "acme",
      hot_services: [{ id: 2, kind: "relay" }],
      policy: { ...RATES, ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["2:*"], ...policy },
      ...more,
    }, { id: "other" }],
  };
}

/** Sends numbered messages, some on their way at any time, and takes note of what comes back. */
class Talker {
  readonly acked: number[] = [];
  readonly refused: number[] = [];
  readonly heard: number[] = [];
  /** Hot messages: acked by their number, or refused. */
  readonly hotAnswers: number[] = [];
  readonly client: Client;
  readonly #room: string;
  #sent = 0;

  constructor(client: Client, room: string) {
    this.client = client;
    this.#room = room;
  }

  async talk(isOver: () => boolean): Promise<number> {
    const inFlight = 20;
    while (!isOver() || this.#answered < this.#sent * 2) {
      while (!isOver() && this.#sent * 2 - this.#answered < inFlight) {
        const seq = ++this.#sent;
        this.client.send({
          svc: "chat",
          type: "send",
          room: this.#room,
          seq,
          flags: ACK,
          data: { msg: String(seq) },
        });
        this.client.binary(hot(2, 1, { seq, flags: 2, payload: [1] }));
      }
      this.#hear(await this.client.take("an answer"));
    }
    for (const message of await this.client.settled()) this.#hear(message);
    return this.#sent;
  }

  get #answered(): number {
    return this.acked.length + this.refused.length + this.hotAnswers.length;
  }

  #hear(message: Message | Uint8Array): void {
    if (message instanceof Uint8Array) {
      assert.equal(message[3], 3, "an ack");
      this.hotAnswers.push(new DataView(message.buffer, message.byteOffset).getUint32(4, true));
    } else if (message.type === "ack") this.acked.push(message.seq!);
    else if (message.type === "msg") this.heard.push(Number(message.data.msg));
    else {
      assert.equal(message.data.code, "NOT_ALLOWED", JSON.stringify(message));
      if (message.data.msg.includes("hot_allowlist")) this.hotAnswers.push(message.seq!);
      else this.refused.push(message.seq!);
    }
  }
}

test("under traffic, while allowlists and limits flip back and forth, each message is judged once, by one of both", async () => {
  await using gateway = await GatewayProcess.start(file());
  const talkers: Talker[] = [];
  for (let i = 0; i < 4; i++) {
    const client = await Client.open(gateway, { kind: KINDS[i % 2]!, cbor: i === 3 });
    await client.join(`room ${i}`);
    talkers.push(new Talker(client, `room ${i}`));
  }
  let over = false;
  const talks = Promise.all(talkers.map((talker) => talker.talk(() => over)));
  const files = [
    file({ ext_allowlist: ["room:*"], hot_allowlist: [] }, { limits: { max_frame_bytes: 2000 } }),
    file({}, { delivery: { lossy: { max_age_ms: 1000 } } }),
  ];
  try {
    for (let i = 0; i < 12; i++) {
      const before = talkers.map(({ acked, refused }) => (i % 2 === 0 ? refused : acked).length);
      assert.equal((await gateway.reload(files[i % 2]!))["outcome"], "applied");
      // Each of them is seen to be in force.
      await until(
        "all to notice",
        () =>
          talkers.every(({ acked, refused }, at) => (i % 2 === 0 ? refused : acked).length > before[at]! + 20)
            ? true
            : null,
        30_000,
      );
    }
  } finally {
    over = true;
  }
  const sent = await talks;
  talkers.forEach(({ acked, refused, heard, hotAnswers }, i) => {
    const all = Array.from({ length: sent[i]! }, (_, at) => at + 1);
    assert.deepEqual([...acked, ...refused].toSorted((a, b) => a - b), all, "each is answered once");
    assert.deepEqual(hotAnswers.toSorted((a, b) => a - b), all);
    assert.deepEqual(heard, acked, "what was taken went out, once and in order, and nothing else did");
    assert.ok(acked.length > 100 && refused.length > 100);
  });
  const metrics = await gateway.metrics();
  const decisions = (labels: Record<string, string>) =>
    metrics.sum("wsprism_policy_decisions_total", { tenant: "acme", lane: "ext", ...labels });
  const acked = talkers.reduce((sum, talker) => sum + talker.acked.length, 0);
  const refused = talkers.reduce((sum, talker) => sum + talker.refused.length, 0);
  // Besides: two joins or pings each, which are no chat.
  assert.equal(decisions({ decision: "reject" }), refused);
  assert.equal(decisions({ decision: "pass" }), acked + talkers.length * 3);
  assert.equal(metrics.sum("wsprism_config_reloads_total", { outcome: "applied" }), 12);
  for (const { client } of talkers) await client.close();
  await gateway.empty();
  await gateway.stop();
});

test("a larger message is taken by sessions that are open, once the tenant may send it", async () => {
  const limited = (bytes: number) => file({}, { limits: { max_frame_bytes: bytes } });
  await using gateway = await GatewayProcess.start(limited(4096));
  const client = await Client.open(gateway);
  await client.join("large");
  const say = (bytes: number) =>
    client.send({ svc: "chat", type: "send", room: "large", data: { msg: "x".repeat(bytes) } });
  await gateway.reload(limited(300_000));
  say(200_000);
  assert.equal((await client.next("chat.msg")).data.msg.length, 200_000);
  await gateway.reload(limited(100_000));
  say(99_000);
  assert.equal((await client.next("chat.msg")).data.msg.length, 99_000);
  say(101_000);
  // From the gateway where the transport lets it through, else from the transport.
  assert.ok([1009, 4508].includes((await client.closed).code));
  await gateway.stop();
});

test("a file that is not good changes nothing and says why, all at once; the next good one counts", async () => {
  await using gateway = await GatewayProcess.start(file(), { mayComplain: true });
  const client = await Client.open(gateway);
  await client.join("stay");
  const refusals: [string, RegExp][] = [
    [
      "version: 1\ntenants: [{ id: acme, limits: { max_frame_bytes: lots } }]\nnonsense: 1\n",
      /lots.*line 2.*nonsense.*line 3/,
    ],
    ["version: 1\ntenants: [{ id: acme\n", /line/],
    ["", /map of keys/],
    [
      "version: 1\ntenants: [{ id: acme, auth: { mode: jwt, jwt: { algorithms: [ES256], keys: [{ public_key_file: gone.pem }] } } }]\n",
      /gone\.pem|no such file/i,
    ],
    [`version: 1\n${"#".repeat(2 ** 20)}`, /at most 1048576 bytes/],
  ];
  for (const [text, why] of refusals) {
    const line = await gateway.reload(text);
    assert.equal(line.level, "ERROR");
    assert.match(JSON.stringify(line["failures"]), why);
  }
  unlinkSync(join(gateway.folder, "wsprism.yaml"));
  const from = gateway.lines.length;
  gateway.signal("SIGHUP");
  assert.match(JSON.stringify(await gateway.reloaded(from)), /no such file/);
  client.send({ svc: "chat", type: "send", room: "stay", data: { msg: "here" } });
  assert.equal((await client.next("chat.msg")).data.msg, "here");
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum("wsprism_config_reloads_total", { outcome: "refused" }), refusals.length + 1);
  assert.equal((await gateway.reload(file({ ext_allowlist: [] })))["outcome"], "applied");
  client.send({ svc: "chat", type: "send", room: "stay", data: { msg: "here" } });
  await client.nextError("NOT_ALLOWED");
  await gateway.stop();
});

test("tenants come, go, are suspended and are served again, and no other tenant notices", async () => {
  const tenants = (...list: object[]) => ({ gateway: { drain_grace_ms: 300 }, tenants: list });
  const [acme, other] = [{ id: "acme" }, { id: "other" }];
  await using gateway = await GatewayProcess.start(tenants(acme, other));
  const ann = await Client.open(gateway, { tenant: "other" });
  const status = async (tenant: string) => {
    const raw = await RawClient.connect(gateway.port);
    const head = await raw.upgrade(target({ tenant }));
    const body = head.status === 101 ? "" : await raw.body(head);
    raw.destroy();
    return [head.status, body === "" ? "" : JSON.parse(body).code];
  };
  const leaves = async (line: Promise<unknown>, message: RegExp) => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => Client.open(gateway)));
    await line;
    for (const client of clients) {
      const error = await client.nextError("SUSPENDED");
      assert.match(error.data.msg, message);
      await client.ended(4509, "tenant is suspended");
    }
  };
  const wait = async <T>(task: () => Promise<T>) => {
    await until(
      "six sessions",
      async () => (await gateway.metrics()).sum("wsprism_ws_sessions_active") === 7 ? true : null,
    );
    return await task();
  };
  await leaves(wait(() => gateway.reload(tenants({ ...acme, suspended: true }, other))), /suspended/);
  assert.deepEqual(await status("acme"), [403, "SUSPENDED"]);
  await gateway.reload(tenants(acme, other));
  await leaves(wait(() => gateway.reload(tenants(other, { id: "fresh" }))), /not served/);
  assert.deepEqual(await status("acme"), [400, "BAD_REQUEST"]);
  assert.deepEqual(await status("fresh"), [101, ""]);
  await until("its numbers to go", async () => {
    return (await gateway.get("/metrics")).body.includes('tenant="acme"') ? null : true;
  });
  await ann.hearsNothing();
  await gateway.stop();
});

test("a storm of signals is answered, and what holds in the end is what the file says in the end", async () => {
  await using gateway = await GatewayProcess.start(file());
  const client = await Client.open(gateway);
  await client.join("storm");
  for (let i = 0; i < 200; i++) {
    if (i % 20 === 0) {
      gateway.rewrite(file({ ext_allowlist: i % 40 === 0 ? ["room:*"] : ["room:*", "chat:*"] }));
    }
    gateway.signal("SIGHUP");
    if (i % 10 === 0) await client.settled();
  }
  const last = await gateway.reload(file({ ext_allowlist: ["room:join"] }));
  assert.notEqual(last.level, "ERROR");
  await until("the last one", async () => {
    client.send({ svc: "room", type: "leave", room: "nowhere" });
    const answer = await client.take("an answer") as Message;
    return answer.type === "error" ? true : null;
  });
  const count = (metrics: Metrics) => metrics.sum("wsprism_config_reloads_total");
  const metrics = await gateway.metricsUntil("one more, for those who asked meanwhile", (m) => count(m) > 1);
  assert.ok(count(metrics) < 200, String(count(metrics)));
  await gateway.stop();
});

test("a drain wins over a reload, and a signal to reload does not end a gateway that drains", async () => {
  await using gateway = await GatewayProcess.start(file({}, {}, { drain_grace_ms: 1000 }));
  const client = await Client.open(gateway);
  gateway.signal("SIGTERM");
  await client.next("sys.draining");
  const line = await gateway.reload(file({ ext_allowlist: [] }));
  assert.equal(line["reason"], "the gateway drains");
  await client.ended(1001);
  assert.equal(await gateway.exited, 0);
});

test("with --watch a change is seen however it comes: replaced, written in place, or behind a link", async () => {
  await using gateway = await GatewayProcess.start(file(), { args: ["--watch"], mayComplain: true });
  const path = join(gateway.folder, "wsprism.yaml");
  const text = (allow: string[]) => {
    const config = { version: 1, ...file({ ext_allowlist: allow }, {}, { listen: "127.0.0.1:0" }) };
    return JSON.stringify(config);
  };
  let from = gateway.lines.length;
  const seen = async (change: () => void, key: string) => {
    from = gateway.lines.length;
    change();
    const line = await gateway.reloaded(from, 10_000);
    assert.match(JSON.stringify(line), new RegExp(key));
    assert.equal(line["cause"], "watch");
  };
  await seen(() => gateway.rewrite(text(["room:one"])), "room:one");
  await seen(() => writeFileSync(path, text(["room:two"])), "room:two");
  await seen(() => writeFileSync(path, "nonsense"), "refused");
  // As Kubernetes mounts it: a link to a link to a folder, which is turned.
  mkdirSync(join(gateway.folder, "one"));
  mkdirSync(join(gateway.folder, "two"));
  writeFileSync(join(gateway.folder, "one", "wsprism.yaml"), text(["room:three"]));
  writeFileSync(join(gateway.folder, "two", "wsprism.yaml"), text(["room:four"]));
  const turn = (to: string) => {
    symlinkSync(to, join(gateway.folder, "data.next"));
    renameSync(join(gateway.folder, "data.next"), join(gateway.folder, "data"));
  };
  await seen(() => {
    turn("one");
    symlinkSync(join("data", "wsprism.yaml"), join(gateway.folder, "link"));
    renameSync(join(gateway.folder, "link"), path);
  }, "room:three");
  await seen(() => turn("two"), "room:four");
  await gateway.stop();
});

test("with --watch a key file that is replaced counts for who comes next, and living sessions keep their right", async () => {
  const pair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [one, two] = [pair(), pair()];
  const pem = (key: typeof one) => key.publicKey.export({ type: "spki", format: "pem" }) as string;
  const ticket = (key: typeof one) =>
    new SignJWT({}).setProtectedHeader({ alg: "ES256" }).setSubject("ann").setExpirationTime("1h").sign(
      key.privateKey,
    );
  const auth = {
    mode: "jwt",
    failure_delay_ms: 0,
    jwt: { algorithms: ["ES256"], keys: [{ public_key_file: "key.pem" }] },
  };
  await using gateway = await GatewayProcess.start(file({}, { auth }), {
    args: ["--watch"],
    files: { "key.pem": pem(one) },
  });
  const old = await Client.open(gateway, { ticket: await ticket(one) });
  const from = gateway.lines.length;
  writeFileSync(join(gateway.folder, "next.pem"), pem(two));
  copyFileSync(join(gateway.folder, "next.pem"), join(gateway.folder, "key.pem"));
  const line = await gateway.reloaded(from, 10_000);
  assert.deepEqual([line["outcome"], line["changes"]], ["applied", [
    "acme auth.jwt.keys[0].public_key: changed, not shown",
  ]]);
  await Client.open(gateway, { ticket: await ticket(two) });
  const raw = await RawClient.connect(gateway.port);
  assert.equal((await raw.upgrade(target({ ticket: await ticket(one) }))).status, 401);
  raw.destroy();
  await old.hearsNothing();
  assert.ok(!gateway.logText.includes("BEGIN PUBLIC"));
  await gateway.stop();
});

test("wsprism check --diff knows what only Deno's own server cannot change", async () => {
  using folder = new Folder();
  const text = (idleMs: number) =>
    `version: 1\ngateway: { transport: native, idle_timeout_ms: ${idleMs} }\ntenants: [{ id: acme }]\n`;
  const [old, next] = [folder.write("old.yaml", text(60_000)), folder.write("new.yaml", text(70_000))];
  const { stdout } = await wsprism(["check", "--dev", "--diff", old, next], { folder: folder.path });
  const restart = TARGET.startsWith("deno") ? " (needs a restart)" : "";
  assert.equal(stdout, `the gateway\n  gateway.idle_timeout_ms: 60000 → 70000${restart}\n`);
});

test("wsprism check --diff tells what a reload would change, and no secret", async () => {
  using folder = new Folder();
  const text = (tickets: string, more = "") =>
    `version: 1\n${more}tenants:\n  - id: acme\n    auth: { mode: static, static: { tickets: [${tickets}] } }\n`;
  const old = folder.write("old.yaml", text('{ ticket: "hush-hush-hush-one", user: ann }'));
  const next = folder.write(
    "new.yaml",
    text('{ ticket: "hush-hush-hush-two", user: ann }', "gateway: { listen: ':81', drain_grace_ms: 5 }\n") +
      "  - id: fresh\n    suspended: true\n    auth: { mode: static, static: { tickets: [{ ticket: hush-hush-hush-three, user: bo }] } }\n",
  );
  const run = (...args: string[]) => wsprism(["check", "--diff", ...args], { folder: folder.path });
  assert.deepEqual(await run(old, next), {
    code: 0,
    stdout: "the gateway\n" +
      '  gateway.listen: "0.0.0.0:8080" → ":81" (needs a restart)\n' +
      "  gateway.drain_grace_ms: 2000 → 5\n" +
      "tenant acme\n" +
      "  auth.static.tickets[0].ticket: changed, not shown\n" +
      "tenant fresh: added\n",
    stderr: "",
  });
  assert.equal(
    (await run(next, old)).stdout.split("\n").at(-2),
    "tenant fresh: removed, its sessions end (4509)",
  );
  assert.deepEqual(await run(old, old), { code: 0, stdout: "A reload would change nothing.\n", stderr: "" });
  const bad = folder.write("bad.yaml", "version: 2\n");
  assert.equal((await run(old, bad)).code, 3);
  assert.match((await run(old)).stderr, /--diff takes two files/);
  assert.equal((await run(old)).code, 2);
});
