// Replays the traces in traces/: what goes in, and exactly what comes out. They are the rules of delivery by example,
// to be read by people; what is arbitrary is the model's part (outbox_model_test.ts).

import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { LANE, type Lane, LANE_NAMES } from "../../src/protocol/frame.ts";
import type { OutboxLimits } from "../../src/session/outbox_limits.ts";
import type { Happening } from "./outbox_model.ts";
import { RealBox, RealHouse } from "./outbox_script.ts";

interface Trace {
  readonly title: string;
  readonly why: string;
  /** What differs from `LIMITS`. */
  readonly limits: Partial<OutboxLimits>;
  readonly maxHeldBytes?: number;
  /** What is done, and what follows from it at once. */
  readonly steps: readonly { readonly do: string; readonly then?: readonly string[] }[];
  /** Frames and bytes lost in the end, by session, lane and reason. */
  readonly drops: Readonly<Record<string, string>>;
}

/** The defaults of the configuration. */
const LIMITS: OutboxLimits = {
  reliableBytes: 1_048_576,
  reliableMessages: 4096,
  latestBytes: 262_144,
  latestAgeMs: 0,
  lossyBytes: 262_144,
  lossyAgeMs: 0,
  lossyDropsOldest: true,
  sendTimeoutMs: 1500,
  watermarkBytes: 65_536,
};

const FOLDER = new URL("./traces/", import.meta.url);

class Replay {
  readonly #house: RealHouse;
  readonly #limits: OutboxLimits;
  /** Sessions by name, made when first named. */
  readonly #boxes = new Map<string, RealBox>();
  readonly #told = new Map<string, number>();

  constructor({ limits, maxHeldBytes }: Trace) {
    this.#house = new RealHouse(maxHeldBytes ?? 0);
    this.#limits = { ...LIMITS, ...limits };
  }

  /** Steps: "turn" · "look" · "wait MS" · "S: push LANE NAME BYTES [key K]" · "S: takes BYTES" · "S: drains BYTES". */
  run(step: string): string[] {
    const [first = "", ...words] = step.split(" ");
    if (first === "turn") this.#house.turn();
    else if (first === "look") this.#house.flusher.look();
    else if (first === "wait") this.#house.now += number(words[0]);
    else this.#toSession(this.#box(first.replace(":", "")), words);
    return [...this.#boxes].flatMap(([name, { happenings }]) => {
      const from = this.#told.get(name) ?? 0;
      this.#told.set(name, happenings.length);
      return happenings.slice(from).map((happening) => `${name}: ${inWords(happening)}`);
    });
  }

  drops(): Record<string, string> {
    return Object.fromEntries(
      [...this.#boxes].flatMap(([name, box]) =>
        [...box.drops()].map(([drop, { frames, bytes }]) => [`${name}: ${drop}`, `${frames} of ${bytes} B`])
      ),
    );
  }

  #toSession(box: RealBox, [verb, ...words]: readonly string[]): void {
    if (verb === "push") {
      const [lane, name = "", bytes, , key] = words;
      box.push({ name, lane: laneOf(lane), bytes: number(bytes), key: key === undefined ? 0 : number(key) });
    } else if (verb === "takes") box.socket.takes = number(words[0]);
    else if (verb === "drains") {
      box.socket.waiting = Math.max(0, box.socket.waiting - number(words[0]));
      if (box.socket.waiting === 0) box.outbox.drained();
    } else assert.fail(`no such step: ${verb}`);
  }

  #box(name: string): RealBox {
    let box = this.#boxes.get(name);
    if (box === undefined) this.#boxes.set(name, box = new RealBox(this.#house, this.#limits));
    return box;
  }
}

function number(word: string | undefined): number {
  const value = word === "everything" ? Number.POSITIVE_INFINITY : Number(word);
  assert.ok(value >= 0, `no number: ${word}`);
  return value;
}

function laneOf(word: string | undefined): Lane {
  const lane = (LANE_NAMES as readonly (string | undefined)[]).indexOf(word);
  assert.ok(lane >= LANE.control, `no lane: ${word}`);
  return lane as Lane;
}

function inWords(happening: Happening): string {
  if ("tooSlow" in happening) return `too slow, ${happening.tooSlow}`;
  if ("wrote" in happening) {
    return `writes ${happening.wrote.join(", ")}; ${happening.waiting} B wait in the socket`;
  }
  const { gap, dropped, bytes, since_ms } = happening;
  return `is told of a gap: ${gap}, ${dropped} dropped, ${bytes} B, since ${since_ms} ms`;
}

const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json")).sort();

test("There are traces to replay", () => assert.ok(files.length >= 9));

for (const file of files) {
  const trace: Trace = JSON.parse(readFileSync(new URL(file, FOLDER), "utf8"));
  test(`${trace.title} (${file})`, () => {
    assert.ok(trace.why.length > 0 && trace.steps.some(({ then }) => then !== undefined));
    const replay = new Replay(trace);
    for (const [i, step] of trace.steps.entries()) {
      assert.deepEqual(replay.run(step.do), step.then ?? [], `step ${i + 1}: ${step.do}`);
    }
    assert.deepEqual(replay.drops(), trace.drops);
  });
}
