// Where a handshake carries its ticket, and the tickets that need no keys: `dev` and `static`.

import { Buffer } from "node:buffer";
import type { StaticConfig } from "../config/schema.ts";
import { SUBPROTOCOL_TICKET_PREFIX } from "../protocol/limits.ts";
import { SecretIndex } from "../collections/secret_index.ts";
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
  return { ok: true, user, claims: {}, expiresAtMs: null, ticketId: null, issuedAtMs: null };
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

  stop(): void {}
}

/** Fixed tickets. */
export class StaticVerifier implements Verifier {
  readonly headers: readonly string[] = [];
  readonly #verdicts: SecretIndex<Verdict>;

  constructor(config: StaticConfig) {
    this.#verdicts = new SecretIndex(config.tickets.map(({ ticket, user }) => [ticket, plain(user)]));
  }

  verify({ ticket }: Bearer): Verdict {
    return ticket === null ? BAD_TICKET : this.#verdicts.find(ticket) ?? BAD_TICKET;
  }

  stop(): void {}
}
