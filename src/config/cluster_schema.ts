// `cluster`: several gateways as one, over NATS.

import * as z from "zod";
import { limit, secret, text, whole } from "./fields.ts";

/** What NATS's subjects are made of, and what a node is called in logs and metrics. */
const PREFIX = /^[A-Za-z0-9_-]{1,32}$/;
const NODE = /^[A-Za-z0-9._-]{0,64}$/;

const file = (description: string) =>
  z.string().min(1).max(4096).meta({ description, wish: "a path" }).optional();

/** Whether a text is the address of a NATS server. */
export function isNatsServer(value: string): boolean {
  if (!/^(nats|tls):\/\//.test(value) || !URL.canParse(value)) return false;
  const { hostname, username, password, pathname, search, hash } = new URL(value);
  return hostname !== "" && username + password + search + hash === "" &&
    (pathname === "" || pathname === "/");
}

const natsTls = z.strictObject({
  ca_file: file(
    "File with the certificates, in PEM, by which the servers' are checked. Absent: the runtime's own.",
  ),
  cert_file: file("File with this gateway's own certificate, in PEM, where the servers ask for one."),
  key_file: file("File with the private key of `cert_file`."),
});

const nats = z.strictObject({
  servers: z.array(text(isNatsServer, {
    description: "The address of a server.",
    wish: 'an address such as "nats://127.0.0.1:4222" or "tls://nats.example.com:4222", without a user',
  })).min(1).max(64).meta({
    description: "Servers of one NATS cluster, tried in any order; others of it are found by themselves.",
    wish: "a list of 1 to 64 servers",
  }),
  user: z.string().min(1).max(256).meta({ description: "User, with `password`.", wish: "a text" }).optional(),
  password: secret("Password of `user`.").optional(),
  token: secret("Token, in the place of user and password.").optional(),
  credentials_file: file(
    "File with a user's JWT and its key, as `nsc` writes it, in the place of user, password and token. A relative path " +
      "starts at this file.",
  ),
  tls: natsTls.meta({
    description: "Speaks TLS with the servers, and with none that does not; `{}` is enough for that.",
  }).optional(),
}).meta({ description: "How NATS is reached." });

const clusterHistory = z.strictObject({
  replicas: whole(1, 5, 1, "Servers of NATS that keep each message of a history: 3 survive the loss of one."),
  max_bytes: limit(
    "Bytes that NATS keeps for one class of rooms of one tenant, all its rooms together, and sets aside for it; above it, the " +
      "oldest messages go.",
    268_435_456,
  ),
}).meta({ description: "What rooms with `store: nats` keep." });

/** `cluster`. */
export const clusterSchema = z.strictObject({
  nats,
  prefix: z.string().regex(PREFIX).default("wsprism").meta({
    description: "Begins all subjects and names of streams; gateways with another one know nothing of these.",
    wish: "1–32 of A–Z a–z 0–9 _ -",
  }),
  node: z.string().regex(NODE).default("").meta({
    description:
      "This gateway's name in logs, metrics and answers, such as `${HOSTNAME:-}`. Absent or empty: a name made up at each start.",
    wish: "at most 64 of A–Z a–z 0–9 . _ -",
  }),
  history: clusterHistory.prefault({}),
}).optional().meta({
  description:
    "Makes this gateway one of several that share rooms, presence, sessions and limits, over NATS. Absent: it is " +
    "alone.",
});
