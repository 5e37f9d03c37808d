// The scenarios of tests/vectors/recovery.json through the client library, which is told nothing of them: its network is cut
// where they say so, and is there again when they connect.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket as WsWebSocket } from "ws";
import { Client, type Room, webSocket, type WebSocketLike } from "../../clients/typescript/src/mod.ts";
import type { Link, LinkHandler, LinkRequest, Transport } from "../../clients/typescript/src/transport.ts";
import { lastly, sharedGateway, until } from "./gateway_process.ts";
import { SCENARIOS, type Step } from "./recovery_scenarios.ts";

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [{
    id: "acme",
    resume: { window_ms: 1000, max_messages: 10 },
    policy: { ext_allowlist: ["room:*", "chat:*"] },
  }],
});

/** How many chat messages come to somebody: the library cannot unhear, and so what is unheard later does not come at first. */
function hearable(steps: readonly Step[], who: string): number {
  const own = steps.filter((step) => step.who === who),
    at = own.findIndex(({ unhear }) => unhear !== undefined);
  if (at < 0) return Infinity;
  return own.slice(0, at).reduce((sum, { hear }) => sum + (hear?.length ?? 0), 0) - own[at]!.unhear!;
}

/** A network between one client and the gateway. */
class Network implements Transport {
  /** Chat messages that still come through; what comes behind them is lost, and all else that comes later. */
  hears = Infinity;
  pongs = 0;
  readonly #sockets: WsWebSocket[] = [];
  readonly #inner: Transport;
  #isThere = false;
  #waiting: (() => void)[] = [];
  #events: LinkHandler | null = null;

  constructor() {
    const sockets = this.#sockets;
    class Kept extends WsWebSocket {
      constructor(...given: ConstructorParameters<typeof WsWebSocket>) {
        super(...given);
        sockets.push(this);
      }
    }
    this.#inner = webSocket({ WebSocket: Kept as unknown as WebSocketLike });
  }

  open(request: LinkRequest, events: LinkHandler): Link {
    let link: Link | null = null, isOver = false;
    this.#events = events;
    const open = () => {
      if (isOver) return;
      link = this.#inner.open(request, {
        ...events,
        message: (message) => {
          const { svc, type } = JSON.parse(String(message));
          if (svc === "sys" && type === "pong") this.pongs++;
          if (this.hears <= 0) return;
          if (svc === "chat" && type === "msg") this.hears--;
          events.message(message);
        },
      });
    };
    if (this.#isThere) open();
    else this.#waiting.push(open);
    return {
      send: (bytes) => link!.send(bytes),
      close: (code) => {
        isOver = true;
        link?.close(code);
      },
      get buffered() {
        return link?.buffered ?? 0;
      },
    };
  }

  /** It is there from now on. */
  come(): void {
    this.#isThere = true;
    for (const open of this.#waiting.splice(0)) open();
  }

  /** Ends what is there without a word. */
  cut(): void {
    this.#isThere = false;
    this.hears = Infinity;
    this.#sockets.at(-1)?.terminate();
  }

  /** Only the client notices. */
  lose(): void {
    this.#isThere = false;
    this.#events!.close(1006, "");
  }
}

interface Chat {
  msg: { msg: string };
}

class Person {
  readonly network = new Network();
  readonly client: Client;
  readonly heard: string[] = [];
  gaps = 0;
  room: Room<Chat> | null = null;
  /** Says that the client is looked at again: what it does then is to ask whether the gateway is there. */
  look = () => {};

  constructor(user: string) {
    this.client = new Client(gateway.origin, {
      tenant: "acme",
      ticket: `dev:${user}`,
      transport: this.network,
      backoff: { baseMs: 1, maxMs: 5 },
      outbox: true,
      page: (connection) => {
        this.look = () => connection.wake(false);
        return () => {};
      },
    });
  }

  get status() {
    return this.client.status.get();
  }

  async enter(name: string): Promise<void> {
    this.room = await this.client.join<Chat>(name);
    this.room.on("msg", ({ msg }) => void this.heard.push(msg));
    this.room.on("gap", () => void this.gaps++);
  }
}

SCENARIOS.forEach(({ name, steps }, number) => {
  test(name, async () => {
    const people = new Map<string, Person>();
    const heard = new Map<string, number>();
    const later: Promise<unknown>[] = [];
    for (const [at, step] of steps.entries()) {
      const { who = "" } = step, said = JSON.stringify(step);
      if (step.wait_ms !== undefined) await new Promise((resolve) => setTimeout(resolve, step.wait_ms));
      if (who === "") continue;
      let person = people.get(who);
      if (person === undefined) {
        people.set(who, person = new Person(`${who}-${number}`));
        person.network.hears = hearable(steps, who);
      }
      const { client, network } = person;
      const lost = steps.slice(at + 1).find((next) =>
        next.who === who && (next.hear ?? next.unhear) !== undefined
      );
      const unheard = step.hear === undefined ? 0 : lost?.unhear ?? 0;
      if (step.connect !== undefined) {
        const isBack = person.room !== null || step.connect === "resumed";
        if (step.connect === "resumed" && person.status.state === "connected") network.lose();
        network.come();
        await (isBack ? until(said, () => person.status.state === "connected" || null) : client.connect());
        const { status } = person;
        assert.ok(status.state === "connected", said);
        // Without its session it begins anew, for it always has a ticket, and its rooms say what that means.
        assert.equal(status.resumed, step.connect === "resumed", said);
        if (step.connect === "refused" && person.room !== null) {
          await until("a gap", () => person.gaps === 1 || null);
        } else assert.equal(person.gaps, 0, said);
      }
      if (step.join !== undefined) await person.enter(`${step.join}-${number}`);
      for (const msg of step.say ?? []) await person.room!.send("send", { msg });
      for (const msg of step.sayLater ?? []) later.push(person.room!.send("send", { msg }));
      if (step.hear !== undefined) {
        const from = heard.get(who) ?? 0;
        const expected = step.hear.slice(0, step.hear.length - unheard);
        await until(said, () => person.heard.length >= from + expected.length || null);
        assert.deepEqual(person.heard.slice(from), expected, said);
        heard.set(who, from + expected.length);
      }
      if (step.ping !== undefined) {
        const { pongs } = network;
        person.look();
        await until(said, () => network.pongs > pongs || null);
      }
      if (step.cut) {
        network.cut();
        await until(said, () => person.status.state === "reconnecting" || null);
      }
      if (step.close !== undefined) await client.close();
    }
    await Promise.all(later);
    for (const { client } of people.values()) await client.dispose();
  });
});

lastly(gateway);
