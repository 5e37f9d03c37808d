// Frames that are no message: pings, pongs and fragments of what never becomes whole. Whoever floods with them is closed
// before others notice, with a ticket or without.

import assert from "node:assert/strict";
import { test } from "node:test";
import { frame, OP, RawClient, within } from "../raw_client.ts";
import { Client } from "./client.ts";
import { lastly, sharedGateway, TARGET } from "./gateway_process.ts";

const gateway = await sharedGateway({
  tenants: [
    { id: "acme", policy: {} },
    {
      id: "lobby",
      auth: {
        mode: "static",
        first_message: true,
        static: { tickets: [{ ticket: "0123456789abcdef", user: "ann" }] },
      },
    },
    { id: "polite", policy: {} },
  ],
});
const DEADLINE_MS = 20_000;
const FLOODS: readonly (readonly [string, Buffer, Buffer])[] = [
  ["pings", Buffer.alloc(0), frame(OP.ping)],
  ["long pings", Buffer.alloc(0), frame(OP.ping, new Uint8Array(125))],
  ["pongs", Buffer.alloc(0), frame(OP.pong)],
  ["empty fragments", frame(OP.text, "a", { fin: false }), frame(OP.continuation, "", { fin: false })],
];

/** Sends on and on until the connection is over. */
async function flood(client: RawClient, first: Buffer, one: Buffer): Promise<void> {
  const much = Buffer.concat(Array.from({ length: Math.ceil(65_536 / one.length) }, () => one));
  let over = false;
  void client.gone.then(() => over = true);
  client.send(first);
  while (!over) {
    const room = client.socket.write(much);
    if (room) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([new Promise((resolve) => client.socket.once("drain", resolve)), client.gone]);
  }
}

// Native Deno shows none of these frames, and cannot stop reading: docs/operations.md says so.
if (TARGET !== "deno-native") {
  for (const [what, first, one] of FLOODS) {
    for (
      const [who, target] of [["a session", "tenant=acme&ticket=dev:eve"], [
        "a stranger",
        "tenant=lobby",
      ]] as const
    ) {
      test(`${who} that floods with ${what} is closed, and others are served meanwhile`, async () => {
        const polite = await Client.open(gateway, { tenant: "polite" });
        const eve = await RawClient.open(gateway.peer, `/v1/ws?${target}`);
        let over = false;
        const flooding = within(flood(eve, first, one), "the end of the flood", DEADLINE_MS).finally(() =>
          over = true
        );
        let asked = 0;
        while (!over) {
          polite.send({ v: 1, svc: "sys", type: "ping", seq: ++asked });
          await polite.next("sys.pong");
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        await flooding;
        eve.destroy();
        await polite.close();
        assert.ok(asked > 0);
      });
    }
  }
}

lastly(gateway);
