// A polite tenant beside one hostile neighbour at a time, each beside the quiet phase before it. The neighbour is a tenant of
// its own with the limits that bench.yaml does not lift, or nobody in particular.

import type { Neighbour, Unit } from "../generator/neighbour.ts";
import { AUTHORIZATION, type Config, type Gateway, type Lab } from "../lab.ts";
import { get, info, line, type Row, type Sample } from "../row.ts";
import { type Shape, toLoad } from "./load_row.ts";

/** There are many: one round of all takes some six minutes. */
const ROUNDS = 1;

/** 100 sessions in rooms of 10, each of which chats five times a second. */
const polite: Shape = {
  service: "chat",
  sessions: 100,
  rooms: 10,
  pace: { kind: "open", publishersPerGroup: 10, perSecond: 5 },
  sampleEvery: 1,
};

/** What differs from a gateway with two tenants, and who comes. */
interface Kind {
  readonly name: string;
  readonly about: string;
  readonly comes: (at: { gateway: Gateway; bombs: number }) => Neighbour;
  /** Of the tenant `noisy`. */
  readonly tenant?: (at: { bombs: number }) => object;
  readonly files?: Readonly<Record<string, string>>;
  readonly gateway?: object;
}

const text = (svc: string, type: string, data = '{"msg":"x"}', room = "den") =>
  `{"v":1,"svc":"${svc}","type":"${type}","room":"${room}","data":${data}}`;
const JOIN = text("room", "join", "{}");

/** A client frame: first byte and payload, without a mask. */
function frame(first: number, payload: Uint8Array | number[] = []): Unit {
  const size = payload.length;
  const head = size < 126 ? [first, 0x80 | size] : [first, 0x80 | 126, size >> 8, size & 255];
  return { bytes: new Uint8Array([...head, 0, 0, 0, 0, ...payload]).toBase64() };
}

const sessions = (units: readonly Unit[], more: object = {}): Kind["comes"] => ({ gateway }) => ({
  kind: "session",
  port: gateway.port,
  sockets: 4,
  tenant: "noisy",
  units,
  ...more,
});

/** An HTTP service of the tenant that answers with a bomb, and sessions that ask for it. */
function answering(bomb: string): Kind {
  return {
    name: `answer-${bomb}`,
    about: `an HTTP service whose answers are bombs: ${bomb}`,
    tenant: ({ bombs }) => ({
      services: [{ svc: "bomb", http: { url: `http://127.0.0.1:${bombs}/${bomb}` } }],
    }),
    comes: sessions([{ text: text("bomb", "ask") }], { perSecond: 50 }),
  };
}

/** A script of the tenant, and sessions that call it. */
function script(name: string, about: string, body: string, perSecond = 50): Kind {
  return {
    name: `script-${name}`,
    about,
    files: { "evil.js": `export default { async onMessage(message, ctx) { ${body} } };\n` },
    tenant: ({ bombs }) => ({
      services: [{
        svc: "evil",
        worker: "./evil.js",
        permissions: { kv: true, net: [`http://127.0.0.1:${bombs}`], publish: ["*"], users: true },
      }],
    }),
    comes: sessions([{ text: JOIN }, { text: text("evil", "go") }], { perSecond }),
  };
}

const upgrade = (query: string) =>
  `GET /v1/ws?${query} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n` +
  "sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
