import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { type Log, type LogFields, type LogFormat, processLog, SILENT } from "../../src/log.ts";

/** What a log writes while `say` speaks. */
function lines(
  format: LogFormat,
  say: (log: Log) => void,
  level: Parameters<typeof processLog>[0] = "debug",
): string[] {
  const written: string[] = [];
  say(processLog(level, format, (line) => void written.push(line)).log);
  return written;
}

const HOSTILE = [
  "a\nb",
  "a\r\nb",
  'say "hi"',
  "x  tenant=other",
  "\u001b[31mred\u001b[0m",
  "",
  " ",
  "片🎲",
  "{tenant}",
  "%s",
  "\u2028",
  "\u009b31m\u0085\u007f",
  "\u202eevil\u202c\u2066x\u2069\u061c\u200e\u200f\ufeff",
];

test("One event is one line, whatever its values hold", () => {
  for (const format of ["pretty", "json"] as const) {
    for (const user of HOSTILE) {
      const written = lines(format, (log) => log.info("session opened", { tenant: "acme", user }));
      assert.equal(written.length, 1);
      assert.match(written[0]!, /^[^\r\n]*\n$/, JSON.stringify(user));
      assert.doesNotMatch(
        written[0]!,
        /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/,
        "no reader shows it in another order, or in two lines",
      );
    }
  }
});

test("Each JSON line parses, with level, message and fields as they were given", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.double(), (user, seconds) => {
    const fields = { tenant: "acme", user, seconds, ok: true, none: null, list: ["a", user] };
    const [line] = lines("json", (log) => log.warn("session too slow", fields));
    const event = JSON.parse(line!) as Record<string, unknown>;
    assert.equal(event.message, "session too slow");
    assert.match(String(event.level), /^warn/i);
    assert.ok(!Number.isNaN(Date.parse(String(event["@timestamp"]))));
    for (const [name, value] of Object.entries(fields)) {
      assert.deepEqual(event[name], JSON.parse(JSON.stringify(value)), name);
    }
  }));
});

test("A pretty line reads time, level, message and fields, plain values plain and any other quoted", () => {
  const [line] = lines(
    "pretty",
    (log) =>
      log.error("service failed", { tenant: "acme", address: "[2001:db8::1]", user: 'a "b"\nc', code: 4000 }),
  );
  assert.match(
    line!,
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ERROR service failed {2}tenant=acme {2}address=\[2001:db8::1\] {2}user="a \\"b\\"\\nc" {2}code=4000\n$/,
  );
});

test("A hostile value cannot pass for a field of its own, nor reach the terminal", () => {
  for (const user of HOSTILE) {
    const [line] = lines("pretty", (log) => log.info("session opened", { user, session: "s" }));
    const match = /^\S+ info {2}session opened {2}user=(.*) {2}session=s\n$/.exec(line!);
    assert.ok(match, JSON.stringify(line));
    const shown = match[1]!;
    assert.equal(shown.startsWith('"') ? JSON.parse(shown) : shown, user);
    if (!shown.startsWith('"')) assert.doesNotMatch(shown, /[\s="]/);
    // deno-lint-ignore no-control-regex -- these are what a terminal obeys
    assert.doesNotMatch(shown, /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
  }
});

test("Levels below the one asked for are left out", () => {
  const all = (log: Log) => {
    log.debug("d");
    log.info("i");
    log.warn("w");
    log.error("e");
  };
  assert.deepEqual(
    ["debug", "info", "warning", "error"].map((level) => lines("json", all, level as "debug").length),
    [4, 3, 2, 1],
  );
});

test("A message is written as it is, braces and all", () => {
  const message = 'within [ ] and { } write "${NAME}" with {tenant} in quotes';
  const fields: LogFields = { tenant: "acme" };
  const [pretty] = lines("pretty", (log) => log.warn(message, fields));
  assert.ok(pretty!.includes(message), pretty!);
  const [json] = lines("json", (log) => log.warn(message, fields));
  assert.equal(JSON.parse(json!).message, message);
});

test("A log may be told nothing more than a message, and a silent one says nothing", () => {
  assert.match(lines("pretty", (log) => log.info("listening"))[0]!, /info {2}listening\n$/);
  for (const level of ["debug", "info", "warn", "error"] as const) {
    assert.equal(SILENT[level]("x"), undefined);
  }
});
