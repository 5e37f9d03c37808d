// One live link: its outbox, pings and idling, and the closing handshake. It knows nothing of tenants' rooms and services.
// Whom it serves stands behind a port: first, perhaps, somebody who waits for the client's ticket, then a session.

import { cborForm } from "../protocol/cbor.ts";
import { CLOSE, type CloseCode } from "../protocol/codes.ts";
import { type Frame, LANE } from "../protocol/frame.ts";
import { sysGap } from "../protocol/sys.ts";
import type { TenantMetrics } from "../metrics/metrics.ts";
import type { Link, LinkHandler, TransportName } from "../transport/port.ts";
import { DatagramLanes } from "./datagram_lanes.ts";
import type { GatewayContext } from "./gateway_context.ts";
import type { Gap } from "./gaps.ts";
import { Outbox } from "./outbox.ts";
import type { OutboxOwner, SlowCause } from "./outbox_owner.ts";
import type { Replay } from "./replay.ts";
import type { LaneLook, Pressure } from "./session_look.ts";
import type { TenantSettings } from "./settings.ts";
import { Timer } from "./timer_wheel.ts";

/** How long a peer may take to answer our close before its socket is dropped; a flooding one is not read any more. */
const CLOSE_TIMEOUT_MS = 5000;
const FLOOD_CLOSE_TIMEOUT_MS = 1000;
/** Frames of a peer that were on their way when it was told to go. */
const LATE_MAX = 100_000;

/** When a new connection is looked at for the first time: one that is idle then gives back what it was greeted with. */
const SETTLED_MS = 1000;

/** Whom a connection serves. None of it MUST throw. */
export interface ConnectionUser {
  readonly traceId: string;
  /** Is told of every ext frame that is written; null where nobody comes back for them. */
  readonly replay: Replay | null;
  /** The link is open, or another user has handed the connection over. Comes first, and once. */
  opened(connection: Connection): void;
  text(message: string, now: number): void;
  binary(message: Uint8Array, now: number): void;
  /** The peer's end has answered a ping. */
  ponged(): void;
  /** All that waited in the socket has been taken. */
  drained(): void;
  /** A frame that is no message: a ping, a pong that nobody asked for, or a fragment. */
  control(bytes: number, now: number): void;
  /** Time is up: that of `Connection.expectWithin`, or nothing was heard within the idle timeout. MUST close. */
  timedOut(): void;
  /** Reliable frames cannot be delivered. MUST close. @param waitingBytes what its outbox holds */
  tooSlow(cause: SlowCause, waitingBytes: number): void;
  /**
   * The link is gone, whoever began it. Comes last.
   * @param unwritten ext frames that were queued and never written, for who has a `replay`; null where some are lost
   */
  lost(code: number, reason: string, unwritten: readonly Frame[] | null): void;
}

/** What connections of one tenant share. */
export interface ConnectionDeps {
  readonly gateway: GatewayContext;
  readonly metrics: TenantMetrics;
  readonly settings: TenantSettings;
}

/** Whoever was served has no more to do with it. */
const NOBODY: ConnectionUser = {
  traceId: "",
  replay: null,
  opened: () => {},
  text: () => {},
  binary: () => {},
  control: () => {},
  ponged: () => {},
  drained: () => {},
  timedOut: () => {},
  tooSlow: () => {},
  lost: () => {},
};
const NO_FRAMES: readonly Frame[] = [];

export class Connection extends Timer implements LinkHandler, OutboxOwner {
  /** Ext envelopes travel as CBOR. */
  readonly cbor: boolean;
  readonly #deps: ConnectionDeps;
  #user: ConnectionUser;
  #state: "authenticating" | "attached" | "closing" | "gone" = "authenticating";
  #link: Link | null = null;
  #transport: TransportName = "websocket";
  /** Made for the first frame; given back when the connection is idle. */
  #outbox: Outbox | null = null;
  /** Whether the link has datagrams, and then the lanes that go by them. */
  #hasDatagrams = false;
  #datagrams: DatagramLanes | null = null;
  #heardAt = 0;
  #pingedAt = 0;
  /** Until when nothing is read; 0: it is. */
  #pausedUntil = 0;
  /** Pings without an answer. */
  #pongsDue = 0;
  /** What came after our close. */
  #late = 0;

  constructor(deps: ConnectionDeps, user: ConnectionUser, cbor: boolean) {
    super();
    this.#deps = deps;
    this.#user = user;
    this.cbor = cbor;
  }

  /** By what it came; known once it is open. */
  get transport(): TransportName {
    return this.#transport;
  }

  open(link: Link): void {
    const { gateway } = this.#deps;
    gateway.totals.links++;
    this.#transport = link.transport;
    this.#deps.metrics.connections[link.transport]++;
    this.#link = link;
    this.#hasDatagrams = link.datagrams !== null;
    this.#heardAt = this.#pingedAt = gateway.now();
    this.#user.opened(this);
  }

