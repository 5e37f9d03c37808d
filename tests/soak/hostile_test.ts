// The whole hostile corpus through one gateway, one after the other, while others chat: tells on stdout how long the chat
// took in quiet and under attack. `WSPRISM_SOAK_ROUNDS` says how often.

import assert from "node:assert/strict";
import process from "node:process";
import { after, test } from "node:test";
import { attacks, Siege } from "../flow/siege.ts";

const ROUNDS = Number(process.env["WSPRISM_SOAK_ROUNDS"] ?? 1);
const QUIET_MS = 5000;

function percentiles(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)]?.toFixed(1);
  return `${times.length} messages, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`;
}

const siege = await Siege.begin();
after(() => siege.gateway.kill());

test("Every attack ends as it should, and the gateway and its other tenant go on", async () => {
  const tell = (text: string) => process.stdout.write(`${text}\n`);
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  tell(`quiet: ${percentiles(siege.chatMs())}`);
  const memory = [siege.gateway.residentBytes()];
  for (let round = 0; round < ROUNDS; round++) {
    for (const attack of attacks()) {
      const answer = await siege.attack(attack);
      tell(`${attack.file} (${attack.end}): ${JSON.stringify(answer)?.slice(0, 100)}`);
      const told = answer === null ? null : "code" in answer ? answer.code : "reply";
      if (attack.end === "killed" || attack.end === "failed") assert.equal(told, "UNAVAILABLE", attack.file);
      if (attack.end === "thrown" && !attack.file.startsWith("big_")) {
        assert.equal(told, "INTERNAL", attack.file);
      }
      await siege.calm();
    }
    memory.push(siege.gateway.residentBytes());
  }
  tell(`under attack: ${percentiles(siege.chatMs())}`);
  tell(`the gateway's MiB: ${memory.map((bytes) => Math.round(bytes / 2 ** 20)).join(" → ")}`);
  await siege.end();
  assert.ok(memory.at(-1)! - memory[0]! < 128 * 2 ** 20);
});
