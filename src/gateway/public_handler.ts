// The public listener's door: handshakes go to admission, plain requests to the operator's routes, within bounds.

import type { Hono } from "hono";
import type { Admission } from "../admission/admission.ts";
import { errorTrace } from "../error_text.ts";
import type { Log } from "../log.ts";
import { tooManyRequests } from "../ops/http.ts";
import type { ServerHandler } from "../transport/port.ts";
import type { Acceptance } from "./acceptance.ts";

export interface PublicHandlerOptions {
  readonly admission: Admission;
  /** The routes in use. */
  readonly ops: () => Hono;
  readonly acceptance: Acceptance;
  readonly log: Log;
}

export function publicHandler({ admission, ops, acceptance, log }: PublicHandlerOptions): ServerHandler {
  return {
    request(request, remoteAddress) {
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
        const answer = admission.answer(request);
        return answer instanceof Promise ? answer.catch(failed) : answer;
      } catch (cause) {
        return failed(cause);
      }
    },
    accepting: (works, why) => acceptance.tell("public", works, why),
  };
}
