import { strict as assert } from "node:assert";
import { test } from "node:test";
import { exposure, welcome } from "../../src/cli/exposure.ts";
import { accepted } from "../config/loading.ts";

const SECRET = "0123456789-abcdefghijklmnopqrstuv";
const JWT = `auth: { mode: jwt, jwt: { algorithms: [HS256], keys: [{ secret: "${SECRET}" }] } }`;
const STATIC = `auth: { mode: static, static: { tickets: [{ ticket: "${SECRET}", user: ann }] } }`;
const HTTP = `auth: { mode: http, http: { url: "https://backend.example/auth", secret: "${SECRET}" } }`;
const KEYS = `keys: [{ id: k, secret: "${SECRET}", tenants: [a], permissions: [read] }]`;

const load = (text: string) => accepted(`version: 1\n${text}`, { env: {}, dev: true }).config;

test("Five lines say who reaches what, whatever is configured", () => {
  const lines = exposure(
    load(`gateway: { listen: ":8080" }
admin: { listen: "10.0.0.1:9090", ${KEYS} }
tenants:
  - { id: a, ${JWT}, origins: ["*"] }
  - { id: b, ${STATIC}, origins: ["https://app.example"] }
  - { id: c, ${HTTP} }
  - { id: d, suspended: true }
  - { id: e }
  - { id: f, ${JWT} }`),
    false,
  );
  assert.deepEqual(lines, [
    "clients  ws://0.0.0.0:8080/v1/ws, from every network of this machine",
    "tickets  e: ANYBODY, under any name (--dev); a, f: whoever has a signed ticket; b: whoever has one of 1 fixed tickets; and 2 more",
    "pages    a: of EVERY site; b: of https://app.example; c, d, e and 1 more: of the same host",
    "admin    http://10.0.0.1:9090, from where 10.0.0.1 is reached, to 1 key, 0 of them for all tenants",
    "metrics  http://10.0.0.1:9090/metrics, to keys that may read all tenants",
  ]);
});

test("Anybody who is let in comes first, however many tenants there are", () => {
  const tenants = ["a", "b", "c", "d"].map((id, i) => `  - { id: ${id}, ${[JWT, STATIC, HTTP, ""][i]} }`);
  const [, tickets] = exposure(load(`tenants:\n${tenants.join("\n")}`), true);
  assert.match(tickets!, /^tickets {2}d: ANYBODY, under any name \(--dev\); /);
});

test("A start names addresses that can be opened, and the next step that fits the tenant", () => {
  const bound = {
    dev: true,
    address: { hostname: "0.0.0.0", port: 81 },
    admin: { hostname: "::", port: 91 },
  };
  const admin = `admin: { listen: "[::]:0", ${KEYS} }`;
  assert.deepEqual(welcome(load(`${admin}\ntenants: [{ id: a }]`), bound), [
    "clients  ws://127.0.0.1:81/v1/ws, from every network of this machine",
    "ready    http://127.0.0.1:81/readyz",
    "admin    http://[::1]:91/v1/openapi.json, from every network of this machine, with a key to everything else",
    "metrics  http://[::1]:91/metrics, with a key for all tenants",
    "next     connect to ws://127.0.0.1:81/v1/ws?tenant=a&ticket=dev:ann",
  ]);
  const next = (tenant: string) =>
    welcome(load(`metrics: { enabled: false }\ntenants: [{ id: a, ${tenant} }]`), { ...bound, admin: null })
      .slice(2);
  const at = "ws://127.0.0.1:81/v1/ws?tenant=a";
  assert.deepEqual(next(JWT), [
    `next     wsprism token --tenant a --user ann, and connect to ${at} with the ticket`,
  ]);
  assert.deepEqual(next(STATIC), [
    `next     connect to ${at} with one of the tickets in auth.static.tickets`,
  ]);
  assert.deepEqual(next(HTTP), [`next     connect to ${at} with a ticket that your backend knows`]);
});
