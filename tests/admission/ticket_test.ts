import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { DevVerifier, findTicket as find, StaticVerifier } from "../../src/admission/ticket.ts";
import type { Bearer } from "../../src/admission/verifier.ts";

const findTicket = (...of: Parameters<typeof find>) => find(...of)?.ticket ?? null;
const bearer = (ticket: string | null): Bearer => ({
  ticket,
  address: "",
  origin: null,
  headers: {},
  renews: null,
});
const devUser = (ticket: string) => {
  const verdict = new DevVerifier().verify(bearer(ticket));
  return verdict.ok ? verdict.user : null;
};

const query = (text = "") => new URLSearchParams(text);
const offer = (ticket: string) => `wsprism.ticket.${Buffer.from(ticket).toString("base64url")}`;

test("A ticket is taken from the header, else from a subprotocol, else from the query", () => {
  const inQuery = query("ticket=q"), offered = ["wsprism.v1", offer("s")];
  assert.equal(findTicket("Bearer h", offered, inQuery), "h");
  assert.equal(findTicket(null, offered, inQuery), "s");
  assert.equal(findTicket(null, ["wsprism.v1"], inQuery), "q");
  assert.equal(findTicket(null, [], query()), null);
});

test("Where a ticket was found is known, for metrics and for tenants that take none from the query", () => {
  assert.equal(find("Bearer h", [], query())?.way, "header");
  assert.equal(find(null, [offer("s")], query())?.way, "subprotocol");
  assert.equal(find(null, [], query("ticket=q"))?.way, "query");
});

test("The header is read in any case and with any number of spaces, and another scheme is none", () => {
  for (const header of ["Bearer t", "bearer t", "BEARER   t", "Bearer t  "]) {
    assert.equal(findTicket(header, [], query()), "t", header);
  }
  for (const header of ["Basic t", "Bearer", "Bearer ", "Bearert", "t", "Bearer a b", "xBearer t", ""]) {
    assert.equal(findTicket(header, [], query("ticket=q")), "q", header);
  }
});

test("A header of any length is read at once", () => {
  for (
    const header of [
      `Bearer ${" ".repeat(100_000)}x y`,
      `Bearer${" ".repeat(100_000)}`,
      `Bearer ${"x".repeat(100_000)} ${" ".repeat(100_000)}y`,
    ]
  ) {
    assert.equal(findTicket(header, [], query()), null);
  }
});

test("A ticket of any text travels in a subprotocol", () => {
  for (const ticket of ["dev:ann", "dev:片🎲 é", "a+b/c=d", "x".repeat(5000)]) {
    assert.equal(findTicket(null, [offer(ticket)], query()), ticket);
  }
  assert.equal(
    findTicket(null, ["wsprism.ticket."], query("ticket=q")),
    "",
    "an empty one is one, and no good",
  );
});

test("A dev ticket names its user, and only then", () => {
  assert.equal(devUser("dev"), "user:dev");
  assert.equal(devUser("dev:ann"), "ann");
  assert.equal(devUser("dev:user:7"), "user:7");
  assert.equal(devUser("dev:片🎲"), "片🎲");
  assert.equal(devUser(`dev:${"x".repeat(128)}`), "x".repeat(128));
  const bad = [
    "",
    "Dev",
    "dev:",
    "dev ",
    " dev",
    "ann",
    "devann",
    `dev:${"x".repeat(129)}`,
    `dev:${"x".repeat(10_000_000)}`,
  ];
  bad.push(
    "dev:a\nb",
    "dev:a\u0000",
    "dev:\u007f",
    "dev:\u0085",
    "dev:\u2028",
    "dev:\ud800",
    "dev:\u001b[31m",
  );
  for (const ticket of bad) assert.equal(devUser(ticket), null, JSON.stringify(ticket.slice(0, 20)));
});

test("A fixed ticket is its user's, and anything like it is nobody's", () => {
  const tickets = Array.from({ length: 500 }, (_, i) => ({ ticket: `ticket-of-bot-${i}`, user: `bot-${i}` }));
  const verifier = new StaticVerifier({ tickets });
  const user = (ticket: string | null) => {
    const verdict = verifier.verify(bearer(ticket));
    return verdict.ok ? verdict.user : verdict.reason;
  };
  for (const { ticket, user: expected } of tickets) assert.equal(user(ticket), expected);
  for (
    const bad of [
      null,
      "",
      "ticket-of-bot",
      "ticket-of-bot-500",
      "Ticket-of-bot-1",
      "ticket-of-bot-1 ",
      "\u0000",
    ]
  ) {
    assert.equal(user(bad), "bad_ticket");
  }
});
