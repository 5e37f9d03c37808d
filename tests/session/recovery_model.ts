// The promise of resuming, kept naively: within the window every message arrives once and in order, both ways; beyond it
// the client is told. A history drives one client through a network that loses what is under way, at any moment; what
// everybody should have heard is what a listener heard who never left.

import { strict as assert } from "node:assert";
import { Client, type House } from "./house.ts";

export const WINDOW_MS = 10_000;
export const MESSAGES_MAX = 25;
/** A socket that is stalled is full soon, and then an outbox. */
export const MODEL_GATEWAY = "socket_watermark_bytes: 1024";
export const MODEL_TENANT = [
  "delivery: { reliable: { max_messages: 30 } }",
  `resume: { window_ms: ${WINDOW_MS}, max_messages: ${MESSAGES_MAX}, max_bytes: 1048576 }`,
  'policy: { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 1000000, rate_limit_burst: 1000000 }',
];

/** What can happen, each with a number for how much of it. */
export const STEPS = [
  "speak", // the listener speaks in the room
  "send", // the client sends
  "up", // some of what the client sent arrives
  "down", // some of what the gateway sent arrives
  "cut", // the connection is lost, noticed by the gateway
  "break", // the next write finds the connection dead, inside the call on some runtimes
  "return", // the client comes back, whether the gateway has noticed its loss or not
  "turn", // the gateway's event-loop turn ends
  "stall", // the client's socket takes nothing more
  "flow", // it takes everything again
  "ping", // the client says how far it is
  "pong", // its end answers the gateway's ping
  "wait", // time passes, less than the window
  "away", // time passes, perhaps more than the window
  "kick", // an administrator ends the session
] as const;
export type Step = (typeof STEPS)[number];
export type History = readonly (readonly [Step, number])[];

interface Said {
  readonly type: string;
  readonly seq?: number;
  // deno-lint-ignore no-explicit-any -- a test reads what it expects
  readonly data?: any;
}

/** What histories together came across, so that a test can see that they met everything. */
export class Tally {
  deliveries = 0;
  resumes = 0;
  readonly ends: Record<string, number> = {};
}

/** Lets everything happen that a history says, and checks the promise. */
export async function live(house: House, name: string, history: History, tally: Tally): Promise<void> {
  const world = new World(house, name, tally);
  world.begin();
  for (const [step, amount] of history) {
    await world.step(step, amount);
    if (world.isOver) break;
  }
  await world.settle();
}

class World {
  isOver = false;
  readonly #house: House;
  readonly #name: string;
  readonly #tally: Tally;
  readonly #listener: Client;
  #client: Client | null = null;
  /** Said by the listener so far. */
  #spoken = 0;
  /** What the listener heard since the client joined. */
  readonly #truth: string[] = [];
  /** What the client heard of it. */
  readonly #heard: string[] = [];
  readonly #acks: number[] = [];
  // The client, as the protocol asks of it.
  #token = "";
  #session = "";
  #count = 0;
  /** The number of its first message that the gateway may not have taken, and those from there on. */
  #base = 0;
  #unconfirmed: string[] = [];
  #sent = 0;
  #uplink: string[] = [];
  #greeted = false;
  /** Since when the gateway knows that nobody is there. */
  #goneAt: number | null = null;
  #kicked = false;
  /** The next connection breaks with this write. */
  #breaksAt: number | null = null;
  /** Since when its socket may have taken nothing. */
  #stalledAt: number | null = null;
  /** The most that the gateway can have had to keep: messages since the client last said how far it is. */
  #confirmed = 0;
  #pings = 0;

  constructor(house: House, name: string, tally: Tally) {
    this.#house = house;
    this.#name = name;
    this.#tally = tally;
    this.#listener = house.connect(`l${name}`);
    this.#listener.join(name);
  }

