// Two users of the client library, one of them behind a network that is cut anywhere, in the middle of frames and of
// handshakes. A program as well as a module, so that it can run where no test runner is.

import assert from "node:assert/strict";
import process from "node:process";
import { WebSocket as WsWebSocket } from "ws";
import {
  Client,
  type ClientOptions,
  type Room,
  webSocket,
  type WebSocketLike,
} from "../../clients/typescript/src/mod.ts";
import { sse } from "../../clients/typescript/src/sse.ts";
import { within } from "../raw_client.ts";
import { CuttingProxy } from "./cutting_proxy.ts";

export interface RecoveryRun {
  /** The gateway's. */
  readonly origin: string;
  readonly tenant: string;
  readonly seed: number;
  /** Messages of each user, and cuts, at the least. */
  readonly messages: number;
  readonly cuts: number;
  /** By plain HTTP. */
  readonly sse?: boolean;
}

interface Chat {
  msg: { msg: string };
}

/** The same numbers in every run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

class User {
  readonly client: Client;
  readonly heard: string[] = [];
  readonly gaps: string[] = [];
  room: Room<Chat> | null = null;
  #wake = () => {};

  constructor(url: string, run: RecoveryRun, name: string) {
    const { tenant, seed } = run;
    const own: Partial<ClientOptions> = run.sse
      ? { transport: sse() }
      : globalThis.WebSocket === undefined
      ? { transport: webSocket({ WebSocket: WsWebSocket as unknown as WebSocketLike }) }
      : {};
    this.client = new Client(url, {
      tenant,
      ticket: `dev:${name}-${seed}`,
      backoff: { baseMs: 5, maxMs: 50 },
      outbox: { max: 100_000, ttlMs: 120_000 },
      timeoutMs: 60_000,
      ...own,
    });
  }

  async enter(room: string): Promise<void> {
    const joined = await this.client.join<Chat>(room);
    joined.on("msg", ({ msg }) => {
      this.heard.push(msg);
      this.#wake();
    });
    joined.on("gap", ({ reason }) => this.gaps.push(reason));
    this.room = joined;
  }

  /** Looks again after each message. */
  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds()) await within(new Promise<void>((resolve) => this.#wake = resolve), what, 60_000);
  }
}

/** @returns how often the connection was cut, and how many messages each user said */
export async function recoverByLibrary(run: RecoveryRun): Promise<{ cuts: number; said: number }> {
  const { origin, tenant, seed } = run;
  const random = numbers(seed);
  const proxy = await CuttingProxy.start(origin);
  const ann = new User(proxy.origin, run, "ann"), bob = new User(origin, run, "bob");
  try {
    const name = `cut-${tenant}-${seed}`;
    await bob.enter(name);
    await ann.enter(name);
    const sends: Promise<unknown>[] = [];
    let said = 0;
    while (said < run.messages || proxy.cuts < run.cuts) {
      proxy.cutAfter(random() < 0.5 ? "up" : "down", 1 + Math.floor(random() * 1500));
      for (let i = 0; i < 10; i++) {
        sends.push(ann.room!.send("send", { msg: `a${said}` }), bob.room!.send("send", { msg: `b${said}` }));
        said++;
      }
      if (random() < 0.3) proxy.cut();
      // Nobody falls behind by more than the gateway keeps.
      for (const one of [ann, bob]) await one.until(() => one.heard.length >= 2 * said, "the round");
    }
    proxy.cutAfter("up", Infinity);
    proxy.cutAfter("down", Infinity);
    await Promise.all(sends);
    assert.deepEqual(ann.heard, bob.heard);
    assert.deepEqual([ann.gaps, bob.gaps], [[], []]);
    for (const who of ["a", "b"]) {
      const own = bob.heard.filter((msg) => msg.startsWith(who));
      assert.deepEqual(own, Array.from({ length: said }, (_, i) => `${who}${i}`));
    }
    return { cuts: proxy.cuts, said };
  } finally {
    await Promise.all([ann.client.dispose(), bob.client.dispose()]);
    await proxy.stop();
  }
}

const given = process.argv[2];
if (given?.startsWith('{"origin"')) {
  process.stdout.write(JSON.stringify(await recoverByLibrary(JSON.parse(given) as RecoveryRun)));
}
