// What a configuration may say of backends.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accepted, oneTenant, refusals, warned } from "./loading.ts";

const SECRET = "s".repeat(32);
const service = (http: object) =>
  oneTenant(`services: [{ svc: orders, http: ${JSON.stringify({ url: "https://b.example/x", ...http })} }]`);
/** With what every service here warns of left out. */
const failures = (http: object) => refusals(service(http)).map((line) => line.replace(/ \(\d+, \d+\)$/, ""));
const AT = "tenants[0].services[0].http";

test("An HTTP service needs a URL, and all else has a default", () => {
  const { config } = accepted(service({ secret: SECRET }));
  assert.deepEqual(config.tenants[0]!.services, [{
    svc: "orders",
    http: {
      url: "https://b.example/x",
      secret: SECRET,
      key_id: "1",
      keys: [],
      headers: [],
      timeout_ms: 2000,
      max_concurrent: 64,
      max_queued: 256,
      max_response_bytes: 1_048_576,
      retry: { attempts: 0 },
    },
  }]);
  assert.match(refusals(oneTenant("services: [{ svc: a, http: {} }]"))[0]!, /http\.url is missing/);
});

test("A service is of one kind", () => {
  assert.deepEqual(refusals(oneTenant("services: [{ svc: a }]")), [
    "tenants[0].services[0] needs one of builtin, http, worker, wasm (4, 16)",
  ]);
  assert.deepEqual(
    refusals(oneTenant('services: [{ svc: a, builtin: chat, http: { url: "https://b.example" } }]')),
    ["tenants[0].services[0].http does not go with builtin (4, 47)"],
  );
});

test("Addresses are safe to ask, and secrets long enough and named once", () => {
  assert.deepEqual(failures({ url: "http://b.example/x" }), [
    `${AT}.url must be https, as it leaves this network`,
  ]);
  assert.deepEqual(failures({ url: "https://u:p@b.example/x" }), [
    `${AT}.url must not have a user name or password in it`,
  ]);
  assert.match(failures({ url: "ftp://b.example/x" })[0]!, /url must be an http\(s\) URL, got/);
  assert.deepEqual(failures({ secret: "short" }), [`${AT}.secret must be at least 32 bytes`]);
  const key = (id: string) => ({ id, secret: SECRET });
  assert.deepEqual(failures({ keys: [key("a"), key("a")] }), [
    `${AT}.keys[1].id must be unique, but is also keys[0].id`,
  ]);
  assert.deepEqual(failures({ secret: SECRET, keys: [key("a")] }), [
    `${AT}.keys does not go with secret, which is a key already`,
  ]);
  assert.match(
    failures({ keys: [key("a"), key("b"), key("c")] })[0]!,
    /keys must be a list of at most 2 keys/,
  );
  assert.ok(accepted(service({ keys: [key("a"), key("b")] })));
});

test("Headers that are the request's own are refused, and no value is ever shown", () => {
  assert.match(
    failures({ headers: [{ name: "Host", value: "x" }] })[0]!,
    /name must be a header name in lower case/,
  );
  assert.match(failures({ headers: [{ name: "content-length", value: "x" }] })[0]!, /name must be/);
  const shown = failures({ headers: [{ name: "authorization", value: "a\nsecret" }] })[0]!;
  assert.match(shown, /value must be 1–4096 printable ASCII characters, got a value that is not shown/);
});

test("What is unwise is warned of", () => {
  const warnings = (http: object) =>
    warned(service(http)).map((line) => line.replace(/ \(\d+, \d+\)$/, "")).filter((line) =>
      line.startsWith(AT)
    );
  assert.deepEqual(warnings({}), [`${AT} has no secret, so your backend cannot tell who asks`]);
  assert.deepEqual(warnings({ secret: SECRET, url: "http://backend.internal/" }), [
    `${AT}.url is plain http: whoever is on its way can read and change what is said`,
  ]);
  assert.deepEqual(warnings({ secret: SECRET, url: "http://127.0.0.1:8000/" }), []);
});
