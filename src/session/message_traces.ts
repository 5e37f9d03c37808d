// The traces of ext messages: a span for each that is traced, and within it one for policy and one for its service. Only
// where the gateway has a tracer.

import type { Denial } from "../policy/denial.ts";
import type { Refusal } from "../protocol/codes.ts";
import type { Envelope } from "../protocol/envelope.ts";
import { type Span, SPAN_KIND, type Tracer } from "../tracing/tracer.ts";
import type { SessionHandle } from "./session_handle.ts";

interface Traced {
  readonly message: Span;
  readonly policy: Span;
  service: Span | null;
}

export class MessageTraces {
  readonly #tracer: Tracer;
  /** Those under way; a message that nobody will answer is forgotten with its trace. */
  readonly #traced = new WeakMap<Envelope, Traced>();

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  /** A message was read, and is judged next. */
  read(session: SessionHandle, message: Envelope, bytes: number): void {
    const span = this.#tracer.begin("message", SPAN_KIND.server, message.trace);
    if (span === null) return;
    Object.assign(span.attributes, {
      "wsprism.tenant": session.tenant,
      "wsprism.user": session.user,
      "wsprism.session": session.session,
      "wsprism.svc": message.svc,
      "wsprism.type": message.type,
      "wsprism.bytes": bytes,
      ...(message.room === null ? {} : { "wsprism.room": message.room }),
    });
    this.#traced.set(message, { message: span, policy: span.child("policy"), service: null });
    this.#tracer.active = span;
  }

  /** Policy is done with it. @param denial what ends it; null where it goes on */
  judged(message: Envelope, denial: Denial | null): void {
    const traced = this.#traced.get(message);
    if (traced === undefined) return;
    const { policy } = traced;
    if (denial !== null) {
      policy.attributes["wsprism.rule"] = denial.ruleId;
      policy.fail(denial.refusal.msg);
      traced.message.fail(denial.refusal.msg);
    }
    policy.end();
    if (denial !== null) traced.message.end();
  }

  /** Its service is called next, and may find the call's span in `tracer.active`. */
  called(message: Envelope): void {
    const traced = this.#traced.get(message);
    if (traced === undefined) return;
    traced.service = traced.message.child(`service ${message.svc}`);
    this.#tracer.active = traced.service;
  }

  /** The service was answered. */
  answered(message: Envelope, refused: Refusal | null): void {
    const traced = this.#traced.get(message);
    if (traced === undefined) return;
    this.#traced.delete(message);
    const { service } = traced;
    if (refused !== null) {
      (service ?? traced.message).fail(refused.msg);
      traced.message.attributes["wsprism.code"] = refused.code;
    }
    service?.end();
    traced.message.end();
  }

  /** The handler is back at the loop: what happens from now on is not the message's doing. */
  idle(): void {
    this.#tracer.active = null;
  }
}
