// A small gateway in memory, on a test's clock: sessions that can be resumed, rooms with history, keys. It does what
// docs/protocol.md and the recovery's rules say in as few lines as possible, and can be cut, muted and refused at will.

import type { Clock } from "../../clients/typescript/src/clock.ts";
import type { Link, LinkHandler, LinkRequest, Transport } from "../../clients/typescript/src/transport.ts";

// deno-lint-ignore no-explicit-any -- a test's messages are of any shape
type Message = any;

export interface FakeOptions {
  readonly clock: Clock;
  /** One way, milliseconds. */
  readonly latencyMs?: number;
  readonly pingIntervalMs?: number;
  /** How long a session waits for its client; 0: no resume at all. */
  readonly windowMs?: number;
  /** Messages kept per room; 0: no history, offsets or keys. */
  readonly history?: number;
  /** Missed messages kept for a resume. */
  readonly replayMax?: number;
  readonly maxFrameBytes?: number;
}

interface FakeRoom {
  epoch: string;
  offset: number;
  messages: Message[];
  readonly keys: Map<string, number>;
  readonly members: Map<FakeSession, { member: number; presence: boolean }>;
  lastMember: number;
}

interface FakeSession {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  token: string | null;
  /** The one that its client came back with: good until the client is heard, as it may not know the other. */
  formerToken: string | null;
  /** Ext messages taken from the client, and sent to it. */
  heard: number;
  sent: number;
  /** The last of those sent, for a resume. */
  kept: Message[];
  link: FakeLink | null;
  ended: boolean;
  detachTimer: unknown;
}

/** One link, seen from the gateway. */
export class FakeLink {
  readonly request: LinkRequest;
  readonly #handler: LinkHandler;
  readonly #gateway: FakeGateway;
  session: FakeSession | null = null;
  #state: "open" | "hushed" | "muted" | "gone" = "open";

  constructor(request: LinkRequest, handler: LinkHandler, gateway: FakeGateway) {
    this.request = request;
    this.#handler = handler;
    this.#gateway = gateway;
  }

  get isOpen(): boolean {
    return this.#state !== "gone";
  }

  /** To the client. */
  deliver(message: Message | Uint8Array): void {
    const data = message instanceof Uint8Array ? message : JSON.stringify(message);
    this.#later(() => this.#state === "open" && this.#handler.message(data));
  }

  /** From the client. */
  take(data: string | Uint8Array): void {
    this.#later(() =>
      (this.#state === "open" || this.#state === "hushed") && this.#gateway.heard(this, data)
    );
  }

  /** The network swallows everything from now on. */
  mute(): void {
    this.#state = "muted";
  }

  /** The network swallows what the gateway says from now on, and nothing else. */
  hush(): void {
    this.#state = "hushed";
  }

  /** The link breaks now: what is on its way is lost. */
  cut(): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#gateway.gone(this, 1006);
    this.#handler.close(1006, "");
  }

  /** Closed by the gateway, after what is on its way. */
  close(code: number, reason = "", retryAfterMs?: number): void {
    this.#later(() => {
      if (this.#state !== "open") return;
      this.#state = "gone";
      this.#gateway.gone(this, code);
      this.#handler.close(code, reason, retryAfterMs);
    });
  }

  /** Closed by the client. */
  closedByClient(code: number | undefined): void {
    const wasMuted = this.#state === "muted";
    if (this.#state === "gone") return;
    this.#later(() => {
      if (this.#state === "gone") return;
      this.#state = "gone";
      if (!wasMuted) this.#gateway.gone(this, code ?? 1005);
      this.#handler.close(wasMuted ? 1006 : code ?? 1005, "");
    });
  }

  #later(run: () => void): void {
    this.#gateway.later(run);
  }
}

export class FakeGateway implements Transport {
  /** Every link that was asked for, oldest first. */
  readonly links: FakeLink[] = [];
  /** Every ext message that was taken, oldest first. */
  readonly taken: Message[] = [];
  readonly rooms = new Map<string, FakeRoom>();
  /** Says what becomes of the next links. */
  refuses: (request: LinkRequest) => boolean = () => false;
  /** Answers in the place of the gateway: return true for "done". */
  intercept: (message: Message, link: FakeLink) => boolean = () => false;
  /** Hot frames arrive here. */
  binary: (frame: Uint8Array) => void = () => {};
  /** Bytes that seem to wait in the client's link. */
  buffered = 0;
  readonly options: Required<FakeOptions>;
  readonly #sessions = new Map<string, FakeSession>();
  #names = 0;

  constructor(options: FakeOptions) {
    this.options = {
      latencyMs: 1,
      pingIntervalMs: 20_000,
      windowMs: 0,
      history: 0,
      replayMax: 1000,
      maxFrameBytes: 16_384,
      ...options,
    };
  }

  /** The newest link. */
  get link(): FakeLink {
    return this.links.at(-1)!;
  }

  later(run: () => void): void {
    this.options.clock.setTimeout(run, this.options.latencyMs);
  }

