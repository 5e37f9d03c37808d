// The public listener's door: handshakes go to admission, plain requests to the operator's routes, within bounds.

import type { Hono } from "hono";
import type { Admission, TenantEntry } from "../admission/admission.ts";
import { SseAdmission } from "../admission/sse.ts";
import { answerUpgrade } from "../admission/upgrade.ts";
import { errorTrace } from "../error_text.ts";
import type { Log } from "../log.ts";
import { tooManyRequests } from "../ops/http.ts";
import type { GuestTransport, ServerHandler } from "../transport/port.ts";
import type { Acceptance } from "./acceptance.ts";

export interface PublicHandlerOptions {
  readonly admission: Admission;
  readonly entries: ReadonlyMap<string, TenantEntry>;
  /** It lives on this listener's HTTP; null where there is none. */
  readonly sse: GuestTransport | null;
  /** The routes in use. */
  readonly ops: () => Hono;
  readonly acceptance: Acceptance;
  readonly log: Log;
}

export function publicHandler(
  { admission, entries, sse, ops, acceptance, log }: PublicHandlerOptions,
): ServerHandler {
  sse?.start(new SseAdmission(admission, entries));
  return {
    request(request, remoteAddress, drop) {
      if (sse?.serves(new URL(request.url).pathname)) return sse.request(request, remoteAddress, drop);
      const waitMs = admission.mayAsk(remoteAddress, (name) => request.headers.get(name));
      return waitMs > 0 ? tooManyRequests(waitMs) : ops().fetch(request);
    },
    upgrade(request) {
      // The transport answers with a bare 500; why, only this log knows.
      const failed = (cause: unknown) => {
        log.error("handshake failed", { error: errorTrace(cause) });
        throw cause;
      };
      try {
        const answer = answerUpgrade(admission, request);
        return answer instanceof Promise ? answer.catch(failed) : answer;
      } catch (cause) {
        return failed(cause);
      }
    },
    accepting: (works, why) => acceptance.tell("public", works, why),
  };
}
