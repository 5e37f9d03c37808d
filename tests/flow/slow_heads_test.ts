// Connections before a session exists: that say nothing, say it slowly or say too much. They are ended by their
// deadline and its bounds, and meanwhile nobody else notices.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient, within } from "../raw_client.ts";
import { Client, target } from "./client.ts";
import { GatewayProcess, NATIVE_DENO, RAW, TARGET } from "./gateway_process.ts";

const COUNT = 300;
/** Bun's server has a deadline of its own, see docs/operations.md. */
const HEADER_TIMEOUT_MS = TARGET.startsWith("deno") ? 2_000 : 12_000;

function start(gateway: object = {}): Promise<GatewayProcess> {
  return GatewayProcess.start({
    gateway: { header_timeout_ms: HEADER_TIMEOUT_MS, drain_grace_ms: 0, ...gateway },
    tenants: [{ id: "acme" }],
  });
}

const crowds: readonly [what: string, drip: (client: RawClient, i: number) => void][] = [
  ["say nothing", () => {}],
  ["send a byte of a head now and then", (client) => client.send("a")],
];
for (const [what, drip] of crowds) {
  test(`${COUNT} connections that ${what} are ended in time, and hinder nobody`, async () => {
    await using gateway = await start();
    const crowd = await Promise.all(Array.from({ length: COUNT }, () => RawClient.connect(gateway.port)));
    const since = performance.now();
    if (what !== "say nothing") {
      for (const client of crowd) client.send(`GET ${target()} HTTP/1.1\r\nx: `);
    }
    const dripping = setInterval(
      () => crowd.forEach((client, i) => client.socket.writable && drip(client, i)),
      300,
    );
    const everyoneGone = Promise.all(crowd.map(({ gone }) => gone)).then(() => performance.now() - since);
    let slowest = 0;
    let over = NATIVE_DENO;
    const ends = NATIVE_DENO ? Promise.resolve(HEADER_TIMEOUT_MS) : everyoneGone.finally(() => over = true);
    do {
      const before = performance.now();
      const client = await Client.open(gateway);
      await client.hearsNothing();
      await client.close();
      slowest = Math.max(slowest, performance.now() - before);
      await new Promise((resolve) => setTimeout(resolve, 50));
    } while (!over && performance.now() - since < 20_000);
    const tookMs = await within(ends, "the end of the crowd");
    clearInterval(dripping);
    assert.ok(slowest < 1_500, `a client needed ${slowest} ms`);
    assert.ok(
      tookMs > HEADER_TIMEOUT_MS - 1_000 && tookMs < HEADER_TIMEOUT_MS + 3_000,
      `ended after ${tookMs} ms`,
    );
    for (const client of crowd) client.destroy();
    await gateway.empty();
    await gateway.stop();
  });
}

test("heads above max_header_bytes are refused, heads of half its size are not", async () => {
  const most = NATIVE_DENO ? 65_536 : 4_096;
  await using gateway = await start({ max_header_bytes: 4_096 });
  const fits = await RawClient.connect(gateway.port);
  assert.equal((await fits.upgrade(target(), { "x-fill": "a".repeat(most / 2) })).status, 101);
  fits.destroy();
  for (const bytes of [most * 2, 2_000_000]) {
    for (const head of [`${target()}&fill=${"a".repeat(bytes)}`, target()]) {
      const client = await RawClient.connect(gateway.port);
      client.send(`GET ${head} HTTP/1.1\r\nhost: a\r\nx-fill: ${"a".repeat(bytes)}\r\n`);
      // What the server has not read makes its kernel reset the connection, and an answer can be lost with it.
      const answer = await client.rest();
      assert.match(answer, NATIVE_DENO ? /^(HTTP\/1.1 400|$)/ : /^(HTTP\/1.1 431|$)/);
      client.destroy();
    }
  }
  await gateway.empty();
  await gateway.stop();
});

test("what the runtime fixes is told at start, with the number that holds", async () => {
  await using gateway = await start({ header_timeout_ms: 5_000, max_header_bytes: 8_192 });
  await gateway.get("/healthz");
  const warnings = gateway.lines.map(({ message }) => message).filter((text) =>
    /^gateway\.(max_header_bytes|header_timeout_ms) is \d+, but/.test(text)
  );
  const expected = {
    deno: [],
    bun: [
      "gateway.header_timeout_ms is 5000, but has no effect on this transport, where it is 12000 and cannot be changed",
    ],
    native: [
      "gateway.max_header_bytes is 8192, but has no effect on this transport, where it is 65536 and cannot be changed",
      "gateway.header_timeout_ms is 5000, but has no effect on this transport, which bounds it nowhere",
    ],
  };
  assert.deepEqual(
    warnings,
    NATIVE_DENO ? expected.native : TARGET === "deno" || RAW ? expected.deno : expected.bun,
  );
  await gateway.stop();
});

test("a query with line breaks in it adds no header and no log line", async () => {
  await using gateway = await GatewayProcess.start({ tenants: [{ id: "acme" }] }, {
    args: ["--log-level", "debug"],
  });
  const evil = "%0d%0aset-cookie:%20evil=1%0d%0a%0d%0aevil";
  for (
    const query of [`tenant=${evil}`, `tenant=acme&ticket=${evil}`, `tenant=acme&ticket=dev&sid=${evil}`]
  ) {
    const client = await RawClient.connect(gateway.port);
    const head = await client.upgrade(`/v1/ws?${query}`);
    assert.ok(head.status === 400 || head.status === 401, head.text);
    assert.equal(head.headers.has("set-cookie"), false);
    JSON.parse(await client.body(head));
    client.destroy();
  }
  await gateway.stop(); // each log line was read as JSON on the way
});
