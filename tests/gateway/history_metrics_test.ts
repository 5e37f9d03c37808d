import { strict as assert } from "node:assert";
import { test } from "node:test";
import { LocalBus } from "../../src/cluster/local.ts";
import { historyMetrics } from "../../src/gateway/history_metrics.ts";
import { extFrame, LANE } from "../../src/protocol/frame.ts";
import { Fanout } from "../../src/room/fanout.ts";
import { HistoryBudget } from "../../src/room/history_budget.ts";
import { RoomClasses } from "../../src/room/room_class.ts";
import { Rooms } from "../../src/room/rooms.ts";
import { keeping, keepsAll } from "../room/kept.ts";

const NO_LIMITS = { max_rooms_total: 0, max_users_per_room: 0, max_rooms_per_user: 0 };

test("A scrape shows what the rooms of each tenant keep, and nothing of tenants that have none", () => {
  const budget = new HistoryBudget(() => 0);
  const tenantOf = (id: string, classes: RoomClasses) => {
    const histories = { ...keeping([], { classes: () => classes }), budget };
    const openBus = (receiver: ConstructorParameters<typeof LocalBus>[0]) => new LocalBus(receiver);
    return {
      id,
      tenant: {
        rooms: new Rooms({ limits: () => NO_LIMITS, fanout: new Fanout(() => {}), openBus, histories }),
      },
    };
  };
  const acme = tenantOf("acme", new RoomClasses([keepsAll("memory", { max_messages: 2 })]));
  const plain = tenantOf("plain", new RoomClasses([]));
  const key = { sender: "ann", key: "k", digest: null, forMs: 1000 };
  for (let n = 0; n < 3; n++) {
    const frame = extFrame({ v: 1, svc: "chat", type: "msg", data: n }, LANE.reliable);
    for (const { tenant } of [acme, plain]) tenant.rooms.publish("k", frame);
    acme.tenant.rooms.publish("k1", frame, { except: null, key });
  }
  acme.tenant.rooms.find("k")!.kept!.recover({ since: { epoch: "other", offset: 1 } });
  const shown = new Map<string, number>();
  for (const { name, read } of historyMetrics({ tenants: [acme, plain], budget })) {
    for (const { labels, value } of read()) shown.set([name, ...Object.values(labels)].join(" "), value);
  }
  assert.deepEqual(Object.fromEntries(shown), {
    "history_rooms acme": 2,
    "history_messages acme": 3,
    "history_bytes acme": ["k", "k1"].reduce(
      (sum, name) => sum + acme.tenant.rooms.find(name)!.kept!.bytes,
      0,
    ),
    "history_stored_total acme ok": 4,
    "history_stored_total acme duplicate": 2,
    "history_stored_total acme refused": 0,
    "history_trimmed_total acme bounds": 1,
    "history_trimmed_total acme budget": 0,
    "history_recoveries_total acme recovered": 0,
    "history_recoveries_total acme epoch": 1,
    "history_recoveries_total acme trimmed": 0,
    "history_recoveries_total acme ahead": 0,
    "history_recoveries_total acme too_many": 0,
    "history_memory_bytes": budget.bytes,
  });
});
