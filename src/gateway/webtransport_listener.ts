// The listener for WebTransport: a session is asked for with the query of a WebSocket, and admission answers it as it does
// everybody. Who is refused is told so on the session's stream, for the session is open before anybody can be asked.

import type { Admission } from "../admission/admission.ts";
import { CertificateKeeper } from "../admission/certificate_keeper.ts";
import type { HandshakeAnswer } from "../admission/handshake.ts";
import { RefusedLink } from "../admission/refused_link.ts";
import { readRequest } from "../admission/upgrade.ts";
import type { Certificate } from "../config/certificate.ts";
import type { Config } from "../config/schema.ts";
import { errorTrace } from "../error_text.ts";
import type { Log } from "../log.ts";
import type { TimerWheel } from "../session/timer_wheel.ts";
import type { Transport, UpgradeAnswer, UpgradeRequest } from "../transport/port.ts";
import type { Acceptance } from "./acceptance.ts";
import type { Clock } from "./clock.ts";

/** Where sessions are asked for. */
const WT_PATH = "/v1/wt";

const FAILED: HandshakeAnswer = {
  refuse: { status: 500, code: "INTERNAL", msg: "handshake failed", reason: "failed" },
};

export interface WebTransportListenerOptions {
  readonly transport: Transport;
  readonly certificate: Certificate;
  readonly config: () => Config;
  readonly admission: Admission;
  readonly acceptance: Acceptance;
  readonly wheel: TimerWheel;
  readonly log: Log;
  readonly clock: Clock;
}

export class WebTransportListener {
  readonly #options: WebTransportListenerOptions;
  readonly #certificate: CertificateKeeper;

  constructor(options: WebTransportListenerOptions) {
    this.#options = options;
    const { acceptance, certificate: current, clock, config, log, transport } = options;
    acceptance.add("webtransport");
    const files = config().gateway.webtransport!.tls;
    this.#certificate = new CertificateKeeper({ files, current, transport, log, clock });
  }

  /** @throws when the address cannot be bound, or this runtime has no QUIC */
  async start(): Promise<void> {
    const { transport, acceptance, log } = this.#options;
    const address = await transport.start({
      request: () => new Response(null, { status: 404 }), // none ever comes
      upgrade: (request) => this.#upgrade(request),
      accepting: (works, why) => acceptance.tell("webtransport", works, why),
    });
    this.#certificate.start();
    log.info("listening for WebTransport", { ...address });
  }

  boundMessages(maxBytes: number): void {
    this.#options.transport.boundMessages(maxBytes);
  }

  async stop(): Promise<void> {
    this.#certificate.stop();
    await this.#options.transport.stop();
  }

  async #upgrade(request: UpgradeRequest): Promise<UpgradeAnswer> {
    const { admission, log, wheel, clock: { newId } } = this.#options;
    const read = readRequest(request);
    // There are no subprotocols to say it with.
    const handshake = { ...read, cbor: read.query.get("cbor") === "1" };
    let answer: HandshakeAnswer;
    try {
      answer = read.path === WT_PATH
        ? await admission.answer(handshake)
        : admission.noSuchPath(handshake, `WebTransport is served at ${WT_PATH}`);
    } catch (cause) {
      log.error("handshake failed", { error: errorTrace(cause) });
      answer = FAILED;
    }
    const accept = "accept" in answer ? answer.accept : new RefusedLink(answer.refuse, { wheel, newId });
    return { accept, protocol: null };
  }
}
