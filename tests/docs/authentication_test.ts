// The worked examples of docs/authentication.md, run as they stand there.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { JwtVerifier } from "../../src/admission/jwt.ts";
import { findTicket } from "../../src/admission/ticket.ts";
import { Semaphore } from "../../src/collections/semaphore.ts";
import { signature } from "../../src/outbound/signing.ts";
import { accepted } from "../config/loading.ts";
import { blocksOf } from "./blocks.ts";
import { PYTHON as here, python } from "./programs.ts";

const blocks = (language: string) =>
  blocksOf("docs/authentication.md").filter((found) => found.language === language).map(({ text }) => text);

const [minting, checking, ...others] = blocks("python") as [string, string];

test("There are two examples in Python", () => {
  assert.deepEqual(others, []);
  assert.match(minting, /^def ticket/m);
  assert.match(checking, /^def is_wsprism/m);
});

test("A ticket minted in Python opens the door", here, async () => {
  const secret = /secret of[^"]*/.exec(minting)![0].replace(/^/, "a ");
  const jwt = { algorithms: ["HS256"], keys: [{ kid: "k1", secret }] };
  const auth = JSON.stringify({ mode: "jwt", jwt });
  const { config } = accepted(`version: 1\ntenants: [{ id: acme, auth: ${auth} }]\n`, { dev: false });
  const verifier = new JwtVerifier({
    config: config.tenants[0]!.auth!.jwt!,
    jwks: null,
    turns: new Semaphore(1),
    unixMs: Date.now,
  });
  const verdict = await verifier.verify({
    ticket: python(minting),
    address: "",
    origin: null,
    headers: {},
    renews: null,
  });
  assert.ok(verdict.ok, JSON.stringify(verdict));
  assert.equal(verdict.user, "ann");
  assert.deepEqual(verdict.claims["rooms"], ["lobby:*"]);
  assert.ok(Math.abs(verdict.expiresAtMs! - Date.now() - 3_605_000) < 60_000);
});

test("A signature of the gateway is checked in Python", here, () => {
  const body = JSON.stringify({ tenant: "acme", ticket: "é" });
  const ask = (header: string, secrets: object) => {
    const hex = Buffer.from(body).toString("hex");
    return python(
      `${checking}\nprint(is_wsprism(bytes.fromhex("${hex}"), "${header}", ${JSON.stringify(secrets)}))`,
    );
  };
  const key = { id: "k1", secret: "a secret of the backend" };
  const good = signature(body, [key], Date.now());
  const secrets = { k0: "an older one", k1: key.secret };
  assert.equal(ask(good, secrets), "True");
  assert.equal(ask(good, { k1: "another" }), "False");
  assert.equal(ask(good, {}), "False");
  assert.equal(ask(signature(body, [key], Date.now() - 600_000), secrets), "False");
  assert.equal(ask(good.replace("t=", "t=1"), secrets), "False");
  assert.equal(python(`${checking}\nprint(is_wsprism(b"", None, {"k1": "x"}))`), "False", "no header");
});

test("A web page's subprotocol carries the ticket", () => {
  const [code, ...more] = blocks("js") as [string];
  assert.deepEqual(more, []);
  const offered: string[][] = [];
  class Socket {
    constructor(_url: string, protocols: string[]) {
      offered.push(protocols);
    }
  }
  for (const ticket of ["eyJ.eyJ.c-_g", "a?>~ b", "??>>"]) {
    new Function("WebSocket", "ticket", code)(Socket, ticket);
    assert.equal(findTicket(null, offered.at(-1)!, new URLSearchParams())?.ticket, ticket);
    assert.ok(offered.at(-1)!.every((name) => /^[\w.!-]+$/.test(name)));
  }
});
