// `wsprism connect`: a client for a terminal, by any of the gateway's doors. To try one of them in seconds; for a program that
// stays, see docs/client.md.

import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { Command } from "commander";
import { errorText } from "../error_text.ts";
import { envelopeOf, HELP, hotLine, lineOf, plain, readLine } from "./connect/lines.ts";
import { connectTo } from "./connect/doors.ts";
import { noWebTransport } from "./connect/webtransport_wire.ts";
import type { Target, Wire } from "./connect/wire.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { complain } from "./tenant_auth.ts";

interface ConnectOptions {
  readonly tenant?: string;
  readonly user?: string;
  readonly ticket?: string;
  readonly sid?: string;
  readonly join?: string;
  readonly ca?: string;
  readonly certHash?: string;
  readonly json: boolean;
  readonly raw: boolean;
}

const DOORS: Readonly<Record<string, Pick<Target, "door" | "tls"> & { readonly port: number }>> = {
  "ws:": { door: "websocket", tls: false, port: 80 },
  "wss:": { door: "websocket", tls: true, port: 443 },
  "tcp:": { door: "tcp", tls: false, port: 7700 },
  "tcps:": { door: "tcp", tls: true, port: 7700 },
  "sse+http:": { door: "sse", tls: false, port: 80 },
  "sse+https:": { door: "sse", tls: true, port: 443 },
  "wt:": { door: "webtransport", tls: true, port: 7443 },
};

const EXAMPLES = `
Typed lines:
${HELP}

Examples:
  wsprism connect ws://localhost:8080 --tenant acme --user ann --join lobby       a gateway that was started with --dev
  wsprism connect sse+https://gw.example --tenant acme --ticket "$(wsprism token --tenant acme --user ann)"
  echo hello | wsprism connect tcp://localhost:7700 --tenant acme --user bot --join lobby --json
  wsprism connect wt://localhost:7443 --cert-hash "$HASH" --tenant acme --user ann   with what "wsprism webtransport-cert" prints

URLs are ws://, wss://, tcp://, tcps://, sse+http://, sse+https://, and wt:// (WebTransport) where the runtime has a client for it,
which Bun has not. Input that ends is sent to its end, and what comes of it
is awaited. Exit codes: 0 done, 1 no connection or one that the gateway ended, 2 usage, 4 not let in.`;

export function connectCommand(done: Done): Command {
  return new Command("connect")
    .description("talk to a gateway from a terminal: by WebSocket, TCP, a stream of events or WebTransport")
    .argument("<url>", "where: the gateway's address, with a path in front of its own where there is one")
    .option("--tenant <id>", "the tenant")
    .option("--user <name>", "who you are, where development tickets are accepted (--dev)")
    .option("--ticket <ticket>", "your ticket; better in WSPRISM_TICKET, where no list of processes shows it")
    .option("--sid <id>", "a name of this session")
    .option("--join <room>", "join a room first")
    .option("--json", "print each message as a line of JSON", false)
    .option("--raw", "print messages as they go over the wire, both ways", false)
    .option("--ca <file>", "certificates to trust (PEM), in the place of the system's")
    .option(
      "--cert-hash <hash>",
      "with wt://, SHA-256 of the certificate to trust (base64), whoever signed it",
    )
    .addHelpText("after", EXAMPLES)
    .action(async (url: string, options: ConnectOptions) => done(await connect(url, options)));
}

async function connect(url: string, options: ConnectOptions): Promise<number> {
  const target = targetOf(url, options);
  if (typeof target === "string") return complain(target, EXIT.usage);
  return await new Talk(target, options).ended;
}

function targetOf(url: string, options: ConnectOptions): Target | string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return `The URL must be such as ws://localhost:8080, got "${url}"`;
  }
  const { protocol, searchParams: query } = parsed;
  const door = DOORS[protocol];
  if (door === undefined) {
    return `The URL must begin with one of ${Object.keys(DOORS).join("//, ")}//, got "${url}"`;
  }
  // The parser leaves the parts of addresses alone whose scheme it does not know.
  const { hostname, port, pathname } = new URL(url.replace(/^[a-z+]+:/i, "http:"));
  if (options.user !== undefined && options.ticket !== undefined) {
    return "--user and --ticket both say who you are";
  }
  const given = options.ticket ?? process.env["WSPRISM_TICKET"] ?? query.get("ticket");
  const isQuic = door.door === "webtransport";
  const lacking = isQuic ? noWebTransport() : null;
  if (lacking !== null) return lacking;
  if (isQuic && options.ca !== undefined) return "--ca is not for wt://: name the certificate by --cert-hash";
  if (!isQuic && options.certHash !== undefined) return "--cert-hash is for wt:// alone";
  const hash = options.certHash === undefined
    ? null
    : Uint8Array.from(Buffer.from(options.certHash, "base64"));
  if (hash !== null && hash.length !== 32) {
    return `--cert-hash must be 32 bytes in base64, got "${options.certHash}"`;
  }
  let ca: string | null = null;
  if (options.ca !== undefined) {
    try {
      ca = readFileSync(options.ca, "utf8");
    } catch (cause) {
      return `Cannot read ${options.ca}: ${errorText(cause)}`;
    }
  }
  return {
    door: door.door,
    tls: door.tls,
    hostname: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: port === "" ? door.port : Number(port),
    prefix: pathname.replace(/\/+$/, "").replace(/\/v1\/(?:ws|sse|wt)$/, ""),
    tenant: options.tenant ?? query.get("tenant"),
    ticket: options.user === undefined ? given : `dev:${options.user}`,
    sid: options.sid ?? query.get("sid"),
    ca,
    certificateHash: hash,
  };
}

