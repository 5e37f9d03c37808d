// The words of the admin API that several routes use, as schemas: names, and where a page of a list goes on.

import { z } from "@hono/zod-openapi";
import { isRoomName } from "../../protocol/envelope.ts";
import { NAME_PATTERN, NAME_RULE, ROOM_BYTES_MAX } from "../../protocol/limits.ts";

/** Longest name of a user or a session, and longest reason, in characters. */
const TEXT_CHARS_MAX = 128;

/** A name as tenants, services and message types have it. */
export const Name = z.string().regex(NAME_PATTERN, `must be ${NAME_RULE}`);
const text = () => z.string().min(1).max(TEXT_CHARS_MAX);
const ROOM_RULE = `must be 1..${ROOM_BYTES_MAX} bytes of printable UTF-8`;
/** What a document can say of `isRoomName`, which goes by bytes and knows surrogates too. */
// deno-lint-ignore no-control-regex -- they are what it is about
const ROOM_PATTERN = /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/;
export const RoomName = z.string().min(1).max(ROOM_BYTES_MAX).regex(ROOM_PATTERN, ROOM_RULE)
  .refine(isRoomName, ROOM_RULE);
export const UserName = text();
export const SessionId = text().openapi({ description: "The gateway's name for a session." });
/** Why a session ends, as its client is told. */
export const Reason = text().openapi({ description: "As the client is told in `sys.kicked`." });
/** Unix time. */
export const Milliseconds = z.int().min(0).max(Number.MAX_SAFE_INTEGER).openapi({
  description: "Unix time in milliseconds.",
});

export const TenantParams = z.object({ tenant: Name });
export const RoomParams = TenantParams.extend({ room: RoomName });
export const SessionParams = TenantParams.extend({ session: SessionId });
export const UserParams = TenantParams.extend({ user: UserName });

/** Items in a page. */
const PAGE_MAX = 1000;

/** A whole number in a query, where all is text. */
export function countQuery(min: number, max: number) {
  const wish = `must be a whole number ${min}..${max}`;
  return z.coerce.number({ error: wish }).int(wish).min(min, wish).max(max, wish);
}

/** How a list is paged. */
export const PageQuery = z.object({
  limit: countQuery(1, PAGE_MAX).default(100).openapi({ description: "Items." }),
  cursor: z.string().min(1).max(ROOM_BYTES_MAX).optional().openapi({
    description: "`next` of the page before; absent for the first.",
  }),
});

/** `next` of a page. */
export const Next = z.string().nullable().openapi({
  description: "The `cursor` of the next page; null when there is none.",
});
