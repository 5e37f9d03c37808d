// What the library promises of a network that loses things, kept naively: what a client hears of a room is what a listener
// hears who never left it, in order, nothing twice, and nothing missing that `gap` does not tell; what it sends is published
// at most once, in its order, and exactly once where it was told so.

import { strict as assert } from "node:assert";
import { Client, type WsPrismError } from "../../clients/typescript/src/mod.ts";
import { type Client as Peer, House } from "../session/house.ts";
import { FakeClock } from "./fake_clock.ts";
import { BREAKS, HouseNetwork } from "./house_network.ts";

export const MODES = ["resume", "history", "both"] as const;
export type Mode = typeof MODES[number];

const RESUME = "resume: { window_ms: 10000, max_messages: 25, max_bytes: 1048576 }";
const HISTORY = 'rooms: [{ match: "*", history: { max_messages: 25, max_age_ms: 3600000 } }]';
const POLICY =
  'policy: { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 1000000, rate_limit_burst: 1000000 }';
const TENANTS: Readonly<Record<Mode, readonly string[]>> = {
  resume: [RESUME, POLICY],
  history: [HISTORY, POLICY],
  both: [RESUME, HISTORY, POLICY],
};

/** What can happen, each with a number for how much of it. */
export const STEPS = ["speak", "send", "up", "down", "turn", "break", "wait", "away"] as const;
export type History = readonly (readonly [typeof STEPS[number], number])[];

/** What histories together came across, so that a test can see that they met everything. */
export class Tally {
  heard = 0;
  links = 0;
  readonly met: Record<string, number> = {};

  meet(what: string): void {
    this.met[what] = (this.met[what] ?? 0) + 1;
  }
}

export async function houseFor(mode: Mode): Promise<House> {
  return await new House({ tenant: TENANTS[mode] }).start();
}

/** Lets everything happen that a history says, and checks the promises. */
export async function live(house: House, name: string, history: History, tally: Tally): Promise<void> {
  const world = new World(house, name, tally);
  await world.begin();
  for (const [step, amount] of history) await world.step(step, amount);
  await world.end();
}

class World {
  readonly #house: House;
  readonly #name: string;
  readonly #tally: Tally;
  readonly #clock = new FakeClock();
  readonly #network: HouseNetwork;
  readonly #client: Client;
  readonly #listener: Peer;
  #spoken = 0;
  /** What was said in the room since the client came. */
  readonly #truth: string[] = [];
  /** What the client heard, null for a gap. */
  readonly #heard: (string | null)[] = [];
  /** What became of what the client sent; null for nothing yet. */
  readonly #fates: (string | null)[] = [];

