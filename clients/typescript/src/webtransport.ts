// Links that are WebTransport sessions (QUIC): messages on one stream, framed as docs/protocol.md has it, hot frames as
// datagrams, so that a lost one holds nothing up. A part of its own, and experimental, as the gateway's side is:
// `new Client(url, { …, transport: webTransport({ url: "https://realtime.example:7443" }), fallback: webSocket() })`.

import { AWAY } from "./status.ts";
import type { Link, LinkHandler, LinkRequest, Transport } from "./transport.ts";

export interface WebTransportLinkOptions {
  /** Where the gateway listens for WebTransport, which is another port than that for WebSockets; the client's own otherwise. */
  readonly url?: string | URL;
  /** SHA-256 of a certificate that no authority has signed, which may be good for 14 days at most: for development. */
  readonly certificateHash?: Uint8Array<ArrayBuffer>;
}

const EXT = 1, HOT = 2, CLOSE = 3, PING = 4, PONG = 5;
const text = new TextDecoder();
const utf8 = new TextEncoder();

/** WebTransport (`/v1/wt`). A ticket goes into the address, which no proxy between the two ends sees. */
export function webTransport(options: WebTransportLinkOptions = {}): Transport {
  return {
    open(
      { url, tenant, ticket, sid, resume, codec }: LinkRequest,
      handler: LinkHandler,
    ): Link {
      const address = new URL(options.url ?? url);
      address.protocol = "https:";
      if (/^\/(v1\/ws)?$/.test(address.pathname)) address.pathname = "/v1/wt";
      const query = address.searchParams;
      query.set("tenant", tenant);
      query.set("resume", resume ? resume.token : "1");
      if (resume) query.set("heard", `${resume.heard}`);
      if (ticket) query.set("ticket", ticket);
      if (sid) query.set("sid", sid);
      const value = options.certificateHash;
      const session = new WebTransport(
        address.href,
        value && { serverCertificateHashes: [{ algorithm: "sha-256", value }] },
      );
      let buffered = 0;
      let heard = 0;
      let isOver = false;
      let writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
      let datagrams: WritableStreamDefaultWriter<Uint8Array> | undefined;

      function over(code: number, reason = ""): void {
        if (isOver) return;
        isOver = true;
        session.close();
        handler.close(code, reason);
      }
      const lost = (error?: unknown) => over(1006, error ? `${error}` : "");

      function write(kind: number, body: Uint8Array): void {
        buffered += body.length;
        writer!.write(framed(kind, body)).then(
          () => buffered -= body.length,
          lost,
        );
      }

      /** Reads frames until the stream ends. */
      async function read(stream: ReadableStream<Uint8Array>): Promise<void> {
        const reader = stream.getReader();
        let rest = new Uint8Array(0);
        for (;;) {
          const { done, value: more } = await reader.read();
          if (done) return;
          const all = new Uint8Array(rest.length + more.length);
          all.set(rest);
          all.set(more, rest.length);
          const view = new DataView(all.buffer);
          let at = 0, end = 0;
          while (
            all.length - at >= 5 &&
            (end = at + 4 + view.getUint32(at, true)) <= all.length
          ) {
            hear(all[at + 4]!, all.slice(at + 5, end));
            at = end;
          }
          rest = all.slice(at);
        }
      }

      function hear(kind: number, body: Uint8Array): void {
        if (isOver) return;
        if (kind === EXT) {
          heard++;
          handler.message(text.decode(body));
        } else if (kind === HOT) handler.message(body);
        else if (kind === PING) write(PONG, body);
        else if (kind === CLOSE) {
          const code = body.length ? body[0]! + 256 * body[1]! : 1005;
          // What cannot be resumed here, for it was in another encoding, is not asked for again.
          over(resume && heard < 2 && code === 4505 ? 1002 : code, text.decode(body.subarray(2)));
        }
      }

      async function run(): Promise<void> {
        await session.ready;
        const stream = await session.createBidirectionalStream();
        writer = stream.writable.getWriter();
        datagrams = session.datagrams.writable.getWriter();
        read(stream.readable).then(() => lost(), lost);
        const large = session.incomingUnidirectionalStreams.getReader();
        const next = (): Promise<void> =>
          large.read().then(({ done, value: one }) => {
            if (done) return;
            read(one as ReadableStream<Uint8Array>).catch(() => {});
            return next();
          });
        next().catch(() => {});
        const reader = session.datagrams.readable.getReader();
        for (;;) {
          const { done, value: frame } = await reader.read();
          if (done) return;
          hear(HOT, frame as Uint8Array);
        }
      }

      /** A frame that no datagram holds goes on a stream of its own, which may be lost as well. */
      async function sendLarge(frame: Uint8Array): Promise<void> {
        const stream = await session.createUnidirectionalStream();
        const own = stream.getWriter();
        await own.write(framed(HOT, frame));
        await own.close();
      }

      session.closed.then(() => lost(), lost);
      run().catch(lost);
      return {
        send(message) {
          const ext = codec.decode(message);
          if (ext) write(EXT, utf8.encode(JSON.stringify(ext)));
          else {
            const frame = (message as Uint8Array).slice();
            const fits = frame.length <= session.datagrams.maxDatagramSize;
            (fits ? datagrams!.write(frame) : sendLarge(frame)).catch(() => {});
          }
        },
        close(code = 1005) {
          // Left to come back, or never there: the end of the session says enough.
          if (code === AWAY || !writer) return over(code);
          // The gateway answers it, or ends the session.
          write(
            CLOSE,
            code === 1005 ? new Uint8Array(0) : Uint8Array.of(code & 255, code >> 8),
          );
        },
        get buffered() {
          return buffered;
        },
      };
    },
  };
}

function framed(kind: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(5 + body.length);
  new DataView(frame.buffer).setUint32(0, 1 + body.length, true);
  frame[4] = kind;
  frame.set(body, 5);
  return frame;
}
