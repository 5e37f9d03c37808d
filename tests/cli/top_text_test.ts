import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Look, readProcess, topLines } from "../../src/cli/top_text.ts";

const tenant = (id: string, messages: number, more: object = {}) => ({
  id,
  suspended: false,
  sessions: 3,
  rooms: 1,
  in: { ext: { messages, bytes: 100 * messages }, hot: { messages: 0, bytes: 0 } },
  out: { reliable: { messages: 3 * messages, bytes: 300 * messages } },
  denied: 0,
  dropped: 0,
  ...more,
});
const at = (atMs: number, looked: Look["looked"], process: Look["process"] = null): Look => ({
  atMs,
  tenants: looked.length,
  sessions: 3 * looked.length,
  looked,
  process,
});

test("Rates are what came between two looks, the busiest tenant first", () => {
  const before = at(0, [tenant("calm", 0), tenant("busy", 1000)]);
  const now = at(2000, [tenant("calm", 1, { denied: 4 }), tenant("busy", 61_000, { suspended: true })]);
  assert.deepEqual(topLines(before, now, 10), [
    "2 tenants, 6 sessions",
    "",
    "TENANT            SESSIONS  ROOMS  IN/s  IN B/s  OUT/s  OUT B/s  DENIED/s  DROPPED/s",
    "busy (suspended)         3      1   30k   3000k    90k    9000k         0          0",
    "calm                     3      1   0.5      50    1.5      150         2          0",
  ]);
  assert.equal(topLines(before, now, 1).at(-1), "… and 1 tenant with less to do");
});

test("A tenant that is new, or counts from 0 again, shows no rate and none below 0", () => {
  const lines = topLines(
    at(0, [tenant("again", 900)]),
    at(1000, [tenant("again", 1), tenant("new", 500)]),
    10,
  );
  for (const line of lines.slice(3)) assert.match(line, /^(again|new) +3 +1( +0){6}$/);
});

test("A scrape gives the loop's lag since the last look, and what the process holds", () => {
  const scrape = (sum: number, count: number) =>
    readProcess(`# HELP x y
wsprism_event_loop_lag_seconds_bucket{le="1"} 5
wsprism_event_loop_lag_seconds_sum ${sum}
wsprism_event_loop_lag_seconds_count ${count}
wsprism_process_resident_memory_bytes 80000000
wsprism_outbox_bytes 12
wsprism_draining 1
`);
  const [line] = topLines(at(0, [], scrape(1, 100)), at(1000, [], scrape(1.02, 110)), 5);
  assert.equal(
    line,
    "0 tenants, 0 sessions, loop 2.0 ms late, memory 80MB, waits for sockets 12B, DRAINING",
  );
});
