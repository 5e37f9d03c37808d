import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { UpgradeAnswer } from "../../src/transport/port.ts";
import { Client, House, type HouseOptions, settle } from "../session/house.ts";

interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly code: string; readonly msg: string; readonly retry_after_ms?: number };
}

function refusal(answer: UpgradeAnswer): Refusal {
  if ("accept" in answer) assert.fail("it was accepted");
  const { status, headers, body } = answer.refuse;
  return { status, headers, body: JSON.parse(body) };
}

function brief(answer: UpgradeAnswer): string {
  if ("accept" in answer) return "accepted";
  const { status, body } = refusal(answer);
  return `${status} ${body.code}`;
}

const start = (options: HouseOptions = {}) => new House(options).start();

test("A handshake is accepted with a tenant and a ticket", async () => {
  const house = await start();
  for (
    const query of [
      "tenant=acme&ticket=dev",
      "ticket=dev:ann&tenant=acme&sid=tab-1",
      "tenant=acme&ticket=dev%3Aann&x=1",
      "tenant=acme&ticket=dev:a+b",
    ]
  ) {
    assert.equal(brief(house.upgrade(query)), "accepted", query);
  }
});

test("Each refusal has its status, code and words, as JSON", async () => {
  const house = await start();
  const cases: [query: string, brief: string, msg: RegExp][] = [
    ["", "400 BAD_REQUEST", /needs tenant/],
    ["tenant=", "400 BAD_REQUEST", /needs tenant/],
    ["ticket=dev", "400 BAD_REQUEST", /needs tenant/],
    ["tenant=nobody&ticket=dev", "400 BAD_REQUEST", /no such tenant/],
    ["tenant=__proto__&ticket=dev", "400 BAD_REQUEST", /no such tenant/],
    ["tenant=ACME&ticket=dev", "400 BAD_REQUEST", /no such tenant/],
    ["tenant=acme&tenant=other&ticket=dev", "400 BAD_REQUEST", /nothing twice/],
    ["tenant=acme&ticket=dev&ticket=dev", "400 BAD_REQUEST", /nothing twice/],
    ["tenant=acme&ticket=%", "400 BAD_REQUEST", /percent-encoded/],
    ["tenant=acme&ticket=%ff", "400 BAD_REQUEST", /percent-encoded/],
    ["tenant=acme&ticket=%ed%a0%80", "400 BAD_REQUEST", /percent-encoded/],
    ["tenant=acme&ticket=dev&sid=", "400 BAD_REQUEST", /sid must be/],
    [`tenant=acme&ticket=dev&sid=${"x".repeat(65)}`, "400 BAD_REQUEST", /sid must be/],
    ["tenant=acme&ticket=dev&sid=a%20b", "400 BAD_REQUEST", /sid must be/],
    ["tenant=acme&ticket=dev&sid=a%0a", "400 BAD_REQUEST", /sid must be/],
    ["tenant=acme", "401 AUTH_FAILED", /required/],
    ["tenant=acme&ticket=", "401 AUTH_FAILED", /not valid/],
    ["tenant=acme&ticket=wrong", "401 AUTH_FAILED", /not valid/],
  ];
  for (const [query, expected, msg] of cases) {
    const answer = house.upgrade(query);
    assert.equal(brief(answer), expected, query);
    const { headers, body } = refusal(answer);
    assert.match(body.msg, msg, query);
    assert.equal(headers["content-type"], "application/json");
    assert.ok(!("retry-after" in headers) && !("retry_after_ms" in body), query);
  }
});

test("A path other than the endpoint's is 404", async () => {
  const house = await start();
  for (
    const target of [
      "/",
      "/v1/ws/",
      "/v1/wsx?tenant=acme&ticket=dev",
      "/V1/WS?tenant=acme&ticket=dev",
      "?tenant=acme",
    ]
  ) {
    const answer = house.transport.door!.upgrade({ target, remoteAddress: "192.0.2.1", header: () => null });
    assert.equal(brief(answer as UpgradeAnswer), "404 NOT_FOUND", target);
  }
});

test("Without --dev there is no gateway with a tenant that lacks auth", () => {
  assert.throws(() => new House({ dev: false }), /Cannot serve tenant "acme": it has no auth/);
});

