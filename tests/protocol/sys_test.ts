import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { Json } from "../../src/protocol/json.ts";
import { type Frame, LANE } from "../../src/protocol/frame.ts";
import {
  sysAck,
  sysAuthed,
  sysDraining,
  sysError,
  sysJoined,
  sysKicked,
  sysLeft,
  sysPong,
  sysPresence,
} from "../../src/protocol/sys.ts";
import gateway from "../vectors/gateway.json" with { type: "json" };

const TRACE = "5d41402abc4b2a76";
const TIME = 1767225600000;
const HEARD_NONE = { timeMs: TIME, seq: null, heard: null } as const;

/** Each vector's message, made the way the gateway makes it. */
const made: Record<string, Frame> = {
  "authed: the first message of every session": sysAuthed(TRACE, {
    tenant: "acme",
    user: "user:dev",
    sid: "tab-1",
    session: "9f86d081884c7d65",
    ping_interval_ms: 20000,
    max_frame_bytes: 4096,
    time_ms: TIME,
  }),
  "error about the session": sysError(TRACE, "TIMEOUT", "idle"),
  "error about a message that had a seq": sysError(
    TRACE,
    "NOT_ALLOWED",
    "svc and type are not in the tenant's ext_allowlist",
    { seq: 9007199254740991 },
  ),
  "error with the time to wait": sysError(TRACE, "RATE_LIMITED", "too many messages", {
    seq: 0,
    retryAfterMs: 5,
  }),
  "joined": sysJoined(TRACE, "party:1", { member: 4294967295, count: 2 }, null),
  "joined, in answer to a message with a seq": sysJoined(TRACE, "片🎲", { member: 1, count: 1 }, 7),
  "left": sysLeft(TRACE, "party:1", 8),
  "left, when there was no room to leave": sysLeft(TRACE, null, null),
  "kicked: a close follows": sysKicked(TRACE, "replaced"),
  "ack": sysAck(TRACE, 123),
  "presence: somebody came": sysPresence(TRACE, "party:1", {
    event: "join",
    user: "ann",
    member: 3,
    count: 3,
  }),
  "presence: somebody went": sysPresence(TRACE, "party:1", {
    event: "leave",
    user: "ann",
    member: 3,
    count: 2,
  }),
  "draining: reconnect elsewhere": sysDraining(TRACE, 1500),
  "pong for a ping without data": sysPong(TRACE, undefined, HEARD_NONE),
  "pong for a ping with an object": sysPong(TRACE, Json.of({ t: [1, 2.5, null] }), { ...HEARD_NONE, seq: 4 }),
  "pong for a ping with another value": sysPong(TRACE, Json.of("hi"), HEARD_NONE),
};

test("Every sys message is the one in the vectors", () => {
  const vectors = gateway.messages.filter(({ json }) => json.svc === "sys");
  assert.deepEqual(vectors.map(({ name }) => name).sort(), Object.keys(made).sort());
  for (const { name, json } of vectors) {
    assert.deepEqual(JSON.parse(made[name]!.payload as string), json, name);
  }
});

test("What the gateway says overtakes all else, but for presence, which can be many", () => {
  for (const [name, frame] of Object.entries(made)) {
    assert.equal(frame.lane, name.startsWith("presence") ? LANE.reliable : LANE.control, name);
  }
});

test("A frame knows its size in bytes", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const frame = sysKicked(TRACE, text);
    assert.equal(frame.bytes, new TextEncoder().encode(frame.payload as string).length);
  }));
});

test("A pong gives back what it was asked with, whatever its keys", () => {
  fc.assert(fc.property(fc.jsonValue(), (data) => {
    const pong = JSON.parse(sysPong(TRACE, Json.of(data), HEARD_NONE).payload as string);
    const isObject = typeof data === "object" && data !== null && !Array.isArray(data);
    const expected = isObject ? { ...data, time_ms: TIME } : { echo: data, time_ms: TIME };
    assert.deepEqual(pong.data, JSON.parse(JSON.stringify(expected)));
  }));
  const own = JSON.parse('{"__proto__":1,"time_ms":2,"trace_id":3}') as unknown;
  const { payload } = sysPong(TRACE, Json.of(own), HEARD_NONE);
  assert.equal(
    payload,
    `{"v":1,"svc":"sys","type":"pong","data":{"__proto__":1,"time_ms":${TIME},"trace_id":3},"trace_id":"${TRACE}"}`,
  );
});

test("A pong gives back the text that it was asked with, but for the time", () => {
  const cases = [
    [
      '{"id":9007199254740993, "n":[1e400,-0,1.0],"a":1,"a":2}',
      `{"id":9007199254740993, "n":[1e400,-0,1.0],"a":1,"a":2,"time_ms":${TIME}}`,
    ],
    ["1e400", `{"echo":1e400,"time_ms":${TIME}}`],
    ["{ }", `{"time_ms":${TIME}}`],
    ['{"time_ms":1,"b":2,"time_ms":3}', `{"time_ms":${TIME},"b":2}`],
    ['{"time\\u005fms":1}', `{"time_ms":${TIME}}`],
  ] as const;
  for (const [data, expected] of cases) {
    const { payload } = sysPong(TRACE, Json.from(data, 64) as Json, HEARD_NONE);
    assert.equal(payload, `{"v":1,"svc":"sys","type":"pong","data":${expected},"trace_id":"${TRACE}"}`);
  }
});
