// The entries of `ext_allowlist` and `hot_allowlist`, read once for the schema, the warnings and the policy compiler.
// As loose as wsPrism v1, whose files must load: anything before the first colon is a service, anything after it a type.

import { NAME_PATTERN } from "../protocol/limits.ts";

/** An entry of the ext lane; no `type` stands for every type of the service. */
export interface ExtEntry {
  readonly svc: string;
  readonly type: string | undefined;
  /** False where the wire protocol's rule for names keeps any message from matching. */
  readonly matchable: boolean;
}

/** An entry of the hot lane; no `opcode` stands for every opcode of the service. */
export interface HotEntry {
  readonly svcId: number;
  readonly opcode: number | undefined;
}

/** Reads `svc:type` or `svc:*`; undefined without a colon. */
export function parseExtEntry(text: string): ExtEntry | undefined {
  const colon = text.indexOf(":");
  if (colon < 0) return undefined;
  const svc = text.slice(0, colon);
  const type = text.slice(colon + 1);
  const matchable = NAME_PATTERN.test(svc) && (type === "*" || NAME_PATTERN.test(type));
  return { svc, type: type === "*" ? undefined : type, matchable };
}

/** Reads `svc_id:opcode` or `svc_id:*`, both numbers 0..255; undefined for anything else. */
export function parseHotEntry(text: string): HotEntry | undefined {
  const colon = text.indexOf(":");
  if (colon < 0) return undefined;
  const svcId = parseByte(text.slice(0, colon));
  const rest = text.slice(colon + 1);
  const opcode = rest === "*" ? undefined : parseByte(rest);
  if (svcId === undefined || (opcode === undefined && rest !== "*")) return undefined;
  return { svcId, opcode };
}

/** Decimal digits with an optional plus sign and leading zeros, as v1 read them. */
function parseByte(text: string): number | undefined {
  if (!/^\+?[0-9]{1,16}$/.test(text)) return undefined;
  const byte = Number(text);
  return byte <= 255 ? byte : undefined;
}