const HEADERS = Object.entries(AUTHORIZATION).map(([name, value]) => `${name}: ${value}\r\n`).join("");
const get1 = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n${HEADERS}\r\n`;
const post = (path: string, body: string) =>
  `POST ${path} HTTP/1.1\r\nhost: x\r\n${HEADERS}content-type: application/json\r\n` +
  `content-length: ${body.length}\r\n\r\n${body}`;

const DEEP = `{"v":1,"svc":"chat","type":"send","data":${"[".repeat(30_000)}${"]".repeat(30_000)}}`;
/** CBOR of `{"v":1,"svc":"chat","type":"send","data":[…]}`: as much nesting as a frame has bytes. */
const CBOR = new Uint8Array([
  ...[0xa4, 0x61, 0x76, 0x01, 0x63, 0x73, 0x76, 0x63, 0x64, 0x63, 0x68, 0x61, 0x74],
  ...[0x64, 0x74, 0x79, 0x70, 0x65, 0x64, 0x73, 0x65, 0x6e, 0x64, 0x64, 0x64, 0x61, 0x74, 0x61],
  ...new Uint8Array(8000).fill(0x81),
  0x00,
]);
const HOOK = {
  id: "dead",
  url: "http://127.0.0.1:1/hooks",
  events: ["message.ext", "session.connected", "session.disconnected", "room.joined", "policy.denied"],
};

const KINDS: readonly Kind[] = [
  {
    name: "hot-flood",
    about: "hot echoes, all they can",
    comes: sessions([frame(0x82, [1, 1, 0, 0, 1, 2, 3])]),
  },
  {
    name: "chat-flood",
    about: "chat, all they can",
    comes: sessions([{ text: text("chat", "send") }], { first: [{ text: JOIN }] }),
  },
  {
    name: "pings",
    about: "WebSocket pings of 125 bytes",
    comes: sessions([frame(0x89, new Uint8Array(125))]),
  },
  { name: "pongs", about: "empty pongs", comes: sessions([frame(0x8a)]) },
  {
    name: "fragments",
    about: "messages of empty fragments without end",
    comes: sessions([frame(0x00)], { first: [frame(0x01)] }),
  },
  { name: "deep-json", about: "JSON nested 30,000 deep", comes: sessions([{ text: DEEP }]) },
  {
    name: "cbor",
    about: "CBOR nested 8,000 deep",
    comes: sessions([frame(0x82, CBOR)], { protocol: "wsprism.v1.cbor" }),
  },
  {
    name: "huge-frames",
    about: "frames of 60 KB to a room",
    comes: sessions([{ text: text("chat", "send", JSON.stringify({ msg: "x".repeat(60_000) })) }], {
      first: [{ text: JOIN }],
    }),
  },
  {
    name: "slow-readers",
    about: "20 sessions that fill each other's outboxes and never read",
    comes: sessions([{ text: text("chat", "send", JSON.stringify({ msg: "x".repeat(2000) })) }], {
      first: [{ text: JOIN }],
      sockets: 20,
      perSecond: 100,
      reads: false,
    }),
  },
  {
    name: "room-churn",
    about: "joins and leaves, all they can",
    comes: sessions([{ text: JOIN }, { text: text("room", "leave", "{}") }]),
  },
  {
    name: "bad-tickets",
    about: "handshakes with bad tickets",
    tenant: () => ({
      auth: { mode: "jwt", jwt: { algorithms: ["HS256"], keys: [{ secret: "s".repeat(40) }] } },
    }),
    comes: ({ gateway: { port } }) => ({
      kind: "visit",
      port,
      sockets: 64,
      request: upgrade("tenant=noisy&ticket=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.AAAA"),
    }),
  },
  {
    name: "handshakes",
    about: "sessions that come and go",
    comes: ({ gateway: { port } }) => ({
      kind: "visit",
      port,
      sockets: 64,
      request: upgrade("tenant=noisy&ticket=dev"),
    }),
  },
  {
    name: "half-requests",
    about: "requests whose end never comes",
    comes: ({ gateway: { port } }) => ({
      kind: "visit",
      port,
      sockets: 4,
      hold: true,
      request: "GET /v1/ws HTTP/1.1\r\n",
    }),
  },
  {
    name: "http-requests",
    about: "plain HTTP on the public port, pipelined",
    comes: ({ gateway: { port } }) => ({ kind: "http", port, sockets: 4, request: get1("/nothing") }),
  },
  {
    name: "scrapes",
    about: "/metrics on the admin port, pipelined",
    comes: ({ gateway }) => ({
      kind: "http",
      port: gateway.adminPort,
      sockets: 4,
      request: get1("/metrics"),
    }),
  },
  {
    name: "publishes",
    about: "admin publishes to all sessions of the neighbour, pipelined",
    comes: ({ gateway }) => ({
      kind: "http",
      port: gateway.adminPort,
      sockets: 4,
      audience: { port: gateway.port, tenant: "noisy", sessions: 200 },
      request: post(
        "/v1/tenants/noisy/publish",
        '{"to":{"all":true},"svc":"n","type":"x","data":{"msg":"x"}}',
      ),
    }),
  },
  ...["chunks", "trailers", "headers", "informational", "deep", "large"].map(answering),
  {
    name: "jwks",
    about: "an identity provider whose keys are a bomb, asked by handshakes with unknown keys",
    tenant: ({ bombs }) => ({
      auth: {
        mode: "jwt",
        jwt: { algorithms: ["ES256"], jwks_url: `http://127.0.0.1:${bombs}/chunks`, jwks_cooldown_ms: 1000 },
      },
    }),
    comes: ({ gateway: { port } }) => ({
      kind: "visit",
      port,
      sockets: 16,
      request: upgrade("tenant=noisy&ticket=eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJ4In0.AAAA"),
    }),
  },
  script(
    "fetch-storm",
    "a script that fetches without a pause",
    "for (;;) await ctx.fetch(URL_SMALL).catch(() => 0);",
  ),
  script("fetch-bombs", "a script that fetches bombs", "for (;;) await ctx.fetch(URL_BOMB).catch(() => 0);"),
  script(
    "kv-storm",
    "a script that writes keys without a pause",
    'for (let n = 0;; n++) await ctx.kv.set(`k${n % 500}`, "v".repeat(1000)).catch(() => 0);',
  ),
  script(
    "log-flood",
    "a script that logs without a pause",
    'for (let n = 0; n < 2000; n++) ctx.log.info("x".repeat(500));',
  ),
  script(
    "publish-flood",
    "a script that publishes without a pause",
    'for (;;) await ctx.publish("den", "x", { n: "x".repeat(200) }).catch(() => 0);',
  ),
  script(
    "kv-pages",
    "a script that lists pages of a megabyte without a pause",
    'for (let n = 0; n < 16; n++) await ctx.kv.set(`p${n}`, "v".repeat(60_000)).catch(() => 0);\n' +
      'for (;;) await ctx.kv.list("p", { limit: 1000 }).catch(() => 0);',
  ),
  script("spin", "a script that never yields", "for (;;);", 5),
  {
    name: "dead-webhook",
    about: "chat, joins and leaves that are durable events for a backend that is dead",
    tenant: () => ({ webhooks: [HOOK] }),
    gateway: { state_dir: "./state" },
    comes: sessions([{ text: JOIN }, { text: text("chat", "send") }, { text: text("room", "leave", "{}") }]),
  },
];

