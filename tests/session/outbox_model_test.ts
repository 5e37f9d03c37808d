import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { LANE, type Lane, LANE_NAMES } from "../../src/protocol/frame.ts";
import type { OutboxLimits } from "../../src/session/outbox_limits.ts";
import { ModelHouse, ModelOutbox } from "./outbox_model.ts";
import { RealBox, RealHouse } from "./outbox_script.ts";

type Op =
  | {
    readonly op: "push";
    readonly box: number;
    readonly lane: Lane;
    readonly bytes: number;
    readonly key: number;
  }
  | { readonly op: "turn" | "look" }
  | { readonly op: "tick"; readonly ms: number }
  /** From now on the kernel takes so many bytes before the rest waits. */
  | { readonly op: "takes"; readonly box: number; readonly bytes: number }
  /** The kernel takes so many of the bytes that wait. */
  | { readonly op: "drain"; readonly box: number; readonly bytes: number }
  | { readonly op: "shed" | "discard"; readonly box: number }
  | { readonly op: "finish"; readonly box: number; readonly reliable: boolean };

const size = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 40 }) },
  { weight: 6, arbitrary: fc.integer({ min: 100, max: 3000 }) },
  { weight: 3, arbitrary: fc.integer({ min: 15_000, max: 70_000 }) },
  // What fills a write, a turn and a watermark exactly.
  { weight: 3, arbitrary: fc.constantFrom(1024, 32_768, 65_536, 65_536, 131_072) },
  { weight: 1, arbitrary: fc.integer({ min: 100_000, max: 600_000 }) },
);

function opsOn(boxes: number): fc.Arbitrary<Op> {
  const box = fc.nat(boxes - 1);
  return fc.oneof(
    {
      weight: 60,
      arbitrary: fc.record({
        op: fc.constant("push" as const),
        box,
        lane: fc.constantFrom(LANE.control, LANE.reliable, LANE.latest, LANE.latest, LANE.lossy, LANE.lossy),
        bytes: size,
        key: fc.nat(4),
      }),
    },
    { weight: 20, arbitrary: fc.constant<Op>({ op: "turn" }) },
    { weight: 8, arbitrary: fc.constant<Op>({ op: "look" }) },
    {
      weight: 9,
      arbitrary: fc.record({ op: fc.constant("tick" as const), ms: fc.constantFrom(1, 20, 100, 400, 1000) }),
    },
    {
      weight: 9,
      arbitrary: fc.record({
        op: fc.constant("takes" as const),
        box,
        bytes: fc.constantFrom(0, 0, 0, 0, 500, 70_000, Number.POSITIVE_INFINITY),
      }),
    },
    {
      weight: 12,
      arbitrary: fc.record({
        op: fc.constant("drain" as const),
        box,
        bytes: fc.oneof(
          fc.integer({ min: 1, max: 2000 }),
          fc.constant(Number.POSITIVE_INFINITY),
          fc.constant(Number.POSITIVE_INFINITY),
        ),
      }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant("shed" as const), box }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant("discard" as const), box }) },
    {
      weight: 1,
      arbitrary: fc.record({ op: fc.constant("finish" as const), box, reliable: fc.boolean() }),
    },
  );
}

const limits: fc.Arbitrary<OutboxLimits> = fc.record({
  reliableBytes: fc.constantFrom(300, 5000, 66_000, 400_000, 1_048_576),
  reliableMessages: fc.constantFrom(1, 3, 20, 4096),
  latestBytes: fc.constantFrom(50, 4000, 70_000, 262_144),
  latestAgeMs: fc.constantFrom(0, 0, 100, 400),
  lossyBytes: fc.constantFrom(50, 4000, 70_000, 400_000),
  lossyAgeMs: fc.constantFrom(0, 0, 100, 400),
  lossyDropsOldest: fc.boolean(),
  sendTimeoutMs: fc.constantFrom(50, 500, 1500),
  watermarkBytes: fc.constantFrom(0, 1024, 65_536, 200_000),
});

/** Sessions, and what happens to them. */
function scenario(boxes: number) {
  return fc.record({
    limits: fc.array(limits, { minLength: boxes, maxLength: boxes }),
    maxHeldBytes: fc.constantFrom(0, 0, 3000, 150_000),
    script: fc.array(opsOn(boxes), { minLength: 1, maxLength: 120, size: "max" }),
  });
}

/** A real outbox and its model under one script. */
class Pair {
  readonly real: RealBox;
  readonly model: ModelOutbox;
  readonly limits: OutboxLimits;
  #compared = 0;

  constructor(house: RealHouse, modelHouse: ModelHouse, limits: OutboxLimits) {
    this.real = new RealBox(house, limits);
    this.model = new ModelOutbox(modelHouse, limits);
    this.limits = limits;
  }

