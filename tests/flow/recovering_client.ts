// A client that comes back to its session, as docs/recovery.md asks of it, and no more: it counts what it hears, keeps what
// it sends until that was taken, and sends the rest again.

import { within } from "../raw_client.ts";
import type { Door, Message } from "./client.ts";
import { byWebSocket, type Dial, type Wire } from "./wires.ts";

export interface Identity {
  readonly user: string;
  readonly sid?: string;
}

/** What became of an attempt to connect. */
export type Arrival =
  | { readonly type: "authed" | "resumed"; readonly data: Message["data"] }
  | { readonly type: "refused"; readonly status: number; readonly reason: string }
  | { readonly type: "lost" };

export class RecoveringClient {
  /** Heard so far, greetings left out, in the order of hearing. */
  readonly messages: Message[] = [];
  heard = 0;
  /** The number of ext messages sent on this session. */
  sent = 0;
  token: string | null = null;
  #door: Door;
  readonly #who: Identity;
  #dial: Dial;
  #wire: Wire | null = null;
  #greeted = false;
  /** Messages of which it does not know that they were taken. */
  #kept: string[] = [];
  #wake: () => void = () => {};

  /** @param dial how it connects: over a WebSocket unless it says otherwise */
  constructor(door: Door, who: Identity, dial: Dial = byWebSocket) {
    this.#door = door;
    this.#who = who;
    this.#dial = dial;
  }

  /** Where it knocks from now on, and how. */
  turnTo(door: Door, dial: Dial = this.#dial): void {
    this.#door = door;
    this.#dial = dial;
  }

  get isConnected(): boolean {
    return this.#greeted;
  }

  /** Connects with a ticket, and comes back with its token if it has one and `resumes`. */
  async connect(
    { resumes = true, ticket = true }: { resumes?: boolean; ticket?: boolean } = {},
  ): Promise<Arrival> {
    const query = new URLSearchParams({
      tenant: "acme",
      ...(ticket ? { ticket: `dev:${this.#who.user}` } : {}),
      ...(this.#who.sid === undefined ? {} : { sid: this.#who.sid }),
      ...(resumes && this.token !== null
        ? { resume: this.token, heard: String(this.heard) }
        : { resume: "1" }),
    });
    this.#greeted = false;
    let wire!: Wire;
    const arrival = new Promise<Arrival>((resolve) => {
      wire = this.#wire = this.#dial(this.#door, query, {
        refused: (status, body) => {
          const { msg } = JSON.parse(body) as { msg: string };
          resolve({ type: "refused", status, reason: msg });
        },
        message: (text) => {
          if (this.#wire !== wire) return;
          const message = JSON.parse(text) as Message;
          if (this.#greeted) return this.#hear(message);
          const type = message.type as "authed" | "resumed";
          this.#greet(type, message.data);
          resolve({ type, data: message.data });
        },
        closed: () => {
          this.#gone(wire);
          resolve({ type: "lost" });
        },
      });
    });
    return await within(arrival, "a greeting");
  }

  /** Says it now, or when it is back. */
  send(envelope: object): void {
    const text = JSON.stringify({ v: 1, ...envelope });
    this.sent++;
    this.#kept.push(text);
    if (this.#greeted) this.#wire!.send(text);
  }

  /** Says how far it is. */
  ping(): void {
    if (this.#greeted) this.send({ svc: "sys", type: "ping", data: { heard: this.heard } });
  }

  /** Drops the connection without a word. */
  cut(): void {
    this.#wire?.terminate();
  }

  close(code: number): void {
    this.#wire?.close(code);
  }

  /** Resolves when the condition holds; looks after each message and each loss. */
  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds()) {
      await within(new Promise<void>((resolve) => this.#wake = resolve), what);
    }
  }

  /** Has never heard the last so many messages: the cut came before them. */
  unhear(count: number): void {
    this.heard -= count;
    this.messages.splice(this.messages.length - count);
  }

  /** What was said in rooms, of what it heard. */
  get chat(): string[] {
    return this.messages.filter(({ type }) => type === "msg").map(({ data }) => data.msg as string);
  }

  #greet(type: string, data: Message["data"]): void {
    this.#greeted = true;
    this.token = data.resume?.token ?? null;
    if (type === "resumed") this.#taken(data.heard);
    else {
      this.heard = 0;
      this.sent = this.#kept.length;
    }
    for (const text of this.#kept) this.#wire!.send(text);
  }

  #hear(message: Message): void {
    this.heard++;
    if (message.type === "pong" && message.data.heard !== undefined) this.#taken(message.data.heard);
    this.messages.push(message);
    this.#wake();
  }

  #taken(count: number): void {
    const before = this.sent - this.#kept.length;
    if (count > before) this.#kept.splice(0, count - before);
  }

  #gone(wire: Wire): void {
    if (this.#wire !== wire) return;
    this.#greeted = false;
    this.#wake();
  }
}
