// The whole hostile corpus through one gateway, one after the other, while others chat: tells on stdout how long the chat
// took beside each single attack, and in the quiet before it. `WSPRISM_SOAK_ROUNDS` says how often.

import assert from "node:assert/strict";
import process from "node:process";
import { after, test } from "node:test";
import { attacks, Siege } from "../flow/siege.ts";

const ROUNDS = Number(process.env["WSPRISM_SOAK_ROUNDS"] ?? 1);
/** Messages of the chat in each phase, at least; a p99 needs as many. */
const MESSAGES = 200;
/** What others may notice beside an attack, as a multiple of the quiet before it; and milliseconds that nobody notices. */
const TIMES = 2, UNNOTICED_MS = 5;
/** Attempts at an attack: a machine has noise of its own. */
const ATTEMPTS = 3;

function p99(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor((times.length - 1) * 0.99)]!;
}

function percentiles(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)]?.toFixed(1);
  return `${times.length} messages, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`;
}

const siege = await Siege.begin();
after(() => siege.gateway.kill());

test("Every attack ends as it should, and the gateway and its other tenant go on", async () => {
  const tell = (text: string) => process.stdout.write(`${text}\n`);
  const all: number[] = [];
  const noticed: string[] = [];
  const memory = [siege.gateway.residentBytes()];
  for (let round = 0; round < ROUNDS; round++) {
    for (const attack of attacks()) {
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        const quiet = await siege.chatFor(MESSAGES);
        const answer = await siege.attack(attack);
        const beside = await siege.chatFor(MESSAGES);
        all.push(...beside);
        tell(
          `${attack.file} (${attack.end}): p99 ${p99(beside).toFixed(1)} ms, quiet ${
            p99(quiet).toFixed(1)
          } ms; ` +
            `${JSON.stringify(answer)?.slice(0, 80)}`,
        );
        const told = answer === null ? null : "code" in answer ? answer.code : "reply";
        if (attack.end === "killed" || attack.end === "failed") {
          assert.equal(told, "UNAVAILABLE", attack.file);
        }
        if (attack.end === "thrown" && !attack.file.startsWith("big_")) {
          assert.equal(told, "INTERNAL", attack.file);
        }
        await siege.calm();
        if (p99(beside) <= Math.max(TIMES * p99(quiet), UNNOTICED_MS)) break;
        if (attempt === ATTEMPTS) noticed.push(attack.file);
      }
    }
    memory.push(siege.gateway.residentBytes());
  }
  tell(`under attack: ${percentiles(all)}`);
  tell(`the gateway's MiB: ${memory.map((bytes) => Math.round(bytes / 2 ** 20)).join(" → ")}`);
  await siege.end();
  assert.deepEqual(noticed, [], "others noticed these each time");
  assert.ok(memory.at(-1)! - memory[0]! < 128 * 2 ** 20);
});
