// One reader of events, as Server-Sent Events: what it has not taken yet waits here, within a bound. A reader that is too
// slow is told so and dropped, with all that waited: what it would read then is past.

const encoder = new TextEncoder();

/** What may wait for one reader. */
const EVENTS_MAX = 10_000;
const CHARS_MAX = 4_194_304;
/** Characters that are handed to the runtime at once. */
const CHUNK_CHARS = 65_536;

/** What a reader sees first: that it is connected, and when to come back should it lose the connection. */
const GREETING = 'retry: 2000\nevent: open\ndata: {"type":"open"}\n\n';
/** Keeps the connection from being taken for dead; readers ignore it. */
const HEARTBEAT = ":\n\n";

export class EventStream {
  readonly body: ReadableStream<Uint8Array>;
  #waiting: string[] = [GREETING];
  #chars = GREETING.length;
  #ended = false;
  /** The reader has left. */
  #cancelled = false;
  #wake: () => void = () => {};

  constructor() {
    this.body = new ReadableStream({
      pull: (controller) => this.#pull(controller),
      cancel: () => {
        this.#waiting = [];
        this.#cancelled = true;
        this.#end();
      },
    }, { highWaterMark: 0 });
  }

  /** Whether nothing is read from it any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** @param text an event as text, with the empty line that ends it */
  push(text: string): void {
    if (this.#ended) return;
    if (this.#waiting.length >= EVENTS_MAX || this.#chars + text.length > CHARS_MAX) {
      return this.end("too slow");
    }
    this.#waiting.push(text);
    this.#chars += text.length;
    this.#wake();
  }

  beat(): void {
    if (this.#waiting.length === 0) this.push(HEARTBEAT);
  }

  /** Tells the reader why, in the place of all that waited, and ends. */
  end(reason: string): void {
    if (this.#ended) return;
    const dropped = this.#waiting.length;
    this.#waiting = [`event: end\ndata: ${JSON.stringify({ type: "end", reason, dropped })}\n\n`];
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    if (this.#waiting.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#cancelled) return;
    let text = "", taken = 0;
    while (taken < this.#waiting.length && text.length < CHUNK_CHARS) text += this.#waiting[taken++];
    this.#waiting.splice(0, taken);
    this.#chars -= text.length;
    if (text !== "") controller.enqueue(encoder.encode(text));
    if (this.#ended && this.#waiting.length === 0) controller.close();
  }
}
