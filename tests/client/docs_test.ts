// docs/client.md says what the library does: its tables have all the codes, and what it calls is there.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ERROR_CODES } from "../../src/protocol/codes.ts";

const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");
const guide = read("docs/client.md");
const source = read("clients/typescript/src/error.ts");

test("The library knows all of the gateway's codes, and no others", () => {
  const union = /type GatewayErrorCode =([^;]+);/.exec(source)![1]!;
  const known = [...union.matchAll(/"(\w+)"/g)].map(([, code]) => code!);
  assert.deepEqual([...known].sort(), [...ERROR_CODES].sort());
});

test("The guide's table has every code that a caller may meet", () => {
  const own = [.../type ClientErrorCode =([^;]+);/.exec(source)![1]!.matchAll(/"(\w+)"/g)].map(([, code]) =>
    code!
  );
  // These end the session, or refuse the handshake: `status` tells of them.
  const ofStatus = ["AUTH_FAILED", "UNSUPPORTED_VERSION", "TOO_MANY_SESSIONS", "DRAINING", "SUSPENDED"];
  for (const code of [...ERROR_CODES, ...own]) {
    if (!(ofStatus as string[]).includes(code)) assert.ok(guide.includes(`\`${code}\``), code);
  }
});

test("What the guide calls is there to be called", () => {
  for (const [, name] of guide.matchAll(/\bclient\.(\w+)/g)) {
    const known = [
      "status",
      "connect",
      "close",
      "dispose",
      "join",
      "send",
      "request",
      "on",
      "session",
      "hot",
      "md",
    ];
    assert.ok(known.includes(name!), `client.${name}`);
  }
  for (const [, name] of guide.matchAll(/\broom\.(\w+)/g)) {
    const type = read("clients/typescript/src/room_types.ts");
    assert.match(type, new RegExp(`^ {2}(readonly )?${name}[(:<]`, "m"), `room.${name}`);
  }
});
