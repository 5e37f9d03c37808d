// What is on its way into a stream: bounded, in the order in which it was said, and given up at once when NATS goes away.

import { Buffer } from "node:buffer";
import { JetStreamApiError, type JetStreamClient } from "@nats-io/jetstream";
import type { StreamDraft, StreamPlace } from "../room/history_stream.ts";
import type { StreamLink } from "./stream_link.ts";
import { headersOf } from "./stream_names.ts";

/** How long a message may take until it is stored. */
const STORE_MS = 5000;
/** Messages on their way, and their bytes; more are refused. */
const PENDING_MAX = 8192;
const PENDING_BYTES_MAX = 33_554_432;
/** What a record's headers take of what the server takes at most. */
const HEADERS_BYTES = 1024;

/** What is counted over all streams of a node. */
export interface StreamCounts {
  stored: number;
  failed: number;
  refused: number;
  pending: number;
  epochs: number;
}

export interface StreamWriterOptions {
  readonly link: StreamLink;
  readonly counts: StreamCounts;
  readonly client: () => JetStreamClient;
  /** Null when the stream is there. */
  readonly having: () => Promise<void> | null;
  readonly placed: (sequence: number, id: string) => void;
  /** The epoch of the stream, and the highest sequence that is known of it. */
  readonly known: () => { readonly epoch: string; readonly last: number };
  /** Sequences are not what they were. Resolves when that has been looked into. */
  readonly suspect: () => Promise<void>;
  /** Resolves when it has been asked anew which stream it is. */
  readonly verify: () => Promise<void>;
  /** The server did not say that it has stored something. */
  readonly failed: (error: unknown) => void;
}

interface Pending {
  readonly bytes: number;
  readonly settle: (place: StreamPlace | null) => void;
}

export class StreamWriter {
  readonly #options: StreamWriterOptions;
  readonly #pending = new Set<Pending>();
  #bytes = 0;

  constructor(options: StreamWriterOptions) {
    this.#options = options;
  }

  append(subject: string, draft: StreamDraft): Promise<StreamPlace | null> | "full" {
    const { link, counts, having } = this.#options;
    const bytes = Buffer.byteLength(draft.text);
    if (!link.isUp || !link.takes(bytes + HEADERS_BYTES)) {
      counts.failed++;
      return Promise.resolve(null);
    }
    if (this.#pending.size >= PENDING_MAX || this.#bytes + bytes > PENDING_BYTES_MAX) {
      counts.refused++;
      return "full";
    }
    return new Promise((resolve) => {
      const pending = this.#note(bytes, draft, resolve);
      // Those that wait for the stream go out in their order, before any that comes once it is there.
      const waiting = having();
      if (waiting === null) this.#publish(subject, draft, pending);
      else waiting.then(() => this.#publish(subject, draft, pending), () => pending.settle(null));
    });
  }

  /** NATS is away: nobody knows what became of what was on its way. */
  lose(): void {
    for (const pending of [...this.#pending]) pending.settle(null);
  }

  #note(bytes: number, draft: StreamDraft, done: (place: StreamPlace | null) => void): Pending {
    const { counts, placed } = this.#options;
    const pending: Pending = {
      bytes,
      settle: (place) => {
        if (!this.#pending.delete(pending)) return;
        this.#bytes -= bytes;
        counts.pending--;
        if (place !== null) {
          counts.stored++;
          placed(place.sequence, draft.id);
        } else if (draft.kind === "message") counts.failed++;
        done(place);
      },
    };
    this.#pending.add(pending);
    this.#bytes += bytes;
    counts.pending++;
    return pending;
  }

  #publish(subject: string, draft: StreamDraft, pending: Pending): void {
    if (!this.#pending.has(pending)) return;
    const { known, suspect, verify, client } = this.#options;
    const options = { headers: headersOf(draft), timeout: STORE_MS };
    const { epoch, last } = known();
    // Not again if it fails: it would come behind what its sender has said since.
    client().publish(subject, draft.text, options).then(
      async ({ seq, duplicate }) => {
        // A stream that was another meanwhile has given a sequence of which nobody knows what it means.
        if (epoch !== known().epoch) return pending.settle(null);
        if (!duplicate && seq <= last) await suspect();
        // Where it was stored before tells nothing of which stream that is.
        if (duplicate) await verify();
        pending.settle({ epoch: known().epoch, sequence: seq, duplicate });
      },
    ).catch(
      (error: unknown) => {
        pending.settle(null);
        // It was to be stored behind a record that is the newest no more.
        if (draft.behind === undefined || !(error instanceof JetStreamApiError)) this.#options.failed(error);
      },
    );
  }
}