  /** Serves this user from now on: the client has said who it is. */
  handTo(user: ConnectionUser): void {
    this.#user = user;
    user.opened(this);
  }

  /** Bytes that it was given and that have not left this process. */
  get waitingBytes(): number {
    return (this.#outbox?.waitingBytes ?? 0) + (this.#datagrams?.waitingBytes ?? 0);
  }

  /** How it gets on with what it is sent; null where nothing waits and nothing was dropped. */
  pressure(now: number): Pressure | null {
    const outbox = this.#outbox;
    if (outbox === null || outbox.isIdle) return null;
    const { waitingBytes, dropped } = outbox;
    return { waitingBytes, blockedMs: outbox.blockedMs(now), dropped };
  }

  /** What waits, lane by lane. */
  lanes(): LaneLook[] {
    return this.#outbox?.waiting() ?? [];
  }

  /**
   * Serves nobody from now on: its user goes on without it. The link is closed, or gone at once where there is no code.
   * @returns ext frames that were queued and never written; null where some are lost
   */
  release(code: CloseCode | null): readonly Frame[] | null {
    const outbox = this.#outbox;
    this.#user = NOBODY;
    if (code !== null) {
      const isWhole = outbox === null || !outbox.hasOverflowed;
      this.close(code, true);
      return isWhole ? NO_FRAMES : null;
    }
    const unwritten = outbox === null ? NO_FRAMES : outbox.abandon();
    this.#datagrams?.discard();
    this.#link?.terminate();
    return unwritten;
  }

  /** From now on silence is watched and the peer is pinged. */
  attached(): void {
    if (this.#state !== "authenticating") return;
    this.#state = "attached";
    const { gateway } = this.#deps;
    gateway.wheel.schedule(this, Math.min(SETTLED_MS, this.#nextDeadline(gateway.now())));
  }

  /** Before `attached`: calls `timedOut` so many milliseconds later. */
  expectWithin(ms: number): void {
    this.#deps.gateway.wheel.schedule(this, ms);
  }

  text(message: string): void {
    if (this.#state === "closing") return this.#ignoreLate();
    this.#user.text(message, this.#heard());
    this.#flushSpeaker();
  }

  binary(message: Uint8Array): void {
    if (this.#state === "closing") return this.#ignoreLate();
    this.#user.binary(message, this.#heard());
    this.#flushSpeaker();
  }

  pong(): void {
    // A peer that answers pings which nobody sent pays for them.
    if (this.#pongsDue === 0) return this.control(0);
    this.#pongsDue--;
    this.#heard();
    this.#user.ponged();
  }

  control(bytes: number): void {
    if (this.#state === "closing") this.#ignoreLate();
    else this.#user.control(bytes, this.#heard());
  }

  onDrain(): void {
    this.#outbox?.drained();
    this.#user.drained();
  }

  onDatagramsDrain(): void {
    this.#datagrams?.drained();
  }

  onClose(code: number, reason: string): void {
    if (this.#state === "gone") return;
    this.#state = "gone";
    this.#datagrams?.discard();
    this.#datagrams = null;
    let unwritten: readonly Frame[] | null = NO_FRAMES;
    if (this.#user.replay === null) this.#outbox?.discard();
    else if (this.#outbox !== null) unwritten = this.#outbox.abandon();
    this.#outbox = null;
    const { gateway, metrics } = this.#deps;
    gateway.wheel.cancel(this);
    gateway.totals.links--;
    metrics.connections[this.#transport]--;
    this.#link = null;
    this.#user.lost(code, reason, unwritten);
  }

  /** Queues a frame; nothing after the close. */
  send(frame: Frame): void {
    // What may be lost goes by datagrams where there are any.
    if (this.#hasDatagrams && frame.lane >= LANE.latest) {
      return void (this.#datagrams ?? this.#newDatagramLanes())?.push(frame);
    }
    const outbox = this.#outbox ?? this.#newOutbox();
    outbox?.push(this.cbor ? cborForm(frame) : frame);
  }

  /** Asks the peer's end to answer, once what was sent before is on its way. */
  ping(): void {
    this.#outbox?.flushSpeaker();
    this.#pongsDue++;
    this.#link?.ping();
  }

  /** The session outlives this connection: its client comes back with this token. See `Link.resumable`. */
  resumable(token: string, count: number): void {
    this.#link?.resumable?.(token, count);
  }

  /** Reads nothing more until this time, as far as the transport can. */
  pauseUntil(until: number): void {
    const isPaused = this.#pausedUntil > 0;
    this.#pausedUntil = until;
    if (isPaused || this.#state !== "attached") return;
    this.#link?.pause();
    const { gateway } = this.#deps;
    gateway.wheel.schedule(this, this.#nextDeadline(gateway.now()));
  }

  /** Starts the closing handshake. @param reliable whether what waits on the reliable lane goes out before it */
  close(code: CloseCode, reliable: boolean): void {
    if (this.#state === "closing" || this.#state === "gone") return;
    const floods = code === CLOSE.rateLimited;
    // A stranger that floods is not waited for at all.
    if (floods && this.#state === "authenticating") this.#late = LATE_MAX;
    this.#state = "closing";
    const { gateway, metrics } = this.#deps;
    metrics.closes.add({ name: code.name });
    gateway.wheel.schedule(this, floods ? FLOOD_CLOSE_TIMEOUT_MS : CLOSE_TIMEOUT_MS);
    this.#datagrams?.discard();
    this.#datagrams = null;
    // Either of these may bring the link's close at once, and with it the end of all this.
    this.#outbox?.finish(reliable);
    if (this.#pausedUntil > 0 && !floods) this.#link?.resume();
    this.#link?.close(code.code, code.reason);
    if (floods) this.#link?.pause();
  }

  tooSlow(cause: SlowCause): void {
    this.#user.tooSlow(cause, this.#outbox?.bytes ?? 0);
    // What its socket holds is memory that others need now; a close would wait for it to be read.
    if (cause === "shed") this.#link?.terminate();
  }

  tellGap(gap: Gap): void {
    this.send(sysGap(this.#user.traceId, gap));
  }

  override onTimer(now: number): number {
    if (this.#state === "closing") {
      this.#link?.terminate();
      // Where it does not help at once (native Deno), it is tried again.
      return this.#link === null ? 0 : CLOSE_TIMEOUT_MS;
    }
    const { pingIntervalMs } = this.#deps.gateway.settings;
    const idleTimeoutMs = this.#idleTimeoutMs;
    const isIdle = idleTimeoutMs > 0 && now - this.#heardAt >= idleTimeoutMs;
    if (this.#state === "authenticating" || isIdle) {
      this.#user.timedOut();
      return 0; // the close has set the deadline
    }
    if (this.#pausedUntil > 0 && now >= this.#pausedUntil) {
      this.#pausedUntil = 0;
      this.#link!.resume();
    }
    if (this.#outbox?.isIdle) this.#outbox = null;
    if (this.#datagrams?.isIdle) this.#datagrams = null;
    if (now - this.#pingedAt >= pingIntervalMs) {
      this.#pingedAt = now;
      this.#pongsDue++;
      this.#link!.ping();
      if (this.#link === null) return 0; // the ping found the socket dead
    }
    return this.#nextDeadline(now);
  }

  #newOutbox(): Outbox | null {
    if (this.#link === null || this.#state === "closing") return null;
    const { gateway: { flusher } } = this.#deps;
    const options = { link: this.#link, flusher, tenant: this.#deps, owner: this, replay: this.#user.replay };
    return this.#outbox = new Outbox(options);
  }

  #newDatagramLanes(): DatagramLanes | null {
    if (this.#link === null || this.#link.datagrams === null || this.#state === "closing") return null;
    const { gateway: { flusher } } = this.#deps;
    return this.#datagrams = new DatagramLanes({
      link: this.#link.datagrams,
      flusher,
      tenant: this.#deps,
      owner: this,
      repeat: (frame) => (this.#outbox ?? this.#newOutbox())?.push(frame),
    });
  }

  #flushSpeaker(): void {
    this.#outbox?.flushSpeaker();
    this.#datagrams?.flushSpeaker();
  }

  /** A peer that goes on after it was told to go is not waited for. */
  #ignoreLate(): void {
    if (++this.#late > LATE_MAX) this.#link?.terminate();
  }

  #heard(): number {
    return this.#heardAt = this.#deps.gateway.now();
  }

  /** 0 where the link's runtime watches for silence. */
  get #idleTimeoutMs(): number {
    return this.#link?.canPing === false ? 0 : this.#deps.gateway.settings.idleTimeoutMs;
  }

  #nextDeadline(now: number): number {
    const { pingIntervalMs } = this.#deps.gateway.settings;
    const idleTimeoutMs = this.#idleTimeoutMs;
    const idleAt = idleTimeoutMs === 0 ? Number.POSITIVE_INFINITY : this.#heardAt + idleTimeoutMs;
    const resumeAt = this.#pausedUntil > 0 ? this.#pausedUntil : Number.POSITIVE_INFINITY;
    // Sums round: a deadline can be past by one comparison and not yet by another, and 0 would be none at all.
    return Math.max(1, Math.min(this.#pingedAt + pingIntervalMs, idleAt, resumeAt) - now);
  }
}