  open(request: LinkRequest, handler: LinkHandler): Link {
    const link = new FakeLink(request, handler, this);
    this.links.push(link);
    const refused = this.refuses(request);
    this.later(() => refused ? link.cut() : this.#greet(link));
    const buffered = () => this.buffered;
    return {
      send: (message) => link.take(typeof message === "string" ? message : message.slice()),
      close: (code) => link.closedByClient(code),
      get buffered() {
        return buffered();
      },
    };
  }

  #greet(link: FakeLink): void {
    if (!link.isOpen) return;
    const { request } = link;
    const { windowMs } = this.options;
    let failed: string | null = null;
    if (request.resume !== undefined && windowMs > 0) {
      const former = this.#sessions.get(request.resume.token);
      failed = former === undefined ? "unknown" : this.#resume(former, link, request.resume.heard);
      if (failed === null) return;
    }
    if (request.ticket === undefined || request.ticket === "bad") return link.cut();
    for (const other of this.#sessions.values()) {
      if (other.sid === request.sid) {
        other.link?.close(4502);
        this.#end(other);
      }
    }
    const name = `s${++this.#names}`;
    const session: FakeSession = {
      user: request.ticket.replace(/^dev:/, "").split("#")[0]!,
      sid: request.sid ?? `sid-${name}`,
      session: name,
      token: null,
      formerToken: null,
      heard: 0,
      sent: 0,
      kept: [],
      link,
      ended: false,
      detachTimer: null,
    };
    link.session = session;
    link.deliver(
      this.#greeting(session, "authed", failed === null ? {} : { resumed: { ok: false, reason: failed } }),
    );
  }

  /** @returns why not, null when it was */
  #resume(session: FakeSession, link: FakeLink, heard: number): string | null {
    const { clock } = this.options;
    if (session.ended) return "ended";
    const missed = session.sent - heard;
    if (missed > session.kept.length) {
      this.#end(session);
      return "overflow";
    }
    session.formerToken = link.request.resume!.token;
    clock.clearTimeout(session.detachTimer);
    const former = session.link;
    session.link = link;
    link.session = session;
    if (former !== null) {
      former.session = null;
      former.close(4502);
    }
    const more = { heard: session.heard, replay: missed };
    link.deliver(this.#greeting(session, "resumed", more));
    for (const message of missed === 0 ? [] : session.kept.slice(-missed)) link.deliver(message);
    return null;
  }