test("The checks go from cheap to dear: an earlier one hides all later ones", async () => {
  // Each handshake is wrong in every way from its own to the last.
  const house = await start({
    gateway: "handshake_limit: { enabled: true, global_burst: 5, global_rps: 1 }",
    tenant: ["limits: { max_sessions_total: 1 }"],
  });
  house.connect("ann"); // Takes a token and the only place.
  assert.equal(brief(house.upgrade("a=1&a=2&tenant=nobody&sid=!")), "400 BAD_REQUEST");
  assert.match(refusal(house.upgrade("tenant=nobody&sid=!")).body.msg, /no such tenant/);
  assert.match(refusal(house.upgrade("tenant=acme&sid=!")).body.msg, /sid/);
  assert.equal(brief(house.upgrade("tenant=acme")), "503 RESOURCE_EXHAUSTED");
  assert.equal(brief(house.upgrade("a=1&a=2&tenant=nobody&sid=!")), "429 RATE_LIMITED");
  const drained = house.gateway.drain();
  assert.equal(brief(house.upgrade("a=1&a=2&tenant=nobody&sid=!")), "503 DRAINING");
  house.clock.advance(10_000); // The sessions are closed,
  await settle();
  house.clock.advance(10_000); // and nobody answers.
  await drained;
});

test("Above a rate the answer is 429 with the time to wait, in whole seconds and in milliseconds", async () => {
  const house = await start({
    gateway:
      "handshake_limit: { enabled: true, per_ip_burst: 1, per_ip_rps: 1, global_burst: 3, global_rps: 1 }",
  });
  const knock = (address: string) => house.upgrade("tenant=acme&ticket=dev", {}, address);
  assert.equal(brief(knock("192.0.2.1")), "accepted");
  house.clock.ms += 400;
  const first = refusal(knock("192.0.2.1"));
  assert.deepEqual([first.status, first.body.code, first.body.retry_after_ms, first.headers["retry-after"]], [
    429,
    "RATE_LIMITED",
    600,
    "1",
  ]);
  assert.equal(brief(knock("192.0.2.2")), "accepted");
  assert.equal(brief(knock("192.0.2.3")), "accepted");
  assert.equal(brief(knock("192.0.2.4")), "429 RATE_LIMITED");
  assert.deepEqual(await house.metric("handshake_rejections_total"), [
    '{tenant="acme",reason="address_rate"} 1',
    '{tenant="acme",reason="global_rate"} 1',
  ]);
});

test("The address behind a trusted proxy is the one that is limited", async () => {
  const house = await start({
    gateway:
      'trusted_proxies: ["10.0.0.0/8"], client_ip_header: cf-connecting-ip, handshake_limit: { enabled: true, per_ip_burst: 1, per_ip_rps: 1 }',
  });
  const knock = (client: string, peer = "10.0.0.1") =>
    brief(house.upgrade("tenant=acme&ticket=dev", { "cf-connecting-ip": client }, peer));
  assert.deepEqual([knock("192.0.2.1"), knock("192.0.2.2"), knock("192.0.2.1")], [
    "accepted",
    "accepted",
    "429 RATE_LIMITED",
  ]);
  assert.deepEqual([knock("192.0.2.3", "192.0.2.9"), knock("192.0.2.4", "192.0.2.9")], [
    "accepted",
    "429 RATE_LIMITED",
  ]);
});

test("Full is 503 with a time to come back: the gateway, the tenant, the address", async () => {
  const full = async (options: HouseOptions, msg: RegExp) => {
    const house = await start(options);
    house.connect("ann");
    const { status, headers, body } = refusal(house.upgrade("tenant=acme&ticket=dev:bob"));
    assert.deepEqual([status, body.code, body.retry_after_ms, headers["retry-after"]], [
      503,
      "RESOURCE_EXHAUSTED",
      1000,
      "1",
    ]);
    assert.match(body.msg, msg);
    return house;
  };
  await full({ gateway: "max_connections: 1" }, /^gateway/);
  await full({ tenant: ["limits: { max_sessions_total: 1 }"] }, /^tenant/);
  const house = await full({ tenant: ["limits: { max_sessions_per_ip: 1 }"] }, /^address/);
  assert.equal(brief(house.upgrade("tenant=acme&ticket=dev:bob", {}, "192.0.2.2")), "accepted");
});

test("Room that a session leaves is there for the next one at once", async () => {
  const house = await start({
    gateway: "max_connections: 1",
    tenant: ["limits: { max_sessions_total: 1, max_sessions_per_ip: 1 }"],
  });
  for (let i = 0; i < 5; i++) house.connect("ann").gone();
  const client = house.connect("ann");
  client.handler.text("nonsense"); // Closed, and the peer has not answered yet.
  house.connect("bob");
});

