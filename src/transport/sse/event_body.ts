// The body of an answer that never ends, as a queue with a length: what the runtime has not asked for yet waits here, and
// that is how a reader that stalls is known. Each runtime asks for more only when its socket has room (Bun 1.4.5, Deno 2.9.6
// and `node:http` there: 4 MB of kernel buffer for a reader that stalls, and not a byte more).

/** Handed to the runtime at once. */
const CHUNK_BYTES = 65_536;

export interface BodyEvents {
  /** The runtime asks for the first time: somebody reads. */
  started(): void;
  /** Nothing waits any more. */
  drained(): void;
  /** All of it is with the runtime, and it was the end; or the reader is gone. Comes last, and once. */
  ended(): void;
}

export class EventBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #events: BodyEvents;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  /** Set while the runtime waits for more. */
  #asking: (() => void) | null = null;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #state: "new" | "open" | "ending" | "over" = "new";

  constructor(events: BodyEvents) {
    this.#events = events;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#pull(),
      cancel: () => this.#over(),
    }, { highWaterMark: 0 });
  }

  get waitingBytes(): number {
    return this.#bytes;
  }

  /** @returns bytes that wait after it */
  write(bytes: Uint8Array): number {
    if (this.#state !== "open" || bytes.length === 0) return this.#bytes;
    const asking = this.#asking;
    if (asking !== null) {
      this.#asking = null;
      this.#controller.enqueue(bytes);
      asking();
      return 0;
    }
    this.#waiting.push(bytes);
    return this.#bytes += bytes.length;
  }

  /** Ends it behind what waits, or without that. */
  end(waits: "send" | "lose"): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    if (waits === "lose") this.#bytes = this.#waiting.length = 0;
    if (this.#bytes === 0) this.#finish();
  }

  /** Ends it now; what waits is lost. @param tells the runtime, which drops the connection, unless that was done already */
  abort(tells: boolean): void {
    if (this.#state === "over") return;
    if (tells) this.#controller.error(new Error("stream is dropped"));
    this.#over();
  }

  #pull(): Promise<void> | void {
    if (this.#state === "new") {
      this.#state = "open";
      this.#events.started();
    }
    if (this.#bytes > 0) return this.#give();
    // `ended` or an end may have come from what was told.
    if (this.#state !== "open") return;
    return new Promise((resolve) => this.#asking = resolve);
  }

  #give(): void {
    let count = 0, bytes = 0;
    while (
      count < this.#waiting.length && (count === 0 || bytes + this.#waiting[count]!.length <= CHUNK_BYTES)
    ) {
      bytes += this.#waiting[count++]!.length;
    }
    const taken = this.#waiting.splice(0, count);
    this.#bytes -= bytes;
    this.#controller.enqueue(count === 1 ? taken[0]! : joined(taken, bytes));
    if (this.#bytes > 0) return;
    if (this.#state === "ending") this.#finish();
    else this.#events.drained();
  }

  #finish(): void {
    this.#controller.close();
    this.#over();
  }

  #over(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#waiting = [];
    this.#bytes = 0;
    this.#asking?.();
    this.#asking = null;
    this.#events.ended();
  }
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