  constructor(house: House, name: string, tally: Tally) {
    this.#house = house;
    this.#name = name;
    this.#tally = tally;
    this.#network = new HouseNetwork(house);
    this.#listener = house.connect(`l${name}`);
    this.#listener.join(name);
    this.#client = new Client("ws://gateway", {
      tenant: "acme",
      ticket: `dev:c${name}`,
      transport: this.#network,
      clock: this.#clock,
      random: () => 0.5,
      backoff: { baseMs: 200, maxMs: 1000 },
      outbox: { max: 20, ttlMs: 5000 },
      page: null,
    });
    this.#client.status.subscribe((status) =>
      tally.meet(status.state === "connected" && status.resumed ? "resumed" : status.state)
    );
  }

  async begin(): Promise<void> {
    const joining = this.#client.join<{ msg: { msg: string } }>(this.#name).then((room) => {
      room.on("msg", ({ msg }) => this.#heard.push(msg));
      room.on("gap", ({ reason }) => {
        this.#tally.meet(reason);
        this.#heard.push(null);
      });
      room.on("left", (error) => assert.fail(String(error)));
      return room;
    });
    await this.#flow();
    this.#send = ((room) => (msg: string) => room.send("send", { msg }))(await joining);
  }

  #send: (msg: string) => Promise<unknown> = () => assert.fail("not joined");

  async step(step: typeof STEPS[number], amount: number): Promise<void> {
    switch (step) {
      case "speak":
        return this.#speak(amount);
      case "send":
        for (let i = 0; i < amount; i++) this.#say();
        return;
      case "up":
        return this.#network.up(amount);
      case "down":
        this.#network.down(amount);
        return await this.#pass(0);
      case "turn":
        return this.#turn();
      case "break":
        this.#network.break(BREAKS[amount % 3]!);
        return await this.#pass(0);
      case "wait":
        return await this.#pass(amount * 40);
      case "away":
        return await this.#pass(amount * 700);
    }
  }

  /** Everything that can still arrive does, and is compared. */
  async end(): Promise<void> {
    // A link that is dead without a word is found, and what is sent has its answer, or no time left for one.
    for (let i = 0; i < 40; i++) await this.#flow(1000);
    assert.equal(this.#client.status.get().state, "connected");
    this.#speak(1);
    await this.#flow();
    this.#compare();
    this.#tally.heard += this.#heard.length;
    this.#tally.links += this.#network.opened;
    const gone = this.#client.dispose();
    await this.#flow();
    this.#network.break("both");
    await gone;
    assert.equal(this.#clock.waiting, 0, "a timer is left");
    this.#listener.gone(1000);
    this.#turn();
  }

  #speak(amount: number): void {
    for (let i = 0; i < amount; i++) {
      this.#listener.tell("chat", "send", { room: this.#name, data: { msg: `l${this.#spoken++}` } });
    }
  }

  #say(): void {
    const at = this.#fates.push(null) - 1;
    this.#send(`c${at}`).then(
      () => this.#fates[at] = "sent",
      (error: WsPrismError) => this.#fates[at] = error.code,
    );
  }

  async #flow(ms = 0): Promise<void> {
    for (let i = 0; i < 6; i++) {
      await this.#pass(i === 0 ? ms : 0);
      this.#network.up(1000);
      this.#turn();
      this.#network.down(1000);
    }
    await this.#pass(1);
  }

  async #pass(ms: number): Promise<void> {
    // It is there the whole time, and answers pings.
    this.#listener.handler.pong();
    this.#house.clock.advance(ms);
    await this.#clock.pass(ms);
    this.#turn();
  }

  #turn(): void {
    this.#house.turn();
    for (const said of this.#listener.link.read() as { type: string; data: { msg: string } }[]) {
      if (said.type === "msg") this.#truth.push(said.data.msg);
    }
  }

  #compare(): void {
    const truth = this.#truth;
    let last: number | undefined;
    let isGap = false;
    for (const msg of this.#heard) {
      if (msg === null) {
        isGap = true;
        continue;
      }
      const at = truth.indexOf(msg);
      assert.ok(at >= 0, `${msg} was never said`);
      if (last === undefined ? !isGap : !isGap) {
        assert.equal(at, (last ?? -1) + 1, `${msg} after ${truth[last ?? -1]}`);
      } else assert.ok(at > (last ?? -1), `${msg} again, or late`);
      last = at;
      isGap = false;
    }
    assert.equal(last, truth.length - 1, "the last was not heard");
    const own = truth.filter((msg) => msg.startsWith("c")).map((msg) => Number(msg.slice(1)));
    own.forEach((number, i) => assert.ok(i === 0 || number > own[i - 1]!, `c${number} after c${own[i - 1]}`));
    this.#fates.forEach((fate, number) => {
      assert.ok(fate !== null, `nobody was told of c${number}`);
      this.#tally.meet(fate);
      const isSaid = own.includes(number);
      if (fate === "sent") assert.ok(isSaid, `c${number} is said to be sent`);
      else if (fate !== "CONNECTION_LOST" && fate !== "TIMEOUT") assert.ok(!isSaid, `c${number}: ${fate}`);
    });
  }
}