test("Two handshakes for one place: the later link is told after the upgrade", async () => {
  const house = await start({ tenant: ["limits: { max_sessions_total: 1 }"] });
  const [one, two] = [house.upgrade("tenant=acme&ticket=dev:a"), house.upgrade("tenant=acme&ticket=dev:b")];
  assert.deepEqual([brief(one), brief(two)], ["accepted", "accepted"]);
  house.connect("c");
  assert.equal(brief(house.upgrade("tenant=acme&ticket=dev:d")), "503 RESOURCE_EXHAUSTED");
  assert.ok("accept" in one);
  const written: string[] = [];
  let closed = 0;
  one.accept.open({
    transport: "websocket",
    canPing: true,
    datagrams: null,
    remoteAddress: "192.0.2.1",
    write: (frames, count) => {
      for (const { payload } of frames.slice(0, count)) written.push(payload as string);
      return 0;
    },
    bufferedBytes: () => 0,
    ping() {},
    pause() {},
    resume() {},
    close: (code) => void (closed = code),
    terminate() {},
  });
  assert.equal(closed, 4002);
  assert.deepEqual(written.map((text) => JSON.parse(text).data.code), ["RESOURCE_EXHAUSTED"]);
});

test("The subprotocol is the first that the gateway speaks, and never a ticket", async () => {
  const house = await start();
  const select = (offered: string | null) => {
    const headers: Record<string, string> = offered === null ? {} : { "sec-websocket-protocol": offered };
    const answer = house.upgrade("tenant=acme&ticket=dev", headers);
    return "accept" in answer ? answer.protocol : brief(answer);
  };
  const ticket = `wsprism.ticket.${Buffer.from("dev:ann").toString("base64url")}`;
  assert.equal(select(null), null);
  assert.equal(select("wsprism.v1"), "wsprism.v1");
  assert.equal(select("wsprism.v1.cbor"), "wsprism.v1.cbor");
  assert.equal(select(`${ticket}, wsprism.v1.cbor ,wsprism.v1`), "wsprism.v1.cbor");
  assert.equal(select(`wsprism.v1,${ticket}`), "wsprism.v1");
  assert.equal(select(ticket), null);
  assert.equal(select("other, WSPRISM.V1"), null);
});

test("A ticket may come in the header or a subprotocol, and they go before the query", async () => {
  const house = await start();
  const user = (headers: Record<string, string>, query = "tenant=acme&ticket=dev:query") => {
    const answer = house.upgrade(query, headers);
    if (!("accept" in answer)) return brief(answer);
    const client = new Client(house, answer.accept, "192.0.2.1");
    client.handler.open(client.link);
    house.turn();
    return (client.link.read() as [{ data: { user: string } }])[0].data.user;
  };
  const offered = `wsprism.v1, wsprism.ticket.${Buffer.from("dev:offer").toString("base64url")}`;
  assert.equal(user({ authorization: "Bearer dev:header", "sec-websocket-protocol": offered }), "header");
  assert.equal(user({ "sec-websocket-protocol": offered }), "offer");
  assert.equal(user({}), "query");
  assert.equal(user({ authorization: "Bearer wrong" }), "401 AUTH_FAILED", "a bad one is not passed over");
  assert.equal(user({ authorization: "Bearer dev:header" }, "tenant=acme"), "header");
});

test("No ticket reaches a log, a body or a metric", async () => {
  const house = await start();
  const secret = "s3cr3t-t1cket";
  for (const ticket of [secret, `dev:\u0007${secret}`]) {
    const answers = [
      house.upgrade(`tenant=acme&ticket=${encodeURIComponent(ticket)}`),
      house.upgrade("tenant=acme", { authorization: `Bearer ${secret}` }),
      house.upgrade(`tenant=nobody&ticket=${secret}`),
      house.upgrade(`tenant=acme&ticket=${secret}&ticket=${secret}`),
      house.upgrade(`tenant=${secret}`),
    ];
    for (const answer of answers) assert.ok(!JSON.stringify(refusal(answer)).includes(secret));
  }
  assert.ok(house.logged.length >= 10);
  assert.ok(!JSON.stringify(house.logged).includes(secret));
  const metrics = await (await house.transport.door!.request(new Request("http://gateway/metrics"), ""))
    .text();
  assert.ok(!metrics.includes(secret));
});

test("Handshakes are counted by outcome, and strangers' words make no labels", async () => {
  const house = await start();
  house.connect("ann");
  house.upgrade("tenant=acme&ticket=wrong");
  for (let i = 0; i < 20; i++) house.upgrade(`tenant=nobody${i}&ticket=dev`);
  assert.deepEqual(await house.metric("ws_upgrades_total"), [
    '{tenant="acme",status="ok"} 1',
    '{tenant="acme",status="401"} 1',
  ]);
  assert.deepEqual((await house.metric("handshake_rejections_total")).sort(), [
    '{tenant="",reason="unknown_tenant"} 20',
    '{tenant="acme",reason="bad_ticket"} 1',
  ]);
});
