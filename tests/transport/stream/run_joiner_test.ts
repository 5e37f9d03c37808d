import assert from "node:assert/strict";
import { test } from "node:test";
import { RunJoiner } from "../../../src/transport/stream/run_joiner.ts";
import { wireOf } from "../../../src/transport/stream/tcp_link.ts";
import { wireFrame } from "../contract.ts";

test("the same run is joined once, and any other one anew", () => {
  const joiner = new RunJoiner(wireOf);
  const [a, b, c] = [wireFrame("a"), wireFrame("b"), wireFrame("c")] as const;
  const ab = joiner.join([a, b], 2);
  assert.equal(joiner.join([a, b, c], 2), ab);
  assert.deepEqual([...ab], [...a.tcpWire!, ...b.tcpWire!]);
  for (const run of [[a, c], [b, a], [a, b, c]]) {
    const joined = joiner.join(run, run.length);
    assert.notEqual(joined, ab);
    assert.deepEqual([...joined], run.flatMap(({ tcpWire }) => [...tcpWire!]));
  }
  assert.deepEqual([...ab], [...a.tcpWire!, ...b.tcpWire!], "what was written once stays as it was");
});

test("one frame is its own form, and what is forgotten is joined anew", () => {
  const joiner = new RunJoiner(wireOf);
  const [a, b] = [wireFrame("a"), wireFrame("b")] as const;
  assert.equal(joiner.join([a], 1), a.tcpWire);
  const ab = joiner.join([a, b], 2);
  joiner.forget();
  assert.notEqual(joiner.join([a, b], 2), ab);
});