  begin(): void {
    const answer = this.#house.upgrade(`tenant=acme&ticket=dev:c${this.#name}&resume=1`);
    assert.ok("accept" in answer);
    this.#connect(answer.accept);
    this.#house.turn();
    this.#down(1);
    this.#send(
      JSON.stringify({ v: 1, svc: "room", type: "join", room: this.#name, seq: this.#sent, flags: 4 }),
    );
    this.#up(1);
    this.#house.turn();
    this.#down(3);
  }

  async step(step: Step, amount: number): Promise<void> {
    const house = this.#house;
    switch (step) {
      case "speak":
        for (let i = 0; i < amount; i++) {
          this.#listener.tell("chat", "send", { room: this.#name, data: { msg: `l${this.#spoken++}` } });
        }
        return;
      case "send":
        for (let i = 0; i < amount; i++) this.#chat();
        return;
      case "up":
        return this.#up(amount);
      case "down":
        return this.#down(amount);
      case "cut":
        return this.#cut([1006, 1001, 1011][amount % 3]!);
      case "break": {
        // This connection, or the next one, with its first write or one of those after that.
        if (amount > 4) this.#breaksAt = amount - 5;
        else if (this.#client !== null) this.#break(this.#client, amount);
        return;
      }
      case "return":
        return await this.#return();
      case "turn":
        house.turn();
        return this.#listen();
      case "stall":
        if (this.#client !== null) {
          this.#client.link.room = 0;
          this.#stalledAt ??= house.clock.now();
        }
        return;
      case "flow":
        return this.#client?.link.open();
      case "ping":
        if (!this.#greeted) return;
        return this.#send(JSON.stringify({ v: 1, svc: "sys", type: "ping", data: { heard: this.#count } }));
      case "pong":
        if (this.#greeted) this.#client?.handler.pong();
        return;
      case "wait":
        return house.clock.advance(amount * 50);
      case "away":
        return house.clock.advance(amount * WINDOW_MS / 8);
      case "kick": {
        if (amount !== 1) return;
        const kick = { action: "kick", reason: "why not", session: this.#session } as const;
        if (house.gateway.tenant("acme").actions.perform(kick, { svc: "admin", session: null }).ok) {
          this.#kicked = true;
        }
      }
    }
  }

  /** Everything that can still arrive does; then nothing may be missing. */
  async settle(): Promise<void> {
    const house = this.#house;
    for (let i = 0; i < 6 && !this.isOver; i++) {
      if (this.#client === null || this.#client.link.terminated > 0) await this.#return();
      if (this.isOver) break;
      this.#client?.link.open();
      this.#up(1000);
      house.turn();
      house.clock.advance(100);
      house.turn();
      this.#listen();
      this.#down(1000);
    }
    this.#listen();
    this.#listener.gone(1000);
    if (!this.isOver && this.#client !== null) {
      this.#compare();
      assert.deepEqual(this.#heard, this.#truth, "something never arrived");
      assert.equal(this.#unconfirmedChats(), 0, "something was never taken");
      assert.deepEqual(this.#acks, Array.from({ length: this.#sent }, (_, i) => i), "acks");
      this.#client.gone(1000);
    }
    this.#client = null;
  }

  #unconfirmedChats(): number {
    return this.#sent - this.#acks.length;
  }

  #connect(handler: Client["handler"]): void {
    this.#client = new Client(this.#house, handler, "192.0.2.1");
    this.#greeted = false;
    this.#uplink = [];
    if (this.#breaksAt !== null) this.#break(this.#client, this.#breaksAt);
    this.#breaksAt = null;
    handler.open(this.#client.link);
  }

  #break(client: Client, writes: number): void {
    const write = client.link.write.bind(client.link);
    let left = writes;
    client.link.write = (frames, count) => {
      if (left-- > 0) return write(frames, count);
      if (this.#client === client) this.#client = null;
      this.#goneAt ??= this.#house.clock.now();
      client.gone();
      return 0;
    };
  }

  #chat(): void {
    const seq = this.#sent;
    const data = { msg: `c${seq}` };
    this.#send(JSON.stringify({ v: 1, svc: "chat", type: "send", room: this.#name, seq, flags: 4, data }));
  }

  /** A client keeps what it sends until it knows that it was taken. */
  #send(text: string): void {
    if (text.includes('"seq"')) this.#sent++;
    this.#unconfirmed.push(text);
    if (this.#greeted) this.#uplink.push(text);
  }

  #up(amount: number): void {
    if (this.#client === null || this.#client.link.closed !== null) return;
    for (const text of this.#uplink.splice(0, amount)) {
      const heard = /"heard":(\d+)/.exec(text);
      if (heard !== null) this.#pings++;
      if (heard !== null) this.#confirmed = Math.max(this.#confirmed, Number(heard[1]));
      this.#client.handler.text(text);
      if (this.#client === null) return;
    }
  }

  #down(amount: number): void {
    if (this.#client === null) return;
    for (const payload of this.#client.link.got.splice(0, amount)) {
      const said = JSON.parse(payload as string) as Said;
      this.#tally.deliveries++;
      if (!this.#greeted && said.type === "error") {
        // It ended in the moment of its return; the next one is told why.
        this.#goneAt ??= this.#house.clock.now();
        return this.#cut(1006);
      }
      if (!this.#greeted) this.#greet(said);
      else {
        this.#count++;
        this.#hear(said);
      }
    }
    this.#compare();
    const { closed } = this.#client.link;
    if (closed !== null && closed.code !== 4003 && this.#client.link.got.length === 0) {
      this.#ended(`close ${closed.code}`);
    }
  }

  #greet({ type, data }: Said): void {
    assert.ok(type === "authed" || type === "resumed", `greeted with ${type}`);
    this.#greeted = true;
    this.#token = data.resume.token;
    this.#session = data.session;
    if (type === "resumed") {
      this.#tally.resumes++;
      const taken = data.heard - this.#base;
      assert.ok(taken >= 0 && taken <= this.#unconfirmed.length, `it has taken ${data.heard}`);
      this.#unconfirmed.splice(0, taken);
      this.#base = data.heard;
    }
    this.#uplink = [...this.#unconfirmed];
  }

  #hear({ type, seq, data }: Said): void {
    if (type === "msg") this.#heard.push(data.msg);
    else if (type === "ack") this.#acks.push(seq!);
    else if (type === "pong") {
      // One that was said again may be older than what the greeting said.
      if (data.heard <= this.#base) return;
      this.#unconfirmed.splice(0, data.heard - this.#base);
      this.#base = data.heard;
    } else if (type === "error") assert.ok(this.#client?.link.closed, JSON.stringify(data));
  }

  #cut(code: number): void {
    if (this.#client === null) return;
    const client = this.#client;
    this.#client = null;
    if (this.#goneAt === null) this.#goneAt = this.#house.clock.now();
    client.gone(code);
    const closed = client.link.closed?.code ?? null;
    if (closed !== null && closed !== 4003) this.#ended(`close ${closed}`);
  }

  async #return(): Promise<void> {
    const query = `tenant=acme&resume=${this.#token}&heard=${this.#count}`;
    const answer = await this.#house.knock(query);
    const former = this.#client;
    if ("refuse" in answer) {
      const { status, body } = answer.refuse;
      assert.equal(status, 401, body);
      return this.#ended((JSON.parse(body) as { msg: string }).msg);
    }
    this.#goneAt = null;
    this.#connect(answer.accept);
    if (former !== null) former.gone();
  }

  #listen(): void {
    for (const said of this.#listener.link.read() as Said[]) {
      if (said.type === "msg") this.#truth.push(said.data.msg);
    }
  }

  /** What the client heard is what the listener heard, from the first on. */
  #compare(): void {
    this.#listen();
    const { length } = this.#heard;
    for (let i = 0; i < length; i++) {
      if (this.#heard[i] !== this.#truth[i] && this.#truth[i] !== undefined) {
        assert.fail(`message ${i} is ${this.#heard[i]}, not ${this.#truth[i]}`);
      }
    }
    const own = this.#truth.filter((msg) => msg.startsWith("c"));
    own.forEach((msg, i) => assert.equal(msg, `c${i + 1}`, "what the client sent arrived otherwise"));
  }

  /** The session is gone, and the client knows: was that right? */
  #ended(reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#tally.ends[reason] = (this.#tally.ends[reason] ?? 0) + 1;
    this.#client?.gone();
    this.#client = null;
    this.#compare();
    const away = this.#goneAt === null ? 0 : this.#house.clock.now() - this.#goneAt;
    if (this.#kicked && (reason === "ended" || reason === "close 4501")) return;
    if (reason === "expired") return assert.ok(away >= WINDOW_MS, `expired after ${away} ms`);
    // Everything that it has not said it has heard may have had to be kept.
    // And a socket that takes nothing for too long ends its session too.
    const due = this.#spoken + 2 * this.#sent + this.#pings - this.#confirmed;
    if (reason === "overflow" || reason === "close 4000") {
      return assert.ok(
        due > MESSAGES_MAX || this.#stalledAt !== null,
        `overflow with ${due} messages at most`,
      );
    }
    // The reason is kept for a window.
    if (reason === "unknown") {
      const since = Math.min(this.#goneAt ?? Infinity, this.#stalledAt ?? Infinity);
      const known = this.#kicked || this.#house.clock.now() - since >= 60_000;
      return assert.ok(known, `unknown after ${away} ms`);
    }
    assert.fail(`ended by ${reason}`);
  }
}
