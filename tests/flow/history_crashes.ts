// Crashes of a gateway whose rooms are kept on disk, under load, and what must be true after each of them.

import assert from "node:assert/strict";
import { Client, type Message } from "./client.ts";
import { Folder, GatewayProcess } from "./gateway_process.ts";

const ROOM = "kept:crash";
const SPEAKERS = 4;
/** Messages of one speaker that wait for their ack at the same time. */
const AHEAD = 8;

interface Said {
  readonly text: string;
  readonly key: string;
  readonly user: string;
  /** Null until it is acknowledged. */
  offset: number | null;
}

export interface Crashes {
  readonly acked: number;
  readonly kept: number;
  readonly repeated: number;
}

/** Chance that can be had again (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Kills a gateway so often and fails when anything acknowledged is missing, or numbered otherwise, afterwards. */
export async function crashes(rounds: number, seed: number): Promise<Crashes> {
  using folder = new Folder();
  const random = chance(seed);
  const config = {
    gateway: { state_dir: `${folder.path}/state`, drain_grace_ms: 0 },
    tenants: [{
      id: "acme",
      policy: { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 10_000, rate_limit_burst: 10_000 },
      rooms: [{
        match: "kept:*",
        history: { max_messages: 100_000, max_bytes: 100_000_000, max_age_ms: 3_600_000, store: "disk" },
      }],
    }],
  };
  const said: Said[] = [];
  const seen = { epoch: "", acked: 0, repeated: 0, texts: [] as string[] };
  for (let round = 0; round <= rounds; round++) {
    await using gateway = await GatewayProcess.start(config, { keeps: folder.path, mayComplain: true });
    await check(gateway, said, seen);
    if (round === rounds) break;
    const talks = Array.from(
      { length: SPEAKERS },
      (_, i) => talk(gateway, { user: `speaker-${i}`, name: `${round}-${i}`, said, seen }),
    );
    await pause(30 + random() * 200);
    await gateway.crash();
    await Promise.all(talks);
  }
  return { acked: seen.acked, kept: seen.texts.length, repeated: seen.repeated };
}

interface Talk {
  readonly user: string;
  readonly name: string;
  readonly said: Said[];
  readonly seen: { epoch: string; acked: number };
}

/** Talks until the gateway is gone. */
async function talk(gateway: GatewayProcess, { user, name, said, seen }: Talk): Promise<void> {
  try {
    const client = await Client.open(gateway, { user });
    await client.join(ROOM);
    const waiting = new Map<number, Said>();
    for (let seq = 0;;) {
      while (waiting.size < AHEAD) {
        const one: Said = { text: `${name}-${++seq}`, key: `${name}-${seq}`, user, offset: null };
        said.push(one);
        waiting.set(seq, one);
        client.send({
          svc: "chat",
          type: "send",
          room: ROOM,
          seq,
          flags: 7,
          key: one.key,
          data: { msg: one.text },
        });
      }
      const message = await client.take("sys.ack");
      if (message instanceof Uint8Array || message.type !== "ack") continue;
      const one = waiting.get(message.seq!)!;
      waiting.delete(message.seq!);
      assert.notEqual(message.data.duplicate, true);
      one.offset = message.data.offset;
      if (seen.epoch === "") seen.epoch = message.data.epoch;
      assert.equal(message.data.epoch, seen.epoch, "one epoch over all crashes");
      seen.acked++;
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    // The gateway is gone.
  }
}

/** All that the room keeps is what it was before, and all that was acknowledged. */
async function check(
  gateway: GatewayProcess,
  said: Said[],
  seen: { epoch: string; repeated: number; texts: string[] },
): Promise<void> {
  if (said.length === 0) return;
  const reader = await Client.open(gateway, { user: "reader" });
  await reader.join(ROOM);
  const texts: string[] = [];
  for (let after = seen.texts.length, more = true; more;) {
    reader.send({ svc: "room", type: "history", room: ROOM, data: { after } });
    const { data } = await reader.next("room.reply") as Message;
    if (seen.epoch !== "") assert.equal(data.epoch, seen.epoch, "the epoch of before");
    for (const { offset, data: { msg } } of data.messages) {
      assert.equal(offset, ++after, "no holes");
      texts.push(msg);
    }
    more = data.more;
  }
  const all = seen.texts.concat(texts);
  for (const { offset, text } of said) {
    if (offset !== null) assert.equal(all[offset - 1], text, `the acknowledged message ${offset}`);
  }
  assert.equal(new Set(texts).size, texts.length, "nothing is kept twice");
  // Whoever does not know says it again, and is told what became of the first.
  const unknown = said.filter(({ offset }) => offset === null).slice(0, 5);
  for (const one of unknown) {
    const at = all.indexOf(one.text);
    const speaker = await Client.open(gateway, { user: one.user });
    await speaker.join(ROOM);
    speaker.send({
      svc: "chat",
      type: "send",
      room: ROOM,
      seq: 1,
      flags: 7,
      key: one.key,
      data: { msg: one.text },
    });
    let ack = await speaker.take("sys.ack") as Message;
    if (ack.type === "msg") ack = await speaker.take("sys.ack") as Message;
    assert.equal(ack.type, "ack", JSON.stringify(ack));
    assert.equal(ack.data.duplicate === true, at >= 0, `whether "${one.text}" is there already`);
    assert.equal(ack.data.offset, at >= 0 ? at + 1 : all.length + 1);
    if (at < 0) all.push(one.text);
    one.offset = ack.data.offset;
    seen.repeated++;
    await speaker.close();
  }
  // Those that nobody asked about again stay unknown, and are not looked for in the next round.
  for (let i = said.length - 1; i >= 0; i--) if (said[i]!.offset === null) said.splice(i, 1);
  seen.texts = all;
  await reader.close();
}
