// Reads the events of the admin API as they come.

import { strict as assert } from "node:assert";

/** One event. */
export interface Event {
  readonly id: number | null;
  readonly type: string;
  // deno-lint-ignore no-explicit-any -- a test says what it expects
  readonly data: any;
}

/** Events as they come. */
export class Events {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";
  /** Signs of life so far. */
  beats = 0;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** The next one, signs of life left out; null at the end. */
  async next(): Promise<Event | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end < 0) {
        const { value, done } = await this.#reader.read();
        if (done) return null;
        this.#text += this.#decoder.decode(value, { stream: true });
        continue;
      }
      const lines = this.#text.slice(0, end).split("\n");
      this.#text = this.#text.slice(end + 2);
      const field = (name: string) =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const type = field("event");
      if (lines[0] === ":") this.beats++;
      if (type === undefined) continue;
      const id = field("id");
      return { id: id === undefined ? null : Number(id), type, data: JSON.parse(field("data")!) };
    }
  }

  /** The next event, which must be of this type; its data. */
  async expect(type: string): Promise<Event["data"]> {
    const event = await this.next();
    assert.equal(event?.type, type, JSON.stringify(event));
    return event!.data;
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }
}