/** One connection, from the first message to the exit code. */
class Talk {
  readonly ended: Promise<number>;
  readonly #options: ConnectOptions;
  readonly #wire: Wire;
  #end!: (code: number) => void;
  #input: ReturnType<typeof createInterface> | null = null;
  #room: string | null = null;
  #isGreeted = false;
  #said = "";
  #isLeaving = false;
  /** Names the ping that is sent after the last line of an input that has ended. */
  readonly #last = `connect-${process.pid}`;

  constructor(target: Target, options: ConnectOptions) {
    this.#options = options;
    this.ended = new Promise((resolve) => this.#end = resolve);
    const interrupted = () => this.#leave();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, interrupted);
    void this.ended.then(() => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, interrupted);
      this.#input?.close();
      process.stdin.destroy();
    });
    this.#wire = connectTo(target, {
      // A session begins with its greeting; where the ticket is to come as a message, nothing greets before it.
      opened: () => target.ticket === null && this.#read(),
      text: (message) => this.#heard(message),
      bytes: (message) => this.#heardBytes(message),
      refused: (status, body) => {
        this.#complain(`not let in (${status}): ${refusalIn(body)}`);
        this.#end(status === 401 || status === 403 ? EXIT.denied : EXIT.failed);
      },
      closed: (code, reason) => this.#closed(code, reason),
      failed: (why) => this.#complain(why),
    });
  }

  #heard(message: string): void {
    const { json, raw } = this.#options;
    const read = objectIn(message);
    const isLast = read["type"] === "pong" &&
      (read["data"] as { id?: string } | undefined)?.id === this.#last;
    if (isLast) return this.#leave();
    if (raw) this.#print(`< ${plain(message)}`);
    else if (json) this.#print(JSON.stringify({ kind: "ext", message: read }));
    else this.#print(lineOf(message));
    if (this.#isGreeted) return;
    if (read["svc"] === "sys" && read["type"] === "authed") {
      this.#isGreeted = true;
      const { join } = this.#options;
      if (join !== undefined) this.#type(`/join ${join}`);
      this.#read();
    } else if (read["svc"] === "sys" && read["type"] === "error") {
      this.#said = String((read["data"] as { msg?: string } | undefined)?.msg ?? "");
    }
  }

  #heardBytes(message: Uint8Array): void {
    const { json, raw } = this.#options;
    if (json && !raw) this.#print(JSON.stringify({ kind: "hot", hex: Buffer.from(message).toString("hex") }));
    else this.#print(raw ? `< ${hotLine(message)}` : hotLine(message));
  }

  #closed(code: number, reason: string): void {
    const { json } = this.#options;
    if (json) this.#print(JSON.stringify({ kind: "close", code, reason }));
    if (this.#isLeaving) return this.#end(EXIT.done);
    const why = reason === "" ? this.#said : reason;
    this.#complain(`the connection ended (${code})${why === "" ? "" : `: ${plain(why)}`}`);
    this.#end(!this.#isGreeted && (code === 4500 || code === 4504) ? EXIT.denied : EXIT.failed);
  }

  #read(): void {
    if (this.#input !== null) return;
    const input = this.#input = createInterface({ input: process.stdin });
    input.on("line", (line) => this.#type(line));
    // What was said last is answered before this.
    input.on("close", () =>
      this.#isLeaving || this.#send(
        JSON.stringify(
          { v: 1, svc: "sys", type: "ping", data: { id: this.#last } },
        ),
        false,
      ));
  }

  #type(line: string): void {
    const typed = readLine(line, this.#room);
    switch (typed.kind) {
      case "ext":
        if (typed.svc === "room" && typed.type === "join") this.#room = typed.room ?? null;
        return this.#send(envelopeOf(typed));
      case "text":
        return this.#send(typed.text);
      case "hot":
        if (this.#options.raw) this.#print(`> ${hotLine(typed.bytes)}`);
        return this.#wire.bytes(typed.bytes);
      case "quit":
        return this.#leave();
      case "help":
        return writeNow(2, `${HELP}\n`);
      case "wrong":
        return this.#complain(typed.why);
      case "nothing":
    }
  }

  #send(message: string, isShown = true): void {
    if (this.#options.raw && isShown) this.#print(`> ${message}`);
    this.#wire.text(message);
  }

  #leave(): void {
    if (this.#isLeaving) return this.#end(EXIT.done);
    this.#isLeaving = true;
    this.#input?.close();
    this.#wire.close();
    // Whoever does not answer is not waited for.
    setTimeout(() => this.#end(EXIT.done), 2000).unref();
  }

  #print(line: string): void {
    writeNow(1, `${line}\n`);
  }

  #complain(why: string): void {
    writeNow(2, `wsprism connect: ${plain(why)}\n`);
  }
}

function objectIn(text: string): Record<string, unknown> {
  try {
    const read: unknown = JSON.parse(text);
    return typeof read === "object" && read !== null ? read as Record<string, unknown> : {};
  } catch {
    return {};
  }
}

function refusalIn(body: string): string {
  const { code, msg } = objectIn(body);
  return msg === undefined ? body.slice(0, 200) : `${code}: ${msg}`;
}
