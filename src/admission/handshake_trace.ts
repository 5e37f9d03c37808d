// The trace of a handshake: one span from its arrival to the answer.

import { SPAN_KIND, type Tracer } from "../tracing/tracer.ts";
import type { Handshake, HandshakeAnswer } from "./handshake.ts";

type Answered = HandshakeAnswer | Promise<HandshakeAnswer>;

/** Answers a handshake, and records what became of it. */
export function traceHandshake(tracer: Tracer, handshake: Handshake, answer: () => Answered): Answered {
  const span = tracer.begin("handshake", SPAN_KIND.server, handshake.header("traceparent"));
  if (span === null) return answer();
  span.attributes["wsprism.tenant"] = handshake.tenant;
  const done = (settled: HandshakeAnswer): HandshakeAnswer => {
    if ("refuse" in settled) {
      const { status, code, reason, msg } = settled.refuse;
      span.attributes["http.response.status_code"] = status;
      span.attributes["wsprism.code"] = code;
      span.attributes["wsprism.reason"] = reason;
      span.fail(msg);
    }
    span.end();
    return settled;
  };
  tracer.active = span;
  try {
    const answered = answer();
    return answered instanceof Promise ? answered.then(done) : done(answered);
  } finally {
    tracer.active = null;
  }
}
