// How a session that lives takes a new ticket: one at a time and one a second, of the same user and for the same sid. It
// lives on until its old right ends, whatever comes of the ticket.

import type { Json } from "../protocol/json.ts";
import {
  BAD_AUTH,
  type Grant,
  OTHER_SID,
  OTHER_USER,
  type Rejection,
  RENEWAL_LIMITED,
  RENEWAL_MS,
  ticketIn,
} from "./grant.ts";
import type { Tenant } from "./tenant.ts";

/** The session that asks. */
export interface Renewing {
  readonly user: string;
  readonly sid: string;
  readonly address: string;
  readonly addressGroup: string;
  readonly isOpen: boolean;
  /** The ticket is good, and what it says holds from now on. */
  renewed(grant: Grant, seq: number | null): void;
  /** It is not; nothing changes. */
  refuse(rejection: Rejection, seq: number | null): void;
}

/** Of one session, made when it first asks. */
export class Renewals {
  #askedAt = Number.NEGATIVE_INFINITY;
  #verifying = false;

  ask(session: Renewing, tenant: Tenant, data: Json | undefined, seq: number | null): void {
    const ticket = ticketIn(data);
    if (ticket === null) return session.refuse(BAD_AUTH, seq);
    const now = tenant.gateway.now();
    const wait = this.#verifying ? RENEWAL_MS : this.#askedAt + RENEWAL_MS - now;
    if (wait > 0) return session.refuse({ ...RENEWAL_LIMITED, retryAfterMs: Math.ceil(wait) }, seq);
    this.#askedAt = now;
    const { user, address, addressGroup } = session;
    const answer = tenant.settings.authenticator.renew({ ticket, user, address, addressGroup });
    if (!(answer instanceof Promise)) return settle(session, answer, seq);
    this.#verifying = true;
    void answer.then((settled) => {
      this.#verifying = false;
      if (session.isOpen) settle(session, settled, seq);
    });
  }
}

function settle(session: Renewing, answer: Grant | Rejection, seq: number | null): void {
  if (!answer.ok) return session.refuse(answer, seq);
  if (answer.user !== session.user) return session.refuse(OTHER_USER, seq);
  const { sid } = answer.narrowing;
  if (sid !== null && sid !== session.sid) return session.refuse(OTHER_SID, seq);
  session.renewed(answer, seq);
}
