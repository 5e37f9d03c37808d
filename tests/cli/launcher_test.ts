import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isLauncher, isWhole, launchersOf, type ProcessFacts } from "../../src/cli/launcher.ts";

/** `npx -y deno@2.9.6 task start`, typed into a shell. */
const tree = (): Map<number, ProcessFacts> =>
  new Map([
    [1, { parent: 0, started: "1", args: ["/sbin/init"] }],
    [50, { parent: 1, started: "50", args: ["-bash"] }],
    [60, { parent: 50, started: "60", args: ["npm exec deno@2.9.6 task start"] }],
    [61, { parent: 60, started: "61", args: ["sh", "-c", "'deno' task start"] }],
    [62, { parent: 61, started: "62", args: ["deno", "task", "start"] }],
    [63, { parent: 62, started: "63", args: ["/n/deno/deno", "task", "-q", "wsprism:bun", "start"] }],
    [64, { parent: 63, started: "64", args: ["/n/bun.exe", "main.ts", "start"] }],
  ]);

test("The chain ends below whoever typed the command", () => {
  const table = tree();
  const chain = launchersOf(64, (pid) => table.get(pid) ?? null);
  assert.deepEqual(chain.map(({ pid, parent }) => [pid, parent]), [[64, 63], [63, 62], [62, 61], [61, 60]]);
});

test("A gateway that was started by itself has none above it, and so has one in somebody's script", () => {
  const table = tree();
  for (
    const args of [["-bash"], ["bash", "./run.sh"], ["bash", "-c", "wsprism start"], ["systemd"], ["sh"]]
  ) {
    table.set(63, { parent: 62, started: "63", args });
    assert.deepEqual(launchersOf(64, (pid) => table.get(pid) ?? null), [], args.join(" "));
  }
  assert.deepEqual(launchersOf(64, () => null), []);
});

test("It is broken when a launcher has gone, has another parent, or its number is another's", () => {
  const table = tree(), look = (pid: number) => table.get(pid) ?? null;
  const chain = launchersOf(64, look);
  assert.ok(isWhole(chain, look));
  const changes: [number, ProcessFacts | null][] = [
    [61, null],
    [62, { ...tree().get(62)!, parent: 1 }],
    [63, { ...tree().get(63)!, started: "99" }],
  ];
  for (const [pid, facts] of changes) {
    const other = tree();
    if (facts === null) other.delete(pid);
    else other.set(pid, facts);
    assert.ok(!isWhole(chain, (at) => other.get(at) ?? null), String(pid));
  }
  // The shell above it all may go: nohup is for that.
  table.set(60, { parent: 1, started: "60", args: [] });
  assert.ok(isWhole(chain, look));
});

test("Launchers are told from what people run", () => {
  for (
    const args of [
      ["deno", "task", "start"],
      ["/usr/bin/deno", "task", "-q", "wsprism:bun"],
      ["sh", "-c", "deno task start"],
      ["npm exec deno task start"],
      ["node", "/n/bin/npx", "deno", "task", "start"],
      ["node", "/n/deno/bin.cjs", "task", "start"],
    ]
  ) assert.ok(isLauncher(args), args.join(" "));
  for (
    const args of [[], ["deno", "run", "task.ts"], ["zsh"], ["tmux"], ["node", "server.js"], ["make", "run"]]
  ) {
    assert.ok(!isLauncher(args), args.join(" "));
  }
});
