// The listener for WebTransport: a session is asked for with the query of a WebSocket, and admission answers it as it does
// everybody. Who is refused is told so on the session's stream, for the session is open before anybody can be asked.

import { type Admission, WS_PATH } from "../admission/admission.ts";
import { CertificateKeeper } from "../admission/certificate_keeper.ts";
import { RefusedLink } from "../admission/refused_link.ts";
import type { Certificate } from "../config/certificate.ts";
import type { Config } from "../config/schema.ts";
import { errorTrace } from "../error_text.ts";
import type { Log } from "../log.ts";
import { SUBPROTOCOL_CBOR } from "../protocol/limits.ts";
import type { TimerWheel } from "../session/timer_wheel.ts";
import type { Transport, UpgradeAnswer, UpgradeRequest } from "../transport/port.ts";
import type { Acceptance } from "./acceptance.ts";
import type { Clock } from "./clock.ts";

/** Where sessions are asked for. */
const WT_PATH = "/v1/wt";

const WRONG_PATH: UpgradeAnswer = refusal(404, "NOT_FOUND", `WebTransport is served at ${WT_PATH}`);
const FAILED: UpgradeAnswer = refusal(500, "INTERNAL", "handshake failed");

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
    const at = request.target.indexOf("?");
    const path = at < 0 ? request.target : request.target.slice(0, at);
    let answer = WRONG_PATH;
    if (path === WT_PATH) {
      const query = at < 0 ? "" : request.target.slice(at);
      // There are no subprotocols to say it with.
      const cbor = new URLSearchParams(query).get("cbor") === "1";
      const header = (name: string) =>
        cbor && name === "sec-websocket-protocol" ? SUBPROTOCOL_CBOR : request.header(name);
      try {
        answer = await admission.answer({ ...request, target: WS_PATH + query, header });
      } catch (cause) {
        log.error("handshake failed", { error: errorTrace(cause) });
        answer = FAILED;
      }
    }
    return "accept" in answer
      ? answer
      : { accept: new RefusedLink(answer.refuse, { wheel, newId }), protocol: null };
  }
}

function refusal(status: number, code: string, msg: string): UpgradeAnswer {
  return { refuse: { status, headers: {}, body: JSON.stringify({ code, msg }) } };
}