  drain(bytes: number): void {
    const { socket } = this.real;
    if (socket.waiting === 0) return;
    const left = Math.max(0, socket.waiting - bytes);
    socket.waiting = this.model.socket.waiting = left;
    if (left > 0) return;
    this.real.outbox.drained();
    this.model.drained();
  }

  same(): void {
    const { real, model } = this;
    assert.equal(real.happenings.length, model.happenings.length);
    assert.deepEqual(real.happenings.slice(this.#compared), model.happenings.slice(this.#compared));
    this.#compared = real.happenings.length;
    assert.deepEqual([...real.drops()].sort(), [...model.drops].sort());
    assert.equal(real.metrics.conflated, model.conflated.length);
    assert.equal(real.outbox.bytes, model.bytes());
    assert.equal(real.outbox.heldBytes, model.heldBytes());
    this.#keepsBounds();
  }

  /** What holds whatever the model says, in case both are wrong. */
  keepsPromises(): void {
    const { real, model } = this;
    const lost = [...real.drops().values()].reduce((sum, { bytes }) => sum + bytes, 0);
    const conflated = model.conflated.reduce((sum, name) => sum + bytesOf(name), 0);
    assert.equal(
      real.pushedBytes,
      real.writtenBytes + lost + conflated + real.outbox.bytes,
      "bytes went astray",
    );
    for (const [lane, { messages, bytes }] of real.metrics.out.entries()) {
      const written = model.written.filter((name) => laneOf(name) === lane);
      assert.equal(messages, written.length);
      assert.equal(bytes, written.reduce((sum, name) => sum + bytesOf(name), 0));
    }
    const fates = [...model.written, ...model.dropped, ...model.conflated, ...model.waitingNames()];
    assert.deepEqual(fates.sort(), [...model.pushed].sort(), "each frame has one fate");
    this.#writesInOrder();
  }

  #keepsBounds(): void {
    const { real, model, limits } = this;
    if (model.state !== "open") return;
    const lost = ["control", "reliable"].filter((lane) =>
      [...real.drops().keys()].some((drop) => drop.startsWith(lane))
    );
    assert.deepEqual(lost, [], "lost without the session's end");
    assert.ok(model.bytes(LANE.lossy) <= limits.lossyBytes, "the lossy lane is over its bound");
    assert.ok(model.bytes(LANE.latest) <= limits.latestBytes, "the latest lane is over its bound");
    assert.ok(model.bytes(LANE.reliable) <= limits.reliableBytes, "the reliable lane is over its bound");
    assert.ok(model.bytes(LANE.control) <= limits.reliableBytes, "the control lane is over its bound");
  }

  /** Lanes in strict order within a write, frames of a lane in the order of their pushes. */
  #writesInOrder(): void {
    const lastOf = new Map<string, number>();
    for (const happening of this.real.happenings) {
      if (!("wrote" in happening)) continue;
      const lanes = happening.wrote.map((name) => laneOf(name));
      assert.deepEqual(lanes, [...lanes].sort(), "lanes out of order");
      for (const name of happening.wrote) {
        const [lane, number] = name.split(" ");
        if (lane === "gap" || lane === "error" || lane === "latest") continue;
        assert.ok(Number(number) > (lastOf.get(lane!) ?? 0), `${name} was overtaken in its lane`);
        lastOf.set(lane!, Number(number));
      }
      assert.ok(
        happening.wrote.length === 1 ||
          happening.wrote.reduce((sum, name) => sum + bytesOf(name), 0) <= 16_384,
        "more than 16 KiB in one write",
      );
    }
  }
}

/** A frame's name tells its lane, its number and its bytes; the gateway's own words have fixed sizes. */
function bytesOf(name: string): number {
  if (name.startsWith("gap")) return 120;
  return name.startsWith("error") ? 150 : Number(name.split(" ")[2]);
}

function laneOf(name: string): number {
  return Math.max(0, (LANE_NAMES as readonly string[]).indexOf(name.split(" ")[0]!));
}

class Scene {
  readonly house: RealHouse;
  readonly model: ModelHouse;
  readonly pairs: Pair[];
  #pushes = 0;

  constructor(limits: readonly OutboxLimits[], maxHeldBytes: number) {
    this.house = new RealHouse(maxHeldBytes);
    this.model = new ModelHouse(maxHeldBytes);
    this.pairs = limits.map((limits) => new Pair(this.house, this.model, limits));
  }

  run(op: Op): void {
    switch (op.op) {
      case "push": {
        const { real, model } = this.pairs[op.box]!;
        const { lane, bytes, key } = op;
        const frame = { name: `${LANE_NAMES[lane]} ${++this.#pushes} ${bytes}`, lane, bytes, key };
        real.push(frame);
        model.push(frame);
        break;
      }
      case "turn":
        this.house.turn();
        this.model.turn();
        break;
      case "look":
        this.house.flusher.look();
        this.model.look();
        break;
      case "tick":
        this.house.now = this.model.now += op.ms;
        break;
      case "takes":
        this.pairs[op.box]!.real.socket.takes = this.pairs[op.box]!.model.socket.takes = op.bytes;
        break;
      case "drain":
        this.pairs[op.box]!.drain(op.bytes);
        break;
      case "shed":
        this.pairs[op.box]!.real.outbox.shed();
        this.pairs[op.box]!.model.shed();
        break;
      case "discard":
        this.pairs[op.box]!.real.discard();
        this.pairs[op.box]!.model.discard();
        break;
      case "finish":
        this.pairs[op.box]!.real.finish(op.reliable);
        this.pairs[op.box]!.model.finish(op.reliable);
    }
  }

