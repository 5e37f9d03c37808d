// The gateway's end of a link that is framed by its own transport, for tests of those.

import assert from "node:assert/strict";
import type { Link, LinkHandler } from "../../src/transport/port.ts";
import { within } from "../raw_client.ts";

/** A session's end of a link that remembers what it was told, and can be awaited. */
export class Recorder implements LinkHandler {
  link!: Link;
  readonly heard: unknown[] = [];
  controls = 0;
  readonly closed: Promise<readonly [number, string]>;
  #closed!: (end: readonly [number, string]) => void;
  #wakes: (() => void)[] = [];
  #drains: (() => void)[] = [];
  #datagramDrains: (() => void)[] = [];
  #ends = 0;

  constructor() {
    this.closed = new Promise((resolve) => this.#closed = resolve);
  }

  open(link: Link): void {
    this.link = link;
  }
  text(message: string): void {
    this.#hear(message);
  }
  binary(message: Uint8Array): void {
    this.#hear([...message]);
  }
  pong(): void {
    this.#hear("pong!");
  }
  control(bytes: number): void {
    this.controls += 1;
    this.#hear(`control ${bytes}`);
  }
  onDatagramsDrain(): void {
    assert.equal(this.link.datagrams?.bufferedBytes(), 0);
    for (const wake of this.#datagramDrains.splice(0)) wake();
  }
  datagramsDrained(): Promise<void> {
    return new Promise((resolve) => this.#datagramDrains.push(resolve));
  }
  onDrain(): void {
    assert.equal(this.link.bufferedBytes(), 0);
    for (const wake of this.#drains.splice(0)) wake();
  }
  drained(): Promise<void> {
    return new Promise((resolve) => this.#drains.push(resolve));
  }
  onClose(code: number, reason: string): void {
    assert.equal(++this.#ends, 1, "closed twice");
    this.#closed([code, reason]);
  }
  async hears(count: number): Promise<unknown[]> {
    while (this.heard.length < count) {
      await within(new Promise<void>((resolve) => this.#wakes.push(resolve)), `${count} at the handler`);
    }
    return this.heard;
  }
  #hear(what: unknown): void {
    assert.equal(this.#ends, 0, "heard after the close");
    this.heard.push(what);
    for (const wake of this.#wakes.splice(0)) wake();
  }
}
