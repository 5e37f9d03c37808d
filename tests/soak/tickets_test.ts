// A million people who guess tickets, while two with good ones talk. WSPRISM_SOAK_TICKETS is another number of guesses.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { guess, SECRET, ticket } from "../admission/keys.ts";
import { Client } from "../flow/client.ts";
import { lastly, sharedGateway } from "../flow/gateway_process.ts";
import { handshake, statusOf } from "../raw_client.ts";

const GUESSES = Number(process.env["WSPRISM_SOAK_TICKETS"] ?? 1_000_000);
/** Guessed before memory is looked at first, so that both runtimes have compiled their paths and settled. */
const WARM_UP = GUESSES / 10;
const AT_ONCE = 32;
/** What a heap that is the same size may differ by between two collections. */
const NOISE_BYTES = 48 * 1024 * 1024;

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [{
    id: "acme",
    auth: {
      mode: "jwt",
      jwt: { algorithms: ["HS256"], keys: [{ kid: "k", secret: SECRET }] },
      failure_delay_ms: 0,
    },
    policy: { ext_allowlist: ["room:*", "chat:*"] },
  }],
}, { dev: false });

async function enter(): Promise<Client> {
  const exp = Math.floor(Date.now() / 1000) + 7200;
  const headers = { authorization: `Bearer ${await ticket({ sub: "ann", exp })}` };
  const client = await Client.open(gateway, { ticket: null, headers });
  await client.join("lobby");
  return client;
}

test(`${GUESSES} guessed tickets get nobody in, keep no memory, and hold up no chat`, async () => {
  const [ann, bob] = [await enter(), await enter()];
  await ann.settled();
  const counts = new Map<number, number>();
  let next = 0;
  const guessTo = async (end: number) => {
    const worker = async () => {
      while (next < end) {
        const number = next++;
        const head = handshake("/v1/ws?tenant=acme", { authorization: `Bearer ${guess(number)}` });
        const status = await statusOf(gateway.port, head);
        counts.set(status, (counts.get(status) ?? 0) + 1);
        if (number % 1000 > 0) continue;
        bob.send({ svc: "chat", type: "send", room: "lobby", data: { msg: `at ${number}` } });
        assert.equal((await ann.next("chat.msg")).data.msg, `at ${number}`);
        await bob.next("chat.msg");
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  };
  await guessTo(WARM_UP);
  const before = gateway.residentBytes();
  await guessTo(GUESSES);
  const grown = gateway.residentBytes() - before;
  assert.deepEqual([...counts], [[401, GUESSES]]);
  assert.ok(grown < NOISE_BYTES, `${Math.round(grown / 1024)} KiB more`);
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum("wsprism_ws_sessions_active"), 2);
  await ann.close();
  await bob.close();
});

lastly(gateway);