  #greeting(session: FakeSession, type: string, more: object): Message {
    const { windowMs, pingIntervalMs, maxFrameBytes, clock } = this.options;
    let resume = {};
    if (windowMs > 0) {
      session.token = `t${++this.#names}`;
      this.#sessions.set(session.token, session);
      resume = { resume: { token: session.token, window_ms: windowMs } };
    }
    const { user, sid, session: name } = session;
    const data = {
      tenant: "acme",
      user,
      sid,
      session: name,
      ping_interval_ms: pingIntervalMs,
      max_frame_bytes: maxFrameBytes,
      time_ms: clock.unixMs(),
      ...resume,
      ...more,
    };
    return { v: 1, svc: "sys", type, data, trace_id: "0" };
  }

  /** A link is gone. */
  gone(link: FakeLink, code: number): void {
    const { session } = link;
    if (session === null || session.link !== link) return;
    session.link = null;
    const { windowMs, clock } = this.options;
    const comesBack = windowMs > 0 && [1001, 1006, 4001, 4006].includes(code);
    if (!comesBack) return this.#end(session);
    session.detachTimer = clock.setTimeout(() => this.#end(session), windowMs);
  }

  #end(session: FakeSession): void {
    if (session.ended) return;
    session.ended = true;
    for (const [name, room] of this.rooms) this.#leave(session, name, room);
  }

  /** To one session, counted and kept. */
  say(session: FakeSession, message: Message): void {
    if (session.ended) return;
    session.sent++;
    session.kept.push({ v: 1, ...message });
    if (session.kept.length > this.options.replayMax) session.kept.shift();
    session.link?.deliver({ v: 1, ...message });
  }

  /** What a client of ours has sent arrives. */
  heard(link: FakeLink, data: string | Uint8Array): void {
    const { session } = link;
    if (session === null || session.ended) return;
    if (typeof data !== "string") return this.binary(data);
    const message = JSON.parse(data) as Message;
    session.heard++;
    if (session.formerToken !== null) this.#sessions.delete(session.formerToken);
    session.formerToken = null;
    this.taken.push(message);
    if (this.intercept(message, link)) return;
    const { svc, type, seq, room: name, data: said, flags, key } = message;
    const sys = (kind: string, more: object) => this.say(session, { svc: "sys", type: kind, seq, ...more });
    const refuse = (code: string) => sys("error", { data: { code, msg: code.toLowerCase() } });
    switch (`${svc}.${type}`) {
      case "sys.ping":
        return sys("pong", {
          data: { ...said, ...(this.options.windowMs > 0 ? { heard: session.heard } : {}) },
        });
      case "sys.auth":
        return sys("authed", { data: this.#greeting(session, "authed", {}).data });
      case "room.join":
        return this.#join(session, message);
      case "room.leave": {
        const room = this.rooms.get(name);
        if (room !== undefined) this.#leave(session, name, room);
        return sys("left", { room: name });
      }
      case "room.members": {
        const members = [...this.rooms.get(name)?.members ?? []].map(([one, { member }]) => ({
          user: one.user,
          member,
        }));
        return this.say(session, { svc, type: "reply", seq, data: { members, count: members.length } });
      }
      case "room.history": {
        const room = this.rooms.get(name)!;
        const { after = 0, limit = 100 } = said ?? {};
        const messages = room.messages.filter(({ offset }: Message) => offset > after).slice(0, limit);
        const first = room.messages[0]?.offset ?? 0;
        const more = (messages.at(-1)?.offset ?? room.offset) < room.offset;
        return this.say(session, {
          svc,
          type: "reply",
          seq,
          data: { epoch: room.epoch, first, last: room.offset, messages, more },
        });
      }
      case "chat.send": {
        const room = this.rooms.get(name);
        if (!room?.members.has(session)) return refuse("NOT_ALLOWED");
        const result = this.publish(
          name,
          "msg",
          { from: session.user, ...said },
          key === undefined ? undefined : `${session.user} ${key}`,
        );
        if (flags === 4) sys("ack", this.options.history > 0 ? { data: result } : {});
        return;
      }
      case "echo.say":
        return this.say(session, { svc, type: "reply", seq, data: said });
      default:
        return refuse("NOT_FOUND");
    }
  }

  /** Into a room, from anybody. */
  publish(name: string, type: string, data: unknown, key?: string): object {
    const room = this.#room(name);
    const earlier = key === undefined ? undefined : room.keys.get(key);
    if (earlier !== undefined) return { offset: earlier, epoch: room.epoch, duplicate: true };
    const message: Message = { svc: "chat", type, room: name, data };
    if (this.options.history > 0) {
      message.offset = ++room.offset;
      room.messages.push(message);
      if (room.messages.length > this.options.history) room.messages.shift();
      if (key !== undefined) room.keys.set(key, room.offset);
    }
    for (const session of room.members.keys()) this.say(session, message);
    return { offset: room.offset, epoch: room.epoch };
  }

  /** All of a room's history is lost, as by a restart. */
  newEpoch(name: string): void {
    const room = this.#room(name);
    Object.assign(room, { epoch: `e${++this.#names}`, offset: 0, messages: [] });
    room.keys.clear();
  }

  #room(name: string): FakeRoom {
    let room = this.rooms.get(name);
    if (room === undefined) {
      room = {
        epoch: `e${++this.#names}`,
        offset: 0,
        messages: [],
        keys: new Map(),
        members: new Map(),
        lastMember: 0,
      };
      this.rooms.set(name, room);
    }
    return room;
  }

  #join(session: FakeSession, { room: name, seq, data = {} }: Message): void {
    const room = this.#room(name);
    let own = room.members.get(session);
    if (own === undefined) {
      own = { member: ++room.lastMember, presence: false };
      room.members.set(session, own);
      this.#tellPresence(room, name, { event: "join", user: session.user, member: own.member }, session);
    }
    if (data.presence !== undefined) own.presence = data.presence;
    const joined: Message = { member: own.member, count: room.members.size };
    let replay: Message[] = [];
    if (this.options.history > 0) {
      const { since, last } = data;
      const first = room.messages[0]?.offset ?? room.offset + 1;
      let reason: string | undefined;
      if (since !== undefined) {
        reason = since.epoch !== room.epoch
          ? "epoch"
          : since.offset > room.offset
          ? "ahead"
          : since.offset + 1 < first
          ? "trimmed"
          : undefined;
        replay = reason === undefined || reason === "trimmed"
          ? room.messages.filter(({ offset }: Message) => offset > since.offset)
          : [...room.messages];
      } else if (last !== undefined) replay = room.messages.slice(-last);
      const recovered = reason === undefined;
      Object.assign(joined, { epoch: room.epoch, offset: room.offset, recovered, replayed: replay.length });
      if (reason !== undefined) joined.reason = reason;
    }
    this.say(session, { svc: "sys", type: "joined", seq, room: name, data: joined });
    for (const message of replay) this.say(session, message);
  }

  #leave(session: FakeSession, name: string, room: FakeRoom): void {
    const own = room.members.get(session);
    if (own === undefined) return;
    room.members.delete(session);
    this.#tellPresence(room, name, { event: "leave", user: session.user, member: own.member }, session);
  }

  #tellPresence(room: FakeRoom, name: string, change: object, but: FakeSession): void {
    for (const [session, { presence }] of room.members) {
      if (!presence || session === but) continue;
      const data = { ...change, count: room.members.size, at: room.offset };
      this.say(session, { svc: "sys", type: "presence", room: name, data });
    }
  }
}
