// Where a handshake carries its ticket, and the tickets that need no keys: `dev` and `static`.

import { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { StaticConfig } from "../config/schema.ts";
import { SUBPROTOCOL_TICKET_PREFIX } from "../protocol/limits.ts";
import { BAD_TICKET, type Bearer, isUserName, type Verdict, type Verifier } from "./verifier.ts";

/** How a ticket came, as metrics name it. */
export type TicketWay = "header" | "subprotocol" | "query" | "none" | "message" | "renewal";

export interface FoundTicket {
  readonly ticket: string;
  readonly way: "header" | "subprotocol" | "query";
}

/**
 * The ticket of a handshake: from `Authorization: Bearer`, else a subprotocol, else the query.
 * @param subprotocols as offered
 */
export function findTicket(
  authorization: string | null,
  subprotocols: readonly string[],
  query: URLSearchParams,
): FoundTicket | null {
  const bearer = authorization === null ? null : /^Bearer +(\S+) *$/i.exec(authorization);
  if (bearer !== null) return { ticket: bearer[1]!, way: "header" };
  for (const offered of subprotocols) {
    if (!offered.startsWith(SUBPROTOCOL_TICKET_PREFIX)) continue;
    const ticket = Buffer.from(offered.slice(SUBPROTOCOL_TICKET_PREFIX.length), "base64url").toString("utf8");
    return { ticket, way: "subprotocol" };
  }
  const ticket = query.get("ticket");
  return ticket === null ? null : { ticket, way: "query" };
}

/** A ticket that says nothing but whose it is. */
function plain(user: string): Verdict {
  return { ok: true, user, claims: {}, expiresAtMs: null, ticketId: null };
}

/** Dev tickets, from anybody: `dev` is `user:dev`, `dev:<name>` is `<name>`. */
export class DevVerifier implements Verifier {
  readonly headers: readonly string[] = [];

  verify({ ticket }: Bearer): Verdict {
    if (ticket === "dev") return plain("user:dev");
    if (ticket === null || !ticket.startsWith("dev:")) return BAD_TICKET;
    const user = ticket.slice("dev:".length);
    return isUserName(user) ? plain(user) : BAD_TICKET;
  }
}

/**
 * Fixed tickets. They are found by their HMAC under a key that only this process has, so that the time a lookup takes
 * says nothing about how near a guess came, however many tickets there are.
 */
export class StaticVerifier implements Verifier {
  readonly headers: readonly string[] = [];
  readonly #key = randomBytes(32);
  readonly #entries = new Map<string, { readonly digest: Buffer; readonly verdict: Verdict }>();

  constructor(config: StaticConfig) {
    for (const { ticket, user } of config.tickets) {
      const digest = this.#digest(ticket);
      this.#entries.set(digest.toString("latin1"), { digest, verdict: plain(user) });
    }
  }

  verify({ ticket }: Bearer): Verdict {
    if (ticket === null) return BAD_TICKET;
    const digest = this.#digest(ticket);
    const entry = this.#entries.get(digest.toString("latin1"));
    return entry !== undefined && timingSafeEqual(entry.digest, digest) ? entry.verdict : BAD_TICKET;
  }

  #digest(ticket: string): Buffer {
    return createHmac("sha256", this.#key).update(ticket).digest();
  }
}
