// Tickets of the bench: keys made anew by the conductor, tickets minted by whoever presents them.

import { exportPKCS8, exportSPKI, generateKeyPair, importPKCS8, SignJWT } from "jose";
import { SECRET } from "./lab.ts";

/** A key as text, to be handed to another process. */
export interface TicketKey {
  readonly algorithm: "HS256" | "ES256";
  /** The secret itself, or a private key as PKCS #8. */
  readonly key: string;
}

export interface TicketKeys {
  readonly ticketKey: TicketKey;
  /** `tenants[].auth` that takes its tickets. */
  readonly auth: object;
}

export async function newKey(algorithm: TicketKey["algorithm"]): Promise<TicketKeys> {
  const jwt = (entry: object) => ({ mode: "jwt", jwt: { algorithms: [algorithm], keys: [entry] } });
  if (algorithm === "HS256") return { ticketKey: { algorithm, key: SECRET }, auth: jwt({ secret: SECRET }) };
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const ticketKey = { algorithm, key: await exportPKCS8(privateKey) };
  return { ticketKey, auth: jwt({ public_key: await exportSPKI(publicKey) }) };
}

/** Tickets, all different: good ones, or with a fault. */
export async function mint(
  { algorithm, key }: TicketKey,
  count: number,
  of: (number: number) => { user: string; fault: "stranger" | "expired" | "garbage" | null },
): Promise<string[]> {
  const own = algorithm === "HS256" ? new TextEncoder().encode(key) : await importPKCS8(key, algorithm);
  const stranger = algorithm === "HS256"
    ? new TextEncoder().encode("another secret that nobody has been told of")
    : (await generateKeyPair(algorithm)).privateKey;
  return await Promise.all(Array.from({ length: count }, (_, number) => {
    const { user, fault } = of(number);
    if (fault === "garbage") return `no.token.${user}`;
    return new SignJWT({ sub: user }).setProtectedHeader({ alg: algorithm }).setIssuedAt()
      .setExpirationTime(fault === "expired" ? "-1h" : "1h").sign(fault === "stranger" ? stranger : own);
  }));
}
