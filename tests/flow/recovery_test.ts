// Real sockets that are cut anywhere, in the middle of frames and of handshakes, both ways at once.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CuttingProxy } from "./cutting_proxy.ts";
import { lastly, sharedGateway } from "./gateway_process.ts";
import { RecoveringClient } from "./recovering_client.ts";

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [{
    id: "acme",
    resume: { window_ms: 30_000 },
    policy: { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 100_000, rate_limit_burst: 100_000 },
  }],
});
const proxy = await CuttingProxy.start(gateway.origin);
after(() => proxy.stop());

/** The same numbers in every run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const MESSAGES = 600;
const CUTS = 60;

for (const seed of [1, 2]) {
  test(`however often and wherever the connection is cut, every message arrives once and in order, both ways (${seed})`, async () => {
    const random = numbers(seed);
    const room = `cuts-${seed}`;
    const chat = (msg: string) => ({ svc: "chat", type: "send", room, data: { msg } });
    const bob = new RecoveringClient(gateway, { user: `bob-${seed}` });
    const ann = new RecoveringClient(proxy, { user: `ann-${seed}` });
    assert.equal((await bob.connect()).type, "authed");
    assert.equal((await ann.connect()).type, "authed");
    for (const one of [bob, ann]) {
      one.send({ svc: "room", type: "join", room });
      await one.until(() => one.messages.some(({ type }) => type === "joined"), "joined");
    }
    const before = proxy.cuts;
    let said = 0;
    while (said < MESSAGES || proxy.cuts - before < CUTS) {
      proxy.cutAfter(random() < 0.5 ? "up" : "down", 1 + Math.floor(random() * 900));
      for (let i = 0; i < 10; i++) {
        bob.send(chat(`b${said}`));
        ann.send(chat(`a${said}`));
        said++;
      }
      if (random() < 0.3) ann.ping();
      if (random() < 0.3) bob.ping();
      await bob.until(
        () => bob.chat.at(-1) !== undefined && bob.chat.includes(`b${said - 1}`),
        "bob himself",
      );
      // A handshake may be cut as well.
      while (!ann.isConnected) {
        const arrival = await ann.connect({ ticket: false });
        const { type } = arrival;
        assert.ok(type === "resumed" || type === "lost", JSON.stringify(arrival));
      }
    }
    proxy.cutAfter("up", Infinity);
    proxy.cutAfter("down", Infinity);
    const count = 2 * said;
    // A cut can still be under way.
    while (ann.chat.length < count) {
      if (!ann.isConnected) await ann.connect({ ticket: false });
      await ann.until(() => ann.chat.length >= count || !ann.isConnected, "all of it for ann");
    }
    await bob.until(() => bob.chat.length >= count, "all of it for bob");
    assert.deepEqual(ann.chat, bob.chat);
    for (const one of ["a", "b"]) {
      const own = bob.chat.filter((msg) => msg.startsWith(one));
      assert.deepEqual(own, Array.from({ length: said }, (_, i) => `${one}${i}`));
    }
    for (const one of [ann, bob]) one.close(1000);
  });
}

lastly(gateway);
