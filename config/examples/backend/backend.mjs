// A shop's backend behind wsPrism, in one file without dependencies: it says who may connect, takes orders, is told what
// happens, and speaks to customers by itself. Runs on Node (20 or later), Bun and Deno:
//
//   node backend.mjs        PORT, WSPRISM_SECRET, WSPRISM_ADMIN_URL and WSPRISM_ADMIN_SECRET come from the environment
//
// What it keeps is in memory here. In earnest it would be in a database: the places are marked.

import { Buffer } from "node:buffer";
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import process from "node:process";

const { PORT = "8090", WSPRISM_SECRET, WSPRISM_ADMIN_URL = "http://127.0.0.1:9090", WSPRISM_ADMIN_SECRET } =
  process.env;
if (!WSPRISM_SECRET || !WSPRISM_ADMIN_SECRET) {
  process.stderr.write("backend: WSPRISM_SECRET and WSPRISM_ADMIN_SECRET must be set\n");
  process.exit(2);
}

/** Secrets by the name that wsprism.yaml gives them (`key_id`). While one is changed there are two. */
const SECRETS = { 1: WSPRISM_SECRET };
const BODY_BYTES_MAX = 1_000_000;
const TENANT = "shop";

// [database] Who is logged in, by what the client brings as its ticket; your web site's sessions perhaps.
const LOGINS = new Map([["ann-login", { user: "ann" }], ["bob-login", { user: "bob" }]]);
const GOODS = new Map([["tea", 4], ["cake", 7]]);
// [database] Orders by their id, and what was answered to each request that placed one.
const orders = new Map();
const answered = new Map();

// --- Is it the gateway that asks?

function isWsprism(body, header) {
  const t = /^t=(\d+),kid=/.exec(header ?? "")?.[1];
  if (t === undefined || Math.abs(Date.now() / 1000 - Number(t)) > 300) return false;
  return [...header.matchAll(/,kid=([\w.-]+),v1=([0-9a-f]{64})/g)].some(([, kid, v1]) =>
    Object.hasOwn(SECRETS, kid) &&
    timingSafeEqual(
      createHmac("sha256", SECRETS[kid]).update(`${t}.`).update(body).digest(),
      Buffer.from(v1, "hex"),
    )
  );
}

// --- Who may connect (auth.http)

function authenticate({ ticket }) {
  const login = LOGINS.get(ticket);
  if (login === undefined) return { status: 401, body: {} };
  // Claims narrow what the session may do; services are told them with each message.
  const claims = { rooms: ["shop", `customer:${login.user}`] };
  return {
    status: 200,
    body: { user: login.user, claims, expires_at: Math.floor(Date.now() / 1000) + 3600 },
  };
}

// --- Messages to the service `orders` (services[].http)

const refused = (code, msg) => ({ status: 400, body: { code, msg } });

function order({ user, type, data }, { "idempotency-key": key }) {
  // The gateway asks again when an answer did not reach it (retry): nobody gets a second cake for that.
  if (answered.has(key)) return answered.get(key);
  if (type !== "place") return refused("NOT_FOUND", `orders has no "${type}"`);
  const { item, count } = data ?? {};
  if (!GOODS.has(item)) return refused("BAD_REQUEST", "item must be one of ours");
  if (!Number.isInteger(count) || count < 1 || count > 10) {
    return refused("BAD_REQUEST", "count must be 1..10");
  }
  const id = randomUUID();
  const price = count * GOODS.get(item);
  orders.set(id, { id, user, item, count, price, shipped: false });
  const answer = {
    status: 200,
    body: {
      reply: { order: id, price },
      actions: [
        { action: "join", room: `customer:${user}` }, // so that all devices of the customer follow the order
        { action: "publish", room: "shop", type: "sold", data: { item, count } }, // to everybody who looks at the shop
      ],
    },
  };
  answered.set(key, answer);
  return answer;
}

