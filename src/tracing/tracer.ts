// Traces: what the gateway did for one message or handshake, as spans within each other. Where nobody asked for traces
// there is no tracer, and a null check is all that they cost.

import { readTraceparent, type TraceParent } from "./traceparent.ts";

/** What a span is to its neighbours, numbered as OTLP numbers it. */
export const SPAN_KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;
export type SpanKind = typeof SPAN_KIND[keyof typeof SPAN_KIND];

export type Attributes = Record<string, string | number | boolean>;

/** A span that has ended. */
export interface EndedSpan {
  /** 32 hexadecimal digits. */
  readonly trace: string;
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** That of the span around it; null for a trace's first. */
  readonly parent: string | null;
  readonly name: string;
  readonly kind: SpanKind;
  /** Unix time in milliseconds, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Attributes>;
  /** Why it failed; null where it did not. */
  readonly error: string | null;
}

export interface TracerOptions {
  /** How much is traced, 0..1; of what a client wants traced as well. */
  readonly ratio: number;
  /** Takes a span that has ended. MUST NOT throw. */
  readonly ended: (span: EndedSpan) => void;
  /** Unix time in milliseconds, with fractions where there are any. */
  readonly unixMs: () => number;
  /** 0 up to, not including, 1. */
  readonly random: () => number;
}

export class Tracer {
  /** What is being done in this very moment, for those who are called meanwhile; null between two pieces of work. */
  active: Span | null = null;
  readonly #options: TracerOptions;

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  /**
   * Begins a piece of work, or does not: so much of it is traced as the ratio says, whoever asks for it. Whoever says that
   * its own part is not recorded gets none recorded here.
   * @param parent a `traceparent` that came with it; what is none is left aside
   */
  begin(name: string, kind: SpanKind, parent: string | null): Span | null {
    const { ratio, random } = this.#options;
    if (random() >= ratio) return null;
    const given = parent === null ? null : readTraceparent(parent);
    if (given?.sampled === false) return null;
    return this.#span(name, kind, given);
  }

  /** Goes on with what another gateway of the cluster has begun to trace, and has decided on. */
  goOn(name: string, kind: SpanKind, parent: string): Span | null {
    const given = readTraceparent(parent);
    return given?.sampled === true ? this.#span(name, kind, given) : null;
  }

  #span(name: string, kind: SpanKind, given: TraceParent | null): Span {
    return new Span(this.#options, {
      name,
      kind,
      trace: given?.trace ?? newId(16),
      parent: given?.span ?? null,
    });
  }
}

interface SpanPlace {
  readonly name: string;
  readonly kind: SpanKind;
  readonly trace: string;
  readonly parent: string | null;
}

/** A piece of work under way. */
export class Span {
  readonly id = newId(8);
  readonly attributes: Attributes = {};
  readonly #options: TracerOptions;
  readonly #place: SpanPlace;
  readonly #startMs: number;
  #error: string | null = null;
  #over = false;

  constructor(options: TracerOptions, place: SpanPlace) {
    this.#options = options;
    this.#place = place;
    this.#startMs = options.unixMs();
  }

  /** What another program is told, so that its work becomes a part of this. */
  get traceparent(): string {
    return `00-${this.#place.trace}-${this.id}-01`;
  }

  child(name: string, kind: SpanKind = SPAN_KIND.internal): Span {
    return new Span(this.#options, { name, kind, trace: this.#place.trace, parent: this.id });
  }

  fail(why: string): void {
    this.#error = why;
  }

  /** Ends it; what comes later is too late. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.ended({
      ...this.#place,
      id: this.id,
      startMs: this.#startMs,
      endMs: this.#options.unixMs(),
      attributes: this.attributes,
      error: this.#error,
    });
  }
}

/** Random bytes in hexadecimal, never zeroes only. */
function newId(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  random[0]! |= 1;
  let text = "";
  for (const byte of random) text += HEX[byte];
  return text;
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
