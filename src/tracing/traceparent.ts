// The header by which one program tells another which trace its work belongs to: W3C Trace Context, level 1,
// https://www.w3.org/TR/trace-context/#traceparent-header.

/** Whose work goes on. */
export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly trace: string;
  /** 16 hexadecimal digits. */
  readonly span: string;
  /** Whether whoever says so records it. */
  readonly sampled: boolean;
}

/** Version 00, which later ones begin with; ids of zeroes only are none. */
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZEROES = /^0+$/;
/** Longest that is looked at, in characters. */
const CHARS_MAX = 256;

/** Reads a `traceparent`; null for what is none. */
export function readTraceparent(text: string): TraceParent | null {
  if (text.length > CHARS_MAX) return null;
  const [, version, trace, span, flags, more] = FORM.exec(text) ?? [];
  if (trace === undefined || version === "ff" || version === "00" && more !== undefined) return null;
  if (ZEROES.test(trace) || ZEROES.test(span!)) return null;
  return { trace, span: span!, sampled: (parseInt(flags!, 16) & 1) === 1 };
}
