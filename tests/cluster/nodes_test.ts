import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Nodes } from "../../src/cluster/nodes.ts";
import { Subjects } from "../../src/cluster/subjects.ts";
import { decode, KIND } from "../../src/cluster/wire.ts";
import { SILENT } from "../../src/log.ts";
import { type FakeLink, FakeNats } from "./fake_nats.ts";

class Stage {
  readonly nats = new FakeNats();
  ms = 0;

  node(name: string): { nodes: Nodes; link: FakeLink; told: string[] } {
    const link = this.nats.link(), subjects = new Subjects("p"), told: string[] = [];
    const nodes = new Nodes({
      incarnation: name,
      link,
      subjects,
      facts: () => ({ name, version: "1", startedMs: 0, sessions: 0, draining: false }),
      journaled: () => 0,
      now: () => this.ms,
      log: SILENT,
    });
    nodes.watch({
      came: (node) => void told.push(`+${node.incarnation}`),
      went: (node, lost) => void told.push(`${lost ? "!" : "-"}${node.incarnation}`),
      beat: () => {},
    });
    link.listen(subjects.all, (payload) => {
      const { kind, fields } = decode(payload, { broken: 0, unknown: 0 })!;
      if (kind === KIND.beat) assert.ok(nodes.heardBeat(fields));
      if (kind === KIND.bye) assert.ok(nodes.heardGoodbye(fields));
    });
    link.listen(subjects.node(name), () => {});
    return { nodes, link, told };
  }

  async pass(ms: number, ...nodes: readonly Nodes[]): Promise<void> {
    for (const until = this.ms + ms; this.ms < until;) {
      this.ms += 50;
      for (const one of nodes) one.tick();
      this.nats.settle();
      await Promise.resolve();
      await Promise.resolve();
    }
  }
}

test("Nodes find each other, a goodbye ends that at once, and each name has one owner on all", async () => {
  const stage = new Stage();
  const [a, b, c] = ["a", "b", "c"].map((name) => stage.node(name)) as [Of, Of, Of];
  await stage.pass(500, a.nodes, b.nodes, c.nodes);
  assert.deepEqual(a.told, ["+b", "+c"]);
  const all = [a, b, c];
  for (let i = 0; i < 300; i++) assert.equal(all.filter(({ nodes }) => nodes.owns(`room-${i}`)).length, 1);
  for (const { nodes } of all) {
    const share = [...Array(300).keys()].filter((i) => nodes.owns(`room-${i}`)).length;
    assert.ok(share > 50, `${share} of 300`);
  }
  c.nodes.goodbye();
  stage.nats.settle();
  assert.deepEqual(a.told, ["+b", "+c", "-c"]);
});

test("A killed node is lost within a second, a frozen one within four, a pause of two seconds is none", async () => {
  const stage = new Stage();
  const [a, b, c] = ["a", "b", "c"].map((name) => stage.node(name)) as [Of, Of, Of];
  await stage.pass(500, a.nodes, b.nodes, c.nodes);
  await stage.pass(2000, a.nodes, b.nodes);
  await stage.pass(300, a.nodes, b.nodes, c.nodes);
  assert.deepEqual(a.told, ["+b", "+c"]);
  b.link.die();
  await stage.pass(950, a.nodes, c.nodes);
  assert.deepEqual(a.told, ["+b", "+c", "!b"]);
  assert.deepEqual(c.told, ["+a", "+b", "!b"]);
  await stage.pass(3950, a.nodes);
  assert.deepEqual(a.told, ["+b", "+c", "!b", "!c"]);
  await stage.pass(300, a.nodes, c.nodes);
  assert.deepEqual(a.told, ["+b", "+c", "!b", "!c", "+c"]);
});

test("Nobody is missed while NATS is away, nor at once when it is back", async () => {
  const stage = new Stage();
  const [a, b] = ["a", "b"].map((name) => stage.node(name)) as [Of, Of];
  await stage.pass(500, a.nodes, b.nodes);
  a.link.isUp = b.link.isUp = false;
  await stage.pass(10_000, a.nodes, b.nodes);
  a.link.isUp = true;
  a.nodes.connected();
  await stage.pass(2000, a.nodes, b.nodes);
  b.link.isUp = true;
  b.nodes.connected();
  await stage.pass(500, a.nodes, b.nodes);
  assert.deepEqual([a.told, b.told], [["+b"], ["+a"]]);
});

type Of = ReturnType<Stage["node"]>;
