// What docs/architecture.md says of adding a transport is enough: the one in memory.ts holds sessions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { House } from "../session/house.ts";
import { MemoryTransport } from "./memory.ts";

test("a session comes in by a transport that was written from the recipe, and is in one room with others", async () => {
  const transport = new MemoryTransport();
  const house = await new House({ tcp: transport }).start();
  const far = transport.connect();
  const heard = async () => {
    house.turn();
    return JSON.parse(await far.next() as string) as { type: string; data: Record<string, unknown> };
  };
  far.say('{"v":1,"svc":"sys","type":"hello","data":{"tenant":"acme","ticket":"dev:mem"}}');
  assert.equal((await heard()).data["user"], "mem");
  far.say('{"v":1,"svc":"room","type":"join","room":"r"}');
  assert.equal((await heard()).type, "joined");
  const ann = house.connect("ann");
  ann.join("r");
  ann.tell("chat", "send", { room: "r", data: { msg: "hello" } });
  assert.deepEqual((await heard()).data, { from: "ann", msg: "hello" });
  far.leave();
  house.turn();
  assert.equal(house.gateway.census("acme").sessions, 1);
  await house.gateway.stop();
});
