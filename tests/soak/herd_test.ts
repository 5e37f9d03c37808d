// Two thousand clients of the library on a gateway that is killed, and on one that stops in order: all are back, in their
// rooms, and the gateway never lets in more than its budget of handshakes.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { Client, type Room, type Transport, webSocket } from "../../clients/typescript/src/mod.ts";
import { within } from "../raw_client.ts";
import { GatewayProcess } from "../flow/gateway_process.ts";

const CLIENTS = 2000;
const ROOM_OF = 20;
/** Handshakes in a second, and in one moment. */
const BUDGET = 400;
const ALL_BACK_MS = 120_000;

const config = (listen: string) => ({
  gateway: {
    listen,
    drain_grace_ms: 5000,
    handshake_limit: {
      enabled: true,
      global_rps: BUDGET,
      global_burst: BUDGET,
      per_ip_rps: 1_000_000,
      per_ip_burst: 1_000_000,
    },
  },
  tenants: [{ id: "acme", policy: { ext_allowlist: ["room:*", "chat:*"] } }],
});

/** When links were opened, and when they were greeted, milliseconds. */
class Knocks {
  tried: number[] = [];
  admitted: number[] = [];

  readonly transport: Transport = {
    open: (request, handler) => {
      this.tried.push(performance.now());
      let isFirst = true;
      return webSocket().open(request, {
        message: (data) => {
          if (isFirst) this.admitted.push(performance.now());
          isFirst = false;
          handler.message(data);
        },
        close: (...why) => handler.close(...why),
      });
    },
  };

  begin(): void {
    this.tried = [];
    this.admitted = [];
  }

  told(what: string): string {
    const from = this.tried[0] ?? 0;
    const seconds = (times: readonly number[]) => {
      const counts: number[] = [];
      for (const at of times) {
        const second = Math.floor((at - from) / 1000);
        counts[second] = (counts[second] ?? 0) + 1;
      }
      return Array.from(counts, (count) => count ?? 0).join(" ");
    };
    return `${what}: tried a second ${seconds(this.tried)}; admitted a second ${seconds(this.admitted)}`;
  }
}

/** Nobody is left behind: each room's word reaches all of its members. */
async function everybodyIsThere(gateway: GatewayProcess, clients: readonly Client[], rooms: readonly Room[]) {
  await gateway.metricsUntil(
    "all sessions",
    (metrics) => metrics.sum("wsprism_ws_sessions_active") === CLIENTS,
    ALL_BACK_MS,
  );
  await within(
    Promise.all(clients.map((client) =>
      new Promise<void>((resolve) => {
        const off = client.status.subscribe(({ state }) => {
          if (state !== "connected") return;
          queueMicrotask(() => off());
          resolve();
        });
      })
    )),
    "all clients",
    ALL_BACK_MS,
  );
  let heard = 0;
  const all = new Promise<void>((resolve) => {
    for (const room of rooms) room.on("msg", () => ++heard === CLIENTS && resolve());
  });
  for (let i = 0; i < CLIENTS / ROOM_OF; i++) {
    await rooms[i]!.send("send", { msg: "is everybody there?" }, { timeoutMs: 60_000 });
  }
  await within(all, "every member's word", 60_000);
}

test("Two thousand clients come back after a crash and after an orderly end, within the budget of handshakes", async () => {
  const knocks = new Knocks();
  let gateway = await GatewayProcess.start(config("127.0.0.1:0"));
  const { port } = gateway;
  const clients = Array.from(
    { length: CLIENTS },
    (_, i) =>
      new Client(gateway.origin, {
        tenant: "acme",
        ticket: `dev:user-${i}`,
        transport: knocks.transport,
        outbox: { ttlMs: 60_000 },
      }),
  );
  const told: string[] = [];
  try {
    const rooms = await within(
      Promise.all(clients.map((client, i) => client.join(`herd-${i % (CLIENTS / ROOM_OF)}`))),
      "the first joins",
      ALL_BACK_MS,
    );
    await everybodyIsThere(gateway, clients, rooms);
    told.push(knocks.told("at the start, all at once"));
    for (const end of ["crash", "drain"] as const) {
      knocks.begin();
      if (end === "crash") await gateway.crash();
      else {
        gateway.signal("SIGTERM");
        await within(gateway.exited, "the exit", 60_000);
      }
      await gateway.kill();
      gateway = await GatewayProcess.start(config(`127.0.0.1:${port}`));
      await everybodyIsThere(gateway, clients, rooms);
      told.push(knocks.told(end));
      // A try in vain is part of it; a client that hammers is not.
      assert.ok(knocks.tried.length < CLIENTS * 6, told.at(-1));
    }
  } finally {
    await Promise.all(clients.map((client) => client.dispose()));
    await gateway.kill();
  }
  assert.ok(told.length === 3, told.join("\n"));
  const file = process.env["WSPRISM_SOAK_TELLS"];
  if (file !== undefined) writeFileSync(file, `${told.join("\n")}\n`);
});
