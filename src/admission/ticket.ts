// Where a handshake carries its ticket, and what a ticket is worth. Tickets are secrets: none is logged, echoed
// or put into an error.

import { Buffer } from "node:buffer";
import { SUBPROTOCOL_TICKET_PREFIX } from "../protocol/limits.ts";

/** Tickets longer than this are refused unread. */
const TICKET_CHARS_MAX = 8192;
/** Longest user name in characters. */
const USER_CHARS_MAX = 128;

/**
 * The ticket of a handshake: from `Authorization: Bearer`, else a subprotocol, else the query.
 * @param subprotocols as offered
 */
export function findTicket(
  authorization: string | null,
  subprotocols: readonly string[],
  query: URLSearchParams,
): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? "");
  if (bearer !== null) return bearer[1]!;
  for (const offered of subprotocols) {
    if (!offered.startsWith(SUBPROTOCOL_TICKET_PREFIX)) continue;
    return Buffer.from(offered.slice(SUBPROTOCOL_TICKET_PREFIX.length), "base64url").toString("utf8");
  }
  return query.get("ticket");
}

/** The user of a dev ticket, or null: `dev` is `user:dev`, `dev:<name>` is `<name>`. */
export function devUser(ticket: string): string | null {
  if (ticket.length > TICKET_CHARS_MAX) return null;
  if (ticket === "dev") return "user:dev";
  if (!ticket.startsWith("dev:")) return null;
  const user = ticket.slice("dev:".length);
  return isUserName(user) ? user : null;
}

// A user name is shown to others and stands in logs: no control characters, no lone surrogates.
function isUserName(name: string): boolean {
  return name.length > 0 && name.length <= USER_CHARS_MAX && !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(name);
}
