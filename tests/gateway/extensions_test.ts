// Extensions in a whole gateway: when they are started and ended, what they hear, and that a tenant without them has
// nothing of it.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load.ts";
import type { HostProcess } from "../../src/extension/host_process.ts";
import { loadOptions } from "../config/loading.ts";
import { FakeHost, WALLS } from "../extension/stage.ts";
import { House, houseText, OPEN_POLICY, settle } from "../session/house.ts";

const FILES = { "a.ts": "A", "b.ts": "B" };
const ONE = "services: [{ svc: t, worker: a.ts }, { svc: chat, builtin: chat }]";

class Stage {
  readonly hosts: FakeHost[] = [];
  readonly house: House;

  constructor(...tenant: string[]) {
    this.house = new House({
      tenant: [OPEN_POLICY, ...tenant],
      files: FILES,
      launchHost: (): HostProcess => {
        const host = new FakeHost(this.hosts.length + 1, () => null);
        this.hosts.push(host);
        queueMicrotask(() => host.say({ kind: "hello", walls: WALLS }));
        return host;
      },
    });
  }

  get host(): FakeHost {
    return this.hosts.at(-1)!;
  }

  async turn(): Promise<void> {
    await settle();
    this.house.turn();
    await settle();
  }

  /** Time passes in looks. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 20) {
      this.house.clock.advance(20);
      await this.turn();
    }
  }

  async ready(...hooks: string[]): Promise<void> {
    await this.turn();
    for (const command of this.host.commands.splice(0)) {
      if (command.kind === "spawn") this.host.worker(command.slot, { kind: "ready", hooks });
    }
    await this.turn();
  }

  async reload(...tenant: string[]): Promise<string> {
    return await this.reloadText(houseText({ tenant: [OPEN_POLICY, ...tenant] }));
  }

  async reloadText(text: string): Promise<string> {
    this.house.next = () => Promise.resolve(loadConfig(loadOptions(text, { files: FILES })));
    return (await this.house.gateway.reload("admin")).outcome;
  }
}

test("Extensions start with the gateway and not before, answer messages, and end with it", async () => {
  const stage = new Stage(ONE);
  await stage.turn();
  assert.equal(stage.hosts.length, 0, "construction has no effects");
  await stage.house.start();
  await stage.ready("onMessage");
  const ann = stage.house.connect("ann");
  ann.tell("t", "ask", { seq: 7, data: 1 });
  await stage.turn();
  const [call] = stage.host.calls(1);
  assert.equal(call!.session!.user, "ann");
  stage.host.worker(1, { kind: "result", id: call!.id, value: "hello" });
  await stage.turn();
  assert.deepEqual(ann.link.read(), [{ v: 1, svc: "t", type: "reply", seq: 7, data: "hello" }]);
  const stopped = stage.house.gateway.stop();
  await stage.turn();
  assert.deepEqual(stage.host.read(1), [{ kind: "stop" }]);
  stage.host.worker(1, { kind: "stopped" });
  await stopped;
  assert.equal(stage.host.killed, true);
});

test("Joins, leaves, beginnings and ends are told in their order, each with its session", async () => {
  const stage = new Stage(ONE);
  await stage.house.start();
  await stage.ready("onConnect", "onJoin", "onLeave", "onDisconnect");
  const ann = stage.house.connect("ann", { sid: "tab" });
  ann.join("hall");
  ann.ask("room", "leave", { room: "hall" });
  ann.join("yard");
  ann.gone(1000);
  await stage.turn();
  const heard = stage.host.calls(1).map(({ hook, input, session }) => {
    const { room, member, count, code } = input as Record<string, unknown>;
    return [hook, room ?? code, member, count, session!.rooms, session!.activeRoom];
  });
  assert.deepEqual(heard, [
    ["onConnect", undefined, undefined, undefined, [], null],
    ["onJoin", "hall", 1, 1, ["hall"], "hall"],
    ["onLeave", "hall", 1, 0, [], null],
    ["onJoin", "yard", 1, 1, ["yard"], "yard"],
    ["onLeave", "yard", 1, 0, [], null],
    ["onDisconnect", 1000, undefined, undefined, [], null],
  ]);
});

test("A tenant without extensions has no timer and no process, before them and after them", async () => {
  const stage = new Stage();
  await stage.house.start();
  const tasks = stage.house.clock.tasks;
  assert.equal(await stage.reload(ONE), "applied");
  await stage.ready("onMessage");
  assert.equal(stage.house.clock.tasks, tasks + 1);
  assert.equal(await stage.reload(), "applied");
  await stage.turn();
  stage.host.worker(1, { kind: "stopped" });
  await stage.pass(20);
  assert.equal(stage.house.clock.tasks, tasks);
  assert.equal(stage.host.killed, true);
  const ann = stage.house.connect("ann");
  ann.join("hall");
  await stage.turn();
  assert.equal(stage.hosts.length, 1);
});

test("A tenant that comes with a reload has its extensions started, and one that goes has them ended", async () => {
  const stage = new Stage();
  await stage.house.start();
  const text = houseText({ tenant: [OPEN_POLICY] });
  assert.equal(await stage.reloadText(`${text}  - id: fresh\n    ${ONE}\n`), "applied");
  await stage.ready("onMessage");
  const [spawn] = stage.hosts;
  assert.ok(spawn);
  assert.equal(await stage.reloadText(text), "applied");
  await stage.pass(60);
  assert.deepEqual(stage.host.read(1), [{ kind: "stop" }]);
  stage.host.worker(1, { kind: "stopped" });
  await stage.pass(40);
  assert.equal(stage.host.killed, true);
});

test("A message that a plugin drops is not even acknowledged; one that it passes is", async () => {
  const stage = new Stage(`${ONE}\n    plugins: [{ id: p, match: { service: "chat:*" }, worker: b.ts }]`);
  await stage.house.start();
  await stage.ready("onMessage", "onIngress");
  const ann = stage.house.connect("ann");
  ann.join("hall");
  const say = async (verdict: object) => {
    ann.tell("chat", "send", { room: "hall", seq: 1, flags: 4, data: { msg: "hi" } });
    await stage.turn();
    const [call] = stage.host.calls(2);
    stage.host.worker(2, { kind: "result", id: call!.id, ...verdict });
    await stage.turn();
    return ann.link.read().map((message) => (message as { type: string }).type);
  };
  assert.deepEqual(await say({}), ["ack", "msg"]);
  assert.deepEqual(await say({ value: { drop: true } }), []);
  assert.deepEqual(await say({ value: { reject: { code: "NOT_ALLOWED", msg: "no" } } }), ["error"]);
});

test("While an extension is down the gateway says that it is degraded, and metrics say which", async () => {
  const stage = new Stage(ONE);
  await stage.house.start();
  const ready = async () => {
    const request = new Request("http://gateway/readyz");
    return await (await stage.house.transport.door!.request(request, "127.0.0.1")).text();
  };
  assert.equal(await ready(), "ready", "a start is no fault");
  await stage.turn();
  stage.host.worker(1, { kind: "failed", error: "Error: no" });
  assert.equal(await ready(), "degraded");
  assert.deepEqual(await stage.house.metric("extension_up"), [
    '{tenant="acme",extension="t",role="service"} 0',
  ]);
  stage.host.report(50);
  await stage.pass(1020);
  await stage.ready("onMessage");
  assert.equal(await ready(), "ready");
  assert.deepEqual(await stage.house.metric("extension_failed_starts_total"), [
    '{tenant="acme",extension="t",role="service"} 1',
  ]);
});
