// The scenarios of tests/vectors/recovery.json, by a client that does what docs/recovery.md says and no more, through each door.

import assert from "node:assert/strict";
import { test } from "node:test";
import { lastly, sharedGateway } from "./gateway_process.ts";
import { SCENARIOS } from "./recovery_scenarios.ts";
import { RecoveringClient } from "./recovering_client.ts";
import { ALL_DOORS, doorsOf } from "./wires.ts";

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0, ...ALL_DOORS.gateway },
  tenants: [{
    id: "acme",
    resume: { window_ms: 1000, max_messages: 10 },
    policy: { ext_allowlist: ["room:*", "chat:*"] },
  }],
}, ALL_DOORS.options);

const through = Object.entries(await doorsOf(gateway)).flatMap(([door, dial]) =>
  SCENARIOS.map((scenario) => ({ ...scenario, name: `through ${door}: ${scenario.name}`, dial }))
);

through.forEach(({ name, steps, dial }, number) => {
  test(name, async () => {
    const people = new Map<string, RecoveringClient>();
    const heard = new Map<string, number>();
    const room = `room-${number}`;
    for (const step of steps) {
      const { who = "" } = step;
      if (step.wait_ms !== undefined) await new Promise((resolve) => setTimeout(resolve, step.wait_ms));
      if (who === "") continue;
      const person = people.get(who) ?? new RecoveringClient(gateway, { user: `${who}-${number}` }, dial);
      people.set(who, person);
      const chat = (msg: string) => person.send({ svc: "chat", type: "send", room, data: { msg } });
      const said = JSON.stringify(step);
      if (step.connect !== undefined) {
        const { ticket = true } = step;
        const arrival = await person.connect({ ticket });
        assert.equal(arrival.type, step.connect, `${said}: ${JSON.stringify(arrival)}`);
        if (arrival.type === "refused") {
          assert.deepEqual([arrival.status, arrival.reason], [401, step.reason]);
        }
        if (arrival.type === "resumed") {
          assert.deepEqual([arrival.data.heard, arrival.data.replay], [step.taken, step.replay], said);
        }
        if (arrival.type === "authed") assert.equal(arrival.data.resumed?.reason, step.reason, said);
      }
      if (step.join !== undefined) {
        person.send({ svc: "room", type: "join", room });
        await person.until(() => person.messages.some(({ type }) => type === "joined"), said);
      }
      for (const msg of step.say ?? []) {
        chat(msg);
        await person.until(() => person.chat.at(-1) === msg, said);
      }
      for (const msg of step.sayLater ?? []) chat(msg);
      if (step.hear !== undefined) {
        const from = heard.get(who) ?? 0;
        const until = from + step.hear.length;
        await person.until(() => person.chat.length >= until, said);
        assert.deepEqual(person.chat.slice(from), step.hear, said);
        heard.set(who, until);
      }
      if (step.unhear !== undefined) {
        person.unhear(step.unhear);
        heard.set(who, heard.get(who)! - step.unhear);
      }
      if (step.ping !== undefined) {
        person.ping();
        await person.until(() => person.messages.at(-1)?.type === "pong", said);
      }
      if (step.cut) {
        person.cut();
        await person.until(() => !person.isConnected, said);
      }
      if (step.close !== undefined) {
        person.close(step.close);
        await person.until(() => !person.isConnected, said);
      }
    }
    for (const person of people.values()) person.close(1000);
  });
});

lastly(gateway);
