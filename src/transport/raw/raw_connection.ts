// One connection to the raw listener, from its first byte on: a request's head, and then the answer to it, or a WebSocket.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import {
  asksUpgrade,
  BROKEN,
  checkHandshake,
  type HttpRefusal,
  refusalHeaders,
  refusalResponse,
} from "../handshake.ts";
import type { Compression, LinkHandler, ServerHandler, UpgradeAnswer } from "../port.ts";
import { checkHead, pathAndQuery } from "../request_head.ts";
import type { ByteEvents, ByteSocket } from "../stream/byte_socket.ts";
import { AGREED, offersDeflate } from "./deflate.ts";
import { answerHead, HttpAnswer } from "./http_answer.ts";
import { HttpBody } from "./http_body.ts";
import { endOfHead, type HttpHead, readHead } from "./http_head.ts";
import type { WebSocketLink } from "./websocket_link.ts";

/** How long a peer may take to read an answer before its socket is dropped. */
const LINGER_MS = 8_000;
/** RFC 6455, section 1.3. */
const KEY_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const NOTHING = Buffer.alloc(0);

/** What a connection asks of its listener. */
export interface RawListener {
  readonly handler: ServerHandler;
  readonly maxHeaderBytes: number;
  readonly isTls: boolean;
  /** A request begins when its turn comes; null for at once. */
  readonly turn: () => Promise<void> | null;
  /** The same of a handshake. */
  readonly upgradeTurn: () => Promise<void> | null;
  /** The head has come, or nothing more will. */
  readonly asked: (connection: RawConnection) => void;
  /** Another request is awaited. */
  readonly waits: (connection: RawConnection) => void;
  /** @param compression null where the client and the tenant have agreed to none */
  readonly link: (socket: ByteSocket, handler: LinkHandler, compression: Compression | null) => WebSocketLink;
  readonly gone: (connection: RawConnection) => void;
}

export class RawConnection implements ByteEvents {
  readonly #socket: ByteSocket;
  readonly #listener: RawListener;
  #state: "head" | "asking" | "answering" | "open" | "over" = "head";
  /** What has come of the head; later, what came behind it while the door was asked. */
  #bytes: Buffer = NOTHING;
  #body: HttpBody | null = null;
  #answer: HttpAnswer | null = null;
  #hasEnded = false;
  #link: WebSocketLink | null = null;
  #lingering: ReturnType<typeof setTimeout> | null = null;

  constructor(socket: ByteSocket, listener: RawListener) {
    this.#socket = socket;
    this.#listener = listener;
  }

  data(chunk: Uint8Array): void {
    switch (this.#state) {
      case "open":
        return this.#link!.data(chunk);
      case "head":
        return this.#readHead(chunk);
      case "asking":
        this.#bytes = Buffer.concat([this.#bytes, chunk]);
        return this.#socket.pause();
      case "answering":
        return this.#readBody(chunk);
    }
  }

