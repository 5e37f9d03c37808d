// The backend of config/examples/backend as a real process, on each runtime that it is written for, behind a real gateway
// with the configuration beside it.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { after, test } from "node:test";
import { signature } from "../../src/outbound/signing.ts";
import { freePort, isInstalled } from "../deploy_files.ts";
import { RawClient, within } from "../raw_client.ts";
import { Client, target } from "./client.ts";
import { Folder, GatewayProcess, ROOT, until } from "./gateway_process.ts";

const EXAMPLE = `${ROOT}/config/examples/backend`;
const SECRET = "a-secret-that-gateway-and-backend-share-alone";
const ADMIN_SECRET = "a-secret-of-the-shop-for-the-admin-api-only";

/** What runs the example here: Bun and Deno always, Node where it is. */
const RUNTIMES: Readonly<Record<string, readonly string[]>> = {
  bun: [`${ROOT}/node_modules/bun/bin/bun.exe`],
  deno: ["deno", "run", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env"],
  ...(isInstalled("node", "--version") ? { node: ["node"] } : {}),
};

const running = new Set<ChildProcess>();
const end = () => {
  for (const child of running) child.kill("SIGKILL");
};
process.once("exit", end);
after(end);

/** Starts the example. @returns where it listens */
async function startBackend(runtime: string, adminPort: number): Promise<string> {
  const [program, ...args] = [...RUNTIMES[runtime]!, `${EXAMPLE}/backend.mjs`];
  const env = {
    ...process.env,
    PORT: "0",
    WSPRISM_SECRET: SECRET,
    WSPRISM_ADMIN_SECRET: ADMIN_SECRET,
    WSPRISM_ADMIN_URL: `http://127.0.0.1:${adminPort}`,
  };
  const child = spawn(program!, args, { stdio: ["ignore", "pipe", "inherit"], env });
  running.add(child);
  let said = "";
  child.stdout!.on("data", (text) => said += text);
  const port = await until("the example to listen", () => /on port (\d+)/.exec(said)?.[1] ?? null, 10_000);
  return `http://127.0.0.1:${port}`;
}

interface Shown {
  readonly online: readonly string[];
  readonly orders: readonly { readonly id: string; readonly user: string; readonly shipped: boolean }[];
  readonly last_seq: number | null;
  readonly holes: number;
}

for (const runtime of Object.keys(RUNTIMES)) {
  test(`the example on ${runtime}: logins, orders, presence over a crash, and news of its own`, async () => {
    const adminPort = await freePort();
    const backend = await startBackend(runtime, adminPort);
    const folder = new Folder();
    after(() => folder[Symbol.dispose]());
    const config = readFileSync(`${EXAMPLE}/wsprism.yaml`, "utf8")
      .replace("127.0.0.1:8080", "127.0.0.1:0")
      .replace("127.0.0.1:9090", `127.0.0.1:${adminPort}`)
      .replace("./state", folder.path);
    const options = {
      dev: false,
      keeps: folder.path,
      env: { WSPRISM_SECRET: SECRET, WSPRISM_ADMIN_SECRET: ADMIN_SECRET, WSPRISM_BACKEND_URL: backend },
    };
    const own = async (path: string, body?: object) => {
      const answer = await within(
        fetch(`${backend}${path}`, {
          headers: { authorization: `Bearer ${ADMIN_SECRET}` },
          ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
        }),
        `the example's answer to ${path}`,
      );
      assert.equal(answer.status, 200, path);
      return await answer.json();
    };
    const state = (): Promise<Shown> => own("/state");
    const shop = (ticket: string) => ({ tenant: "shop", ticket });

    await using gateway = await GatewayProcess.startText(config, options);
    const stranger = await RawClient.connect(gateway.port);
    assert.equal((await stranger.upgrade(target(shop("eve-login")))).status, 401);
    stranger.destroy();
    const ann = await Client.open(gateway, shop("ann-login"));
    const tablet = await Client.open(gateway, shop("ann-login"));
    const bob = await Client.open(gateway, shop("bob-login"));
    assert.deepEqual([ann.authed.user, bob.authed.user], ["ann", "bob"]);

    await bob.join("shop");
    bob.send({ svc: "room", type: "join", room: "customer:ann" });
    await bob.nextError("NOT_ALLOWED");

    ann.send({ svc: "orders", type: "place", seq: 1, data: { item: "cake", count: 2 } });
    assert.equal((await ann.next("sys.joined")).room, "customer:ann");
    const reply = await ann.next("orders.reply");
    assert.deepEqual([reply.seq, reply.data.price], [1, 14]);
    assert.deepEqual((await bob.next("orders.sold")).data, { item: "cake", count: 2 });
    ann.send({ svc: "orders", type: "place", seq: 2, data: { item: "cake", count: 1000 } });
    const refused = await ann.nextError("BAD_REQUEST");
    assert.deepEqual([refused.seq, refused.data.msg], [2, "count must be 1..10"]);

    // Both devices, and once however often it is said.
    const { order } = reply.data;
    assert.deepEqual(await own("/ship", { order }), { deliveries: 2 });
    assert.deepEqual(await own("/ship", { order }), { deliveries: 2 });
    for (const client of [ann, tablet]) {
      assert.deepEqual((await client.next("orders.shipped")).data, { order, item: "cake" });
      await client.hearsNothing();
    }

    const before = await until("all three to be known", async () => {
      const now = await state();
      return now.online.length === 3 ? now : null;
    });
    assert.deepEqual(before.online.toSorted(), ["ann", "ann", "bob"]);
    assert.equal(before.orders.length, 1);
    await gateway.crash();
    await using next = await GatewayProcess.startText(config, options);
    const told = await until("the crash to be told", async () => {
      const now = await state();
      return now.online.length === 0 ? now : null;
    });
    assert.deepEqual([told.last_seq, told.holes], [6, 0]);

    // What comes again changes nothing, what is not signed is not heard, a gap is no hole and a hole is seen.
    const hook = async (events: readonly object[], signed = true) => {
      const body = JSON.stringify({ events });
      const header = signature(body, [{ id: "1", secret: signed ? SECRET : "another" }], Date.now());
      const headers = { "wsprism-signature": header };
      return (await fetch(`${backend}/wsprism/hooks`, { method: "POST", body, headers })).status;
    };
    const event = (seq: number) => ({
      id: `e${seq}`,
      seq,
      type: "session.connected",
      session: `s${seq}`,
      user: "zoe",
    });
    assert.equal(await hook([event(7)], false), 403);
    assert.equal(await hook([event(7)]), 204);
    assert.equal(await hook([event(7)]), 204);
    assert.deepEqual((await state()).online, ["zoe"]);
    const gap = {
      id: "g",
      type: "gap",
      seq: 10,
      data: { first_seq: 8, last_seq: 10, events: 3, reason: "bytes" },
    };
    assert.equal(await hook([gap, event(11)]), 204);
    assert.deepEqual(await state().then(({ last_seq, holes }) => [last_seq, holes]), [11, 0]);
    assert.equal(await hook([event(14)]), 204);
    assert.deepEqual(await state().then(({ last_seq, holes }) => [last_seq, holes]), [14, 2]);

    await next.stop();
  });
}