function configOf(kind: Kind, bombs: number): (config: Config) => void {
  return (config) => {
    const [tenant] = config.tenants;
    const { policy, limits: _limits, ...rest } = structuredClone(tenant!);
    const allowed = {
      ext_allowlist: ["room:*", "chat:*", "bomb:*", "evil:*"],
      hot_allowlist: ["1:*"],
      hot_requires_active_room: false,
    };
    config.tenants.push(
      { ...rest, id: "noisy", policy: allowed, ...kind.tenant?.({ bombs }) } as typeof rest & {
        policy: typeof policy;
      },
    );
    delete config.gateway["handshake_limit"];
    Object.assign(config.gateway, kind.gateway);
  };
}

async function measure(kind: Kind, lab: Lab): Promise<Sample> {
  const bombs = (await lab.backend("controls/bomb_server.ts")).port;
  const files = Object.fromEntries(
    Object.entries(kind.files ?? {}).map(([name, code]) => [
      name,
      code.replace("URL_SMALL", `"http://127.0.0.1:${bombs}/"`)
        .replace("URL_BOMB", `"http://127.0.0.1:${bombs}/chunks"`),
    ]),
  );
  const gateway = await lab.gateway({ change: configOf(kind, bombs), files, admin: true });
  const crowd = await lab.crowd(toLoad(polite, gateway), true);
  const quiet = await crowd.measure(lab.seconds());
  const neighbour = await lab.disturber("bench/generator/neighbour.ts", kind.comes({ gateway, bombs }));
  const [{ did }, noisy] = await Promise.all([
    neighbour.ask<{ did: number }>(lab.seconds()),
    crowd.measure(lab.seconds()),
  ]);
  return { ...noisy, did, quietP50: quiet.p50Micros, quietP99: quiet.p99Micros };
}

export const neighbours: readonly Row[] = KINDS.map((kind) => ({
  name: `beside-${kind.name}`,
  about: kind.about,
  ours: (lab: Lab) => measure(kind, lab),
  rounds: ROUNDS,
  lines: [
    line("p99 against quiet", "µs", "p99Micros", { control: (all) => get(all, "quietP99"), atMost: 2 }),
    line("p50 against quiet", "µs", "p50Micros", { control: (all) => get(all, "quietP50") }),
    info("polite messages that came", "%", (all) => 100 * get(all, "received") / get(all, "sent") / 10, {
      better: "higher",
      atLeast: 99,
    }),
    info("done by the neighbour", "/s", "did", { better: "higher" }),
  ],
}));