  drained(): void {
    if (this.#link !== null) this.#link.drained();
    else this.#answer?.drained();
  }

  ended(): void {
    if (this.#state === "open") return this.#link!.ended();
    this.#hasEnded = true;
    this.#body?.end();
    // Whoever has asked and says no more may still wait for the answer, but not for one that never ends.
    this.#answer?.gone();
    if (this.#state === "answering") return;
    this.#gone();
    this.#socket.destroy();
  }

  /** No head has come in time, or others wait for its place. */
  tooLate(): void {
    if (this.#state !== "head") return;
    if (this.#bytes.length === 0) this.drop();
    else this.#refuse(plain(408));
  }

  drop(): void {
    if (this.#link !== null) this.#link.terminate();
    this.#gone();
    this.#socket.destroy();
  }

  #readHead(chunk: Uint8Array): void {
    const { maxHeaderBytes } = this.#listener;
    const from = Math.max(0, this.#bytes.length - 3);
    let bytes = this.#bytes.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#bytes, chunk]);
    // Empty lines before a request are somebody's old habit.
    let start = 0;
    while (bytes[start] === 0x0d && bytes[start + 1] === 0x0a) start += 2;
    if (start > 0) bytes = bytes.subarray(start);
    this.#bytes = bytes;
    const end = endOfHead(bytes, start > 0 ? 0 : from);
    if (end > maxHeaderBytes + 4 || end < 0 && bytes.length > maxHeaderBytes) return this.#refuse(plain(431));
    if (end < 0) {
      // Nothing that begins so is HTTP; who waits for more of it waits for nothing.
      if (bytes.length > 0 && !/[!-~]/.test(String.fromCharCode(bytes[0]!))) this.#refuse(plain(400));
      return;
    }
    const head = readHead(bytes.subarray(0, end));
    if (typeof head === "number") return this.#refuse(plain(head));
    this.#listener.asked(this);
    this.#bytes = Buffer.from(bytes.subarray(end));
    const header = (name: string) => head.headers.get(name) ?? null;
    const upgrades = asksUpgrade(header);
    const { method, target, version } = head;
    const refused = checkHead({ method, target, host: header("host"), version, upgrades }) ??
      (upgrades ? checkHandshake(method, header) : null);
    if (refused !== null) return this.#refuse(refused);
    this.#state = "asking";
    void (upgrades ? this.#upgrade(head) : this.#request(head));
  }

  async #upgrade({ headers, target }: HttpHead): Promise<void> {
    const { handler, link, upgradeTurn } = this.#listener;
    const turn = upgradeTurn();
    if (turn !== null) await turn;
    if (this.#state !== "asking") return;
    const header = (name: string) => headers.get(name) ?? null;
    let answer: UpgradeAnswer;
    try {
      const given = handler.upgrade({
        target: pathAndQuery(target)!,
        remoteAddress: this.#socket.remoteAddress,
        header,
      });
      answer = given instanceof Promise ? await given : given;
    } catch {
      answer = { refuse: BROKEN };
    }
    if (this.#state !== "asking") return;
    if ("refuse" in answer) return this.#refuse(answer.refuse);
    const key = createHash("sha1").update(headers.get("sec-websocket-key") + KEY_SALT).digest("base64");
    const said: [string, string][] = [
      ["upgrade", "websocket"],
      ["connection", "Upgrade"],
      ["sec-websocket-accept", key],
    ];
    if (answer.protocol !== null) said.push(["sec-websocket-protocol", answer.protocol]);
    const { accept, compression = null } = answer;
    const agreed = compression !== null && offersDeflate(header("sec-websocket-extensions"))
      ? compression
      : null;
    if (agreed !== null) said.push(["sec-websocket-extensions", AGREED]);
    this.#socket.write(answerHead(101, said));
    this.#state = "open";
    const opened = this.#link = link(this.#socket, accept, agreed);
    this.#listener.gone(this);
    accept.open(opened);
    const early = this.#bytes;
    this.#bytes = NOTHING;
    this.#socket.resume();
    if (early.length > 0) opened.data(early);
  }

  async #request(head: HttpHead): Promise<void> {
    const { handler, isTls, turn } = this.#listener;
    const { method, target, headers, version } = head;
    const wait = turn();
    if (wait !== null) await wait;
    if (this.#state !== "asking") return;
    this.#state = "answering";
    const answer = this.#answer = new HttpAnswer(this.#socket);
    let response: Response;
    try {
      const host = headers.get("host") ?? "localhost";
      const request = new Request(`${isTls ? "https" : "http"}://${host}${pathAndQuery(target)}`, {
        method,
        headers: [...headers],
        ...this.#bodyOf(head),
      });
      const given = handler.request(request, this.#socket.remoteAddress, () => this.drop());
      response = given instanceof Promise ? await given : given;
    } catch {
      response = refusalResponse(BROKEN);
    }
    try {
      const stays = () =>
        version === "1.1" && !this.#hasEnded && this.#body!.isWhole && !this.#asksClose(headers);
      if (await answer.write(response, { method, version, stays })) return this.#next();
    } catch {
      return this.drop(); // the answer's body has failed midway
    }
    this.#linger();
  }

  #readBody(chunk: Uint8Array): void {
    const at = this.#body?.read(chunk) ?? chunk.length;
    if (at === chunk.length) return;
    // The next request, which has to wait for this one's answer.
    this.#bytes = Buffer.concat([this.#bytes, chunk.subarray(at)]);
    this.#socket.pause();
  }

  #asksClose(headers: ReadonlyMap<string, string>): boolean {
    return (headers.get("connection") ?? "").toLowerCase().split(",").some((word) => word.trim() === "close");
  }

  /** Waits for another request on the same connection. */
  #next(): void {
    if (this.#state === "over") return;
    this.#state = "head";
    this.#answer = this.#body = null;
    this.#listener.waits(this);
    const early = this.#bytes;
    this.#bytes = NOTHING;
    this.#socket.resume();
    if (early.length > 0) this.#readHead(early);
  }

  #bodyOf({ method, headers, bodyBytes }: HttpHead): RequestInit {
    const early = this.#bytes;
    this.#bytes = NOTHING;
    const socket = this.#socket;
    const body = this.#body = new HttpBody({
      bytes: bodyBytes,
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      broken: () => {},
    });
    if (bodyBytes > 0 && headers.get("expect")?.toLowerCase() === "100-continue") {
      socket.write(Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    if (early.length > 0) this.#readBody(early);
    if (this.#bytes.length === 0) socket.resume();
    if (bodyBytes === 0 || method === "GET" || method === "HEAD") return {};
    return { body: body.stream, duplex: "half" } as RequestInit;
  }

  #refuse(refusal: HttpRefusal): void {
    this.#listener.asked(this);
    this.#state = "answering";
    const headers = refusalHeaders(refusal);
    headers.set("content-length", String(Buffer.byteLength(refusal.body)));
    this.#socket.write(answerHead(refusal.status, headers));
    if (refusal.body !== "") this.#socket.write(Buffer.from(refusal.body));
    this.#socket.resume();
    this.#socket.end();
    this.#linger();
  }

  /** It is read on for a while, for what still comes would reset the connection under the answer. */
  #linger(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#lingering = setTimeout(() => this.drop(), LINGER_MS);
  }

  #gone(): void {
    this.#state = "over";
    if (this.#lingering !== null) clearTimeout(this.#lingering);
    this.#listener.asked(this);
    this.#listener.gone(this);
  }
}

function plain(status: number): HttpRefusal {
  return { status, headers: {}, body: JSON.stringify({ code: "BAD_REQUEST", msg: "no HTTP request" }) };
}
