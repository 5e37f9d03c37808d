// `gateway.tls`, `gateway.tcp`, `gateway.webtransport` and `tenants[].compression`: the certificate of the public listener,
// further listeners, and what travels deflated.

import * as z from "zod";
import { parseListen } from "./addresses.ts";
import { text, whole } from "./fields.ts";

const certificateFiles = z.strictObject({
  cert_file: z.string().min(1).max(4096).meta({
    description:
      "File with the server's certificate and then its intermediates, in PEM. A relative path starts at this file.",
    wish: "a path",
  }),
  key_file: z.string().min(1).max(4096).meta({
    description: "File with the certificate's private key in PEM, without a passphrase.",
    wish: "a path",
  }),
});

/** `gateway.tls`. */
export const tlsSchema = certificateFiles.optional().meta({
  description:
    "Serves `wss:` and `https:` on the public listener. Files that change are taken up by themselves.",
});

/** `gateway.tcp`. */
export const tcpSchema = z.strictObject({
  listen: text((value) => parseListen(value) !== undefined, {
    description: "Address and port of the TCP listener, as `gateway.listen`.",
    wish: '"host:port" with a port 0..65535',
  }),
  tls: certificateFiles.optional().meta({
    description: "Serves TLS on it. Files that change are taken up by themselves.",
  }),
}).optional().meta({
  description:
    "A listener for clients that speak plain TCP, without HTTP and WebSockets. Without it there is none.",
});

/** `tenants[].compression`. */
export const compressionSchema = z.strictObject({
  min_bytes: whole(1, 1_048_576, 1024, "Shorter messages go as they are."),
  max_inflated_bytes: z.int().min(1024).max(16_777_216).optional().meta({
    description:
      "What one message of a client may inflate to, in bytes; above it the connection ends with 1009. Absent: " +
      "`limits.max_frame_bytes`.",
    wish: "1024..16777216",
  }),
}).meta({
  description:
    "Deflates ext messages on WebSockets (permessage-deflate, without context takeover) for clients that offer it. " +
    "Needs the framing of `gateway.transport: raw`, which `auto` then takes; Bun only. Absent: nothing is deflated.",
}).optional();

/** `gateway.webtransport`. */
export const webtransportSchema = z.strictObject({
  listen: text((value) => parseListen(value) !== undefined, {
    description: "Address and UDP port of the listener, as `gateway.listen`.",
    wish: '"host:port" with a port 0..65535',
  }),
  tls: certificateFiles.meta({
    description: "Its certificate, which QUIC always needs. Files that change are taken up by themselves.",
  }),
}).optional().meta({
  description:
    "A listener for WebTransport (QUIC), on Deno with `--unstable-net` only, and experimental. Without it there is none.",
});