// --- What happens (webhooks)

// [database] All three, written in the transaction that does what an event is about.
const online = new Map(); // session id → user
const done = new Set(); // ids of events
let lastSeq = null;
/** Numbers that neither came nor were covered by a gap event: it should stay 0. */
let holes = 0;

function takeEvents({ events }) {
  for (const event of events) {
    // At least once: what came before is taken again without being done again.
    if (done.has(event.id)) continue;
    done.add(event.id);
    if (done.size > 100_000) done.delete(done.values().next().value);
    const first = event.type === "gap" ? event.data.first_seq : event.seq;
    if (lastSeq !== null && first > lastSeq + 1) holes += first - lastSeq - 1;
    lastSeq = Math.max(lastSeq ?? 0, event.seq);
    take(event);
  }
  return { status: 204 };
}

function take({ type, session, user, data }) {
  if (type === "session.connected") online.set(session, user);
  // `node_lost` too: the gateway crashed, and tells after its restart.
  else if (type === "session.disconnected") online.delete(session);
  // Those events do not come any more. Whoever counts asks the admin API how things are.
  else if (type === "gap") process.stderr.write(`backend: lost ${data.events} events (${data.reason})\n`);
}

// --- Speaking to customers unasked (admin API)

async function ship({ order: id }) {
  const found = orders.get(id);
  if (found === undefined) return { status: 404, body: {} };
  found.shipped = true;
  const answer = await fetch(`${WSPRISM_ADMIN_URL}/v1/tenants/${TENANT}/publish`, {
    method: "POST",
    headers: { authorization: `Bearer ${WSPRISM_ADMIN_SECRET}`, "content-type": "application/json" },
    body: JSON.stringify({
      to: { users: [found.user] },
      svc: "orders",
      type: "shipped",
      data: { order: id, item: found.item },
      idempotency_key: `shipped ${id}`, // asked again after a failure, customers still hear it once
    }),
    signal: AbortSignal.timeout(5000),
  });
  if (!answer.ok) throw new Error(`publishing failed: ${answer.status} ${await answer.text()}`);
  return { status: 200, body: await answer.json() };
}

// --- HTTP

/** What the gateway asks, signed. */
const ASKED = { "/wsprism/auth": authenticate, "/wsprism/orders": order, "/wsprism/hooks": takeEvents };
/** What your own people ask. Keep it from others: here the admin secret opens it. */
const OWN = {
  "/ship": ship,
  "/state": () => ({
    status: 200,
    body: { online: [...online.values()], orders: [...orders.values()], last_seq: lastSeq, holes },
  }),
};

async function answer(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return { status: 413, body: {} };
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const { url, headers } = request;
  if (Object.hasOwn(ASKED, url)) {
    if (!isWsprism(body, headers["wsprism-signature"])) return { status: 403, body: {} };
    return ASKED[url](JSON.parse(body.toString()), headers);
  }
  if (!Object.hasOwn(OWN, url)) return { status: 404, body: {} };
  if (headers.authorization !== `Bearer ${WSPRISM_ADMIN_SECRET}`) return { status: 401, body: {} };
  return await OWN[url](bytes === 0 ? {} : JSON.parse(body.toString()));
}

const server = createServer(async (request, response) => {
  let result;
  try {
    result = await answer(request);
  } catch (error) {
    // 500: the gateway says UNAVAILABLE to the client, and sends events again.
    process.stderr.write(`backend: ${request.url}: ${error.message}\n`);
    result = { status: 500, body: {} };
  }
  const text = result.body === undefined ? "" : JSON.stringify(result.body);
  response.writeHead(result.status, { "content-type": "application/json" }).end(text);
});
// Longer than the gateway keeps a connection that it does not use.
server.keepAliveTimeout = 60_000;
server.listen(Number(PORT), "127.0.0.1", () => {
  process.stdout.write(`backend: listening on port ${server.address().port}\n`);
});
