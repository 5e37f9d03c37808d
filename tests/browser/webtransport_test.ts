// A real browser's WebTransport, with the certificate that `wsprism webtransport-cert` makes and by its hash.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, test } from "node:test";
import { makeDevelopmentCertificate } from "../../src/cli/development_certificate.ts";
import { GatewayProcess } from "../flow/gateway_process.ts";
import { inBrowser } from "./browser.ts";

const { cert, key, hash } = makeDevelopmentCertificate({
  hosts: ["localhost", "127.0.0.1"],
  days: 14,
  nowMs: Date.now(),
});
const TICKET = "a-fixed-ticket-of-ann";
const auth = {
  mode: "static",
  allow_query_ticket: true,
  static: { tickets: [{ ticket: TICKET, user: "ann" }] },
};
const gateway = await GatewayProcess.start({
  gateway: {
    drain_grace_ms: 0,
    webtransport: { listen: "127.0.0.1:0", tls: { cert_file: "cert.pem", key_file: "key.pem" } },
  },
  tenants: [{
    id: "acme",
    auth: {
      ...auth,
      static: {
        tickets: [...auth.static.tickets, { ticket: "a-fixed-ticket-of-zoe", user: "zoë" }, {
          ticket: "a-fixed-ticket-of-bob",
          user: "bob",
        }],
      },
    },
    origins: ["*"],
    limits: { max_frame_bytes: 16_384 },
    rooms: [{ match: "watched", presence: true }],
    policy: { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*", "3:*"] },
    hot_services: [{ id: 1, kind: "echo" }, { id: 3, kind: "state", tick_ms: 20 }],
  }, { id: "elsewhere", auth, origins: ["https://app.example"] }],
}, { target: "deno", dev: false, files: { "cert.pem": cert, "key.pem": key } });
after(() => gateway.kill());
const { port } = await gateway.logged("listening for WebTransport");

/** Helpers of the page: what docs/protocol.md says, in a browser's own words. */
const PAGE = `
  const hash = Uint8Array.from(atob("${Buffer.from(hash).toString("base64")}"), (char) => char.charCodeAt(0));
  const connect = async (query) => {
    const session = new WebTransport("https://127.0.0.1:${port}/v1/wt?" + query,
      { serverCertificateHashes: [{ algorithm: "sha-256", value: hash }] });
    await session.ready;
    const stream = await session.createBidirectionalStream();
    return { session, writer: stream.writable.getWriter(), next: frames(stream.readable) };
  };
  const framed = (kind, body) => {
    const out = new Uint8Array(5 + body.length);
    new DataView(out.buffer).setUint32(0, body.length + 1, true);
    out[4] = kind;
    out.set(body, 5);
    return out;
  };
  const frames = (readable) => {
    const reader = readable.getReader();
    let rest = new Uint8Array(0);
    return async () => {
      for (;;) {
        if (rest.length >= 5) {
          const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0, true);
          if (rest.length >= 4 + length) {
            const frame = { kind: rest[4], body: rest.slice(5, 4 + length) };
            rest = rest.slice(4 + length);
            return frame;
          }
        }
        const { value, done } = await reader.read();
        if (done) return null;
        const longer = new Uint8Array(rest.length + value.length);
        longer.set(rest);
        longer.set(value, rest.length);
        rest = longer;
      }
    };
  };
  const text = (frame) => JSON.parse(new TextDecoder().decode(frame.body));
  const say = (writer, message) => writer.write(framed(1, new TextEncoder().encode(JSON.stringify({ v: 1, ...message }))));
  const code = (frame) => frame.body[0] + 256 * frame.body[1];
`;

test("in a browser, messages go on a stream and hot frames as datagrams, large ones by themselves", async () => {
  const report = await inBrowser(() =>
    `${PAGE}
    const { session, writer, next } = await connect("tenant=acme&ticket=a-fixed-ticket-of-zoe");
    const authed = text(await next());
    await say(writer, { svc: "room", type: "join", room: "lobby" });
    const joined = text(await next());
    await say(writer, { svc: "chat", type: "send", room: "lobby", data: { msg: "grüße" } });
    const said = text(await next());
    const datagrams = session.datagrams.readable.getReader();
    const hot = session.datagrams.writable.getWriter();
    await hot.write(Uint8Array.of(1, 1, 0, 0, 42));
    const echo = [...(await datagrams.read()).value];
    const streams = session.incomingUnidirectionalStreams.getReader();
    let large = 0;
    for (let i = 0; i < 12; i++) { // more than may be open at once
      const out = (await session.createUnidirectionalStream()).getWriter();
      await out.write(framed(2, Uint8Array.of(1, 1, 0, 0, ...new Array(8000).fill(i))));
      await out.close();
      const read = frames((await streams.read()).value);
      const { kind, body } = await read();
      if (kind === 2 && body.length === 8000 && body[7999] === i && await read() === null) large++;
    }
    await writer.write(framed(4, new TextEncoder().encode("yo")));
    const pong = await next();
    await writer.write(framed(3, Uint8Array.of(0xe8, 3)));
    const closed = await next();
    report({ transport: authed.data.transport, user: authed.data.user, joined: joined.type, said: said.data, echo, large,
      pong: [pong.kind, new TextDecoder().decode(pong.body)], closed: [closed.kind, code(closed)] });
  `
  );
  assert.deepEqual(report, {
    transport: "webtransport",
    user: "zoë",
    joined: "joined",
    said: { from: "zoë", msg: "grüße" },
    echo: [42],
    large: 12,
    pong: [5, "yo"],
    closed: [3, 1000],
  });
  await gateway.empty();
});

test("in a browser, who is refused is told why, and a page that goes is gone", async () => {
  const report = await inBrowser(() =>
    `${PAGE}
    const { next } = await connect("tenant=nobody");
    const refused = text(await next());
    const closed = await next();
    const stranger = await connect("tenant=elsewhere&ticket=${TICKET}");
    const foreign = text(await stranger.next());
    const join = async (user) => {
      const client = await connect("tenant=acme&ticket=a-fixed-ticket-of-" + user);
      await client.next();
      await say(client.writer, { svc: "room", type: "join", room: "watched" });
      await client.next();
      return client;
    };
    const [stays, leaves] = [await join("bob"), await join("ann")];
    const events = [];
    while (events.at(-1) !== "leave ann") {
      const { event, user } = text(await stays.next()).data;
      events.push(event + " " + user);
      if (events.at(-1) === "join ann") leaves.session.close({ closeCode: 7, reason: "left" });
    }
    report({ refused: refused.data.code, code: code(closed), foreign: foreign.data.msg, events });
  `
  );
  assert.deepEqual(report, {
    refused: "BAD_REQUEST",
    code: 4505,
    foreign: "pages of this origin may not connect",
    events: ["join bob", "join ann", "leave ann"],
  });
  gateway.assertNoComplaint();
});