  same(): void {
    for (const pair of this.pairs) pair.same();
    assert.equal(this.house.flusher.heldBytes, this.model.heldBytes());
    const held = this.pairs.reduce((sum, { real }) => sum + real.outbox.heldBytes, 0);
    assert.equal(this.house.flusher.heldBytes, held);
    assert.equal(this.house.flusher.watchedCount, this.model.watched.length);
  }

  /** Every socket takes all there is, and time passes until nobody has anything left to say. */
  settle(): void {
    const then = (op: Op) => {
      this.run(op);
      this.same();
    };
    for (let box = 0; box < this.pairs.length; box++) {
      then({ op: "takes", box, bytes: Number.POSITIVE_INFINITY });
    }
    for (let round = 0; round < 20; round++) {
      for (let box = 0; box < this.pairs.length; box++) {
        then({ op: "drain", box, bytes: Number.POSITIVE_INFINITY });
      }
      then({ op: "turn" });
      then({ op: "tick", ms: 1000 });
      then({ op: "look" });
    }
    assert.equal(this.house.flusher.heldBytes, 0);
    assert.equal(this.house.flusher.watchedCount, 0);
    for (const { real, model } of this.pairs) {
      assert.equal(real.outbox.bytes, 0);
      if (model.state !== "open") continue;
      for (const lane of ["latest", "lossy"]) {
        let dropped = 0, told = 0;
        for (const [name, { frames }] of real.drops()) if (name.startsWith(lane)) dropped += frames;
        for (const word of real.happenings) if ("gap" in word && word.gap === lane) told += word.dropped;
        assert.equal(told, dropped, `every frame dropped of ${lane} is told of in the end`);
      }
    }
  }
}

/** The word on a gap comes to a control lane that is almost full, and that the socket takes no further. */
function crowdedControl(takes: number): { limits: OutboxLimits[]; maxHeldBytes: number; script: Op[] } {
  const push = (lane: Lane, bytes: number): Op => ({ op: "push", box: 0, lane, bytes, key: 0 });
  const limits: OutboxLimits = {
    reliableBytes: 66_000,
    reliableMessages: 4096,
    latestBytes: 50,
    latestAgeMs: 0,
    lossyBytes: 50,
    lossyAgeMs: 50,
    lossyDropsOldest: true,
    sendTimeoutMs: 500,
    watermarkBytes: 0,
  };
  const script: Op[] = [
    push(LANE.lossy, 1),
    { op: "tick", ms: 100 },
    { op: "turn" },
    { op: "takes", box: 0, bytes: takes },
    push(LANE.control, 40_000),
    push(LANE.control, 25_950),
    { op: "turn" },
    { op: "turn" },
    push(LANE.lossy, 1),
    { op: "tick", ms: 500 },
    { op: "look" },
  ];
  return { limits: [limits], maxHeldBytes: 0, script };
}

/** A turn's share and one write more wait for a socket that takes everything. */
function moreThanATurn(): { limits: OutboxLimits[]; maxHeldBytes: number; script: Op[] } {
  const [limits] = crowdedControl(0).limits;
  const push: Op = { op: "push", box: 0, lane: LANE.lossy, bytes: 65_536, key: 0 };
  return {
    limits: [{ ...limits!, lossyBytes: 400_000 }],
    maxHeldBytes: 0,
    script: [push, push, push, push, push, { op: "turn" }, { op: "turn" }],
  };
}

const CORNERS = [crowdedControl(0), crowdedControl(30_000), crowdedControl(65_000), moreThanATurn()];

for (
  const [boxes, whose] of [[1, "An outbox does"], [2, "Two outboxes do"], [3, "Three outboxes do"]] as const
) {
  test(`${whose} byte for byte what the naive model does, whatever is pushed, taken, and when`, () => {
    fc.assert(
      fc.property(scenario(boxes), ({ limits, maxHeldBytes, script }) => {
        const scene = new Scene(limits, maxHeldBytes);
        for (const op of script) {
          scene.run(op);
          scene.same();
        }
        for (const pair of scene.pairs) pair.keepsPromises();
        scene.settle();
        for (const pair of scene.pairs) pair.keepsPromises();
      }),
      {
        numRuns: 600 / boxes,
        examples: boxes === 1 ? CORNERS.map((corner) => [corner] as [typeof corner]) : [],
      },
    );
  });
}
