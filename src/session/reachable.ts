// A room member and the way to its client: over a connection, or by waiting until there is one again. A class to be extended,
// like those below it, because there are a million sessions.

import type { Frame } from "../protocol/frame.ts";
import type { Authed } from "../protocol/sys.ts";
import type { Missed } from "../room/kept_room.ts";
import type { TransportName } from "../transport/port.ts";
import { Backlog } from "./backlog.ts";
import type { Connection } from "./connection.ts";
import { replayBounds } from "./outbox_limits.ts";
import type { Replay } from "./replay.ts";
import type { ReturnRequest } from "./resumable_session.ts";
import { type LostConnection, type Resumption, TAKEN_OVER } from "./resumption.ts";
import { RoomMember } from "./room_member.ts";

export abstract class Reachable extends RoomMember {
  /** That of its connection, or of its last one. */
  transport: TransportName = "websocket";
  protected connection: Connection | null = null;
  /** Null where it ends with its connection. */
  protected resumption: Resumption | null = null;
  /** What waits behind a replay or for a connection; null where nothing ever did. */
  protected backlog: Backlog | null = null;

  /** What a greeting says of it. */
  protected abstract greeting(): Authed;
  /** Its client has come back from another address than this. */
  protected abstract readdressed(before: string): void;

  get detachedMs(): number | null {
    return this.resumption?.detachedMs ?? null;
  }

  get awayUntil(): number {
    return this.resumption?.awayUntil ?? Number.POSITIVE_INFINITY;
  }

  get taken(): number | null {
    return this.resumption?.taken ?? null;
  }

  get replay(): Replay | null {
    return this.resumption === null ? null : this.backlog!.replay;
  }

  /** What it is sent goes over this connection from now on. */
  attach(connection: Connection): void {
    this.connection = connection;
    this.transport = connection.transport;
  }

  recover(missed: Missed): void {
    if (this.isOpen) this.backlogOf(this.connection).recover(missed);
    else missed.stop();
  }

  mayResume(heard: number): "overflow" | "bad" | null {
    const { replay } = this;
    if (replay === null || heard > replay.sentCount) return "bad";
    if (replay.reachesBackTo(heard) && !this.backlog!.hasOverflowed) return null;
    this.overflow();
    return "overflow";
  }

  comeBack({ token, heard, address, addressGroup }: ReturnRequest): boolean {
    if (!this.isOpen || this.mayResume(heard) !== null) return false;
    if (!this.resumption!.accept(token)) return false;
    const former = this.connection;
    if (former !== null) this.detach(TAKEN_OVER, former.release(null));
    // What the former connection had not written is kept as well now, and may have taken the place of what was missed.
    if (!this.isOpen || this.mayResume(heard) !== null) return false;
    this.replay!.rewind(heard);
    const { addressGroup: before } = this;
    this.address = address;
    this.addressGroup = addressGroup;
    this.readdressed(before);
    return true;
  }

  ponged(): void {
    this.resumption?.confirm();
  }

  drained(): void {
    this.backlog?.drained();
  }

  hasHeard(count: number): boolean {
    return this.replay === null || this.replay.heard(count);
  }

  protected detach(lost: LostConnection, unwritten: readonly Frame[] | null): void {
    this.connection = null;
    this.resumption!.detach(this.backlog!, unwritten, lost);
  }

  /** Its client is back. */
  protected cameBack(connection: Connection): void {
    this.attach(connection);
    this.resumption!.resumed(this.backlog!, connection, () => this.greeting());
  }

  protected send(frame: Frame): void {
    if (this.backlog === null) this.connection?.send(frame);
    else this.backlog.send(frame);
  }

  /** @param connection what it goes to when it is made now */
  protected backlogOf(connection: Connection | null): Backlog {
    if (this.backlog !== null) return this.backlog;
    const { gateway, metrics } = this.home;
    this.backlog = new Backlog({
      cbor: this.cbor,
      flusher: gateway.flusher,
      pump: gateway.replayPump,
      metrics,
      bounds: () => this.resumption?.settings ?? replayBounds(this.home.settings.outbox),
      overflowed: () => this.scheduleOverflow(),
      evicted: () => this.overflow(),
    });
    if (connection !== null) this.backlog.attach(connection);
    return this.backlog;
  }
}
