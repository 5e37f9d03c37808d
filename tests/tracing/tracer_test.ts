import { strict as assert } from "node:assert";
import { test } from "node:test";
import { otlpText } from "../../src/tracing/otlp.ts";
import { readTraceparent } from "../../src/tracing/traceparent.ts";
import { type EndedSpan, SPAN_KIND, Tracer } from "../../src/tracing/tracer.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c", SPAN = "b7ad6b7169203331";
const PARENT = `00-${TRACE}-${SPAN}-01`;

/** A tracer with a clock that goes a millisecond a look, and what it recorded. */
function traced(ratio = 1, random = () => 0.5): { tracer: Tracer; ended: EndedSpan[] } {
  const ended: EndedSpan[] = [];
  let ms = 1_700_000_000_000;
  return {
    ended,
    tracer: new Tracer({ ratio, random, ended: (span) => void ended.push(span), unixMs: () => ms += 1 }),
  };
}

test("A traceparent is read as the W3C says, and nothing else is one", () => {
  assert.deepEqual(readTraceparent(PARENT), { trace: TRACE, span: SPAN, sampled: true });
  assert.equal(readTraceparent(`00-${TRACE}-${SPAN}-00`)?.sampled, false);
  assert.equal(readTraceparent(`00-${TRACE}-${SPAN}-ff`)?.sampled, true);
  // A version of the future may have more behind it; this one has not.
  assert.equal(readTraceparent(`01-${TRACE}-${SPAN}-01-more`)?.trace, TRACE);
  for (
    const none of [
      "",
      "00",
      `${PARENT}-more`,
      `ff-${TRACE}-${SPAN}-01`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${TRACE}-${SPAN}-1`,
      `01-${TRACE}-${SPAN}-01-${"x".repeat(300)}`,
    ]
  ) assert.equal(readTraceparent(none), null, none);
});

test("Spans within each other have one trace, and their own times", () => {
  const { tracer, ended } = traced();
  const span = tracer.begin("message", SPAN_KIND.server, PARENT)!;
  const child = span.child("policy");
  child.fail("no");
  child.end();
  child.end();
  span.end();
  assert.deepEqual(ended.map(({ name, trace, parent, error }) => [name, trace, parent, error]), [
    ["policy", TRACE, span.id, "no"],
    ["message", TRACE, SPAN, null],
  ]);
  assert.ok(ended[1]!.startMs < ended[0]!.startMs && ended[0]!.endMs < ended[1]!.endMs);
  assert.deepEqual(readTraceparent(child.traceparent), { trace: TRACE, span: child.id, sampled: true });
});

test("What has no parent, or none that can be read, begins a trace of its own", () => {
  const { tracer } = traced();
  const traces = [null, "nonsense"].map((parent) =>
    readTraceparent(tracer.begin("a", 1, parent)!.traceparent)!.trace
  );
  assert.equal(new Set([...traces, TRACE]).size, 3);
});

test("As much is traced as the ratio says, whoever asks, and nothing of which the asker records nothing", () => {
  let random = 0;
  const { tracer } = traced(0.25, () => random);
  for (const parent of [null, PARENT]) {
    random = 0.2499;
    assert.ok(tracer.begin("a", 1, parent) !== null);
    random = 0.25;
    assert.equal(tracer.begin("a", 1, parent), null);
  }
  random = 0;
  assert.equal(tracer.begin("a", 1, `00-${TRACE}-${SPAN}-00`), null);
  assert.equal(traced(0, () => 0).tracer.begin("a", 1, null), null);
});

test("A request has the shapes of OTLP in JSON: ids in hexadecimal, nanoseconds and integers as texts", () => {
  const span: EndedSpan = {
    trace: TRACE,
    id: SPAN,
    parent: null,
    name: "message",
    kind: SPAN_KIND.server,
    startMs: 1_700_000_000_000.25,
    endMs: 1_700_000_000_001,
    attributes: { text: `a\ud800${"x".repeat(300)}`, count: 3, share: 0.5, is: true },
    error: "no",
  };
  const { resourceSpans: [{ resource, scopeSpans: [{ spans: [told] }] }] } = JSON.parse(
    otlpText([span], { "service.name": "wsprism" }),
  );
  assert.deepEqual(resource.attributes, [{ key: "service.name", value: { stringValue: "wsprism" } }]);
  const { attributes, ...rest } = told;
  assert.deepEqual(rest, {
    traceId: TRACE,
    spanId: SPAN,
    name: "message",
    kind: 2,
    startTimeUnixNano: "1700000000000250000",
    endTimeUnixNano: "1700000000001000000",
    status: { code: 2, message: "no" },
  });
  assert.deepEqual(attributes.slice(1), [
    { key: "count", value: { intValue: "3" } },
    { key: "share", value: { doubleValue: 0.5 } },
    { key: "is", value: { boolValue: true } },
  ]);
  const { stringValue } = attributes[0].value;
  assert.equal(stringValue.length, 256);
  assert.ok(stringValue.startsWith("a\ufffdx"));
});
