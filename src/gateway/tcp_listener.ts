// The listener for plain TCP: who connects says hello first, and admission answers as it does everybody.

import type { Admission } from "../admission/admission.ts";
import { CertificateKeeper } from "../admission/certificate_keeper.ts";
import { Hellos } from "../admission/hello.ts";
import type { Certificate } from "../config/certificate.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../log.ts";
import { describeFixed } from "../ops/start_report.ts";
import type { TimerWheel } from "../session/timer_wheel.ts";
import type { StreamHandler, Transport } from "../transport/port.ts";
import type { Acceptance } from "./acceptance.ts";
import type { Clock } from "./clock.ts";

/** Connections that have not said hello yet. */
const STRANGERS_MAX = 10_000;

export interface TcpListenerOptions {
  readonly transport: Transport<StreamHandler>;
  readonly certificate: Certificate | null;
  readonly config: () => Config;
  readonly admission: Admission;
  readonly acceptance: Acceptance;
  readonly wheel: TimerWheel;
  readonly log: Log;
  readonly clock: Clock;
}

export class TcpListener {
  readonly #options: TcpListenerOptions;
  readonly #hellos: Hellos;
  readonly #certificate: CertificateKeeper | null;

  constructor(options: TcpListenerOptions) {
    this.#options = options;
    const { admission, wheel, clock, config, certificate: current, transport, log } = options;
    this.#hellos = new Hellos({
      answer: (handshake) => admission.answer(handshake),
      max: STRANGERS_MAX,
      timeoutMs: () => config().gateway.auth_timeout_ms,
      wheel,
      newId: clock.newId,
    });
    options.acceptance.add("tcp");
    const files = config().gateway.tcp?.tls;
    this.#certificate = current === null || files === undefined
      ? null
      : new CertificateKeeper({ files, current, transport, log, clock });
  }

  /** @throws when the address cannot be bound */
  async start(): Promise<void> {
    const { transport, acceptance, log, config } = this.#options;
    const address = await transport.start({
      connect: () => this.#hellos.connect(),
      accepting: (works, why) => acceptance.tell("tcp", works, why),
    });
    for (const fixed of describeFixed(config(), transport.limits.fixed)) {
      log.warn(fixed, { transport: transport.name });
    }
    this.#certificate?.start();
    log.info("listening for TCP", { ...address, tls: this.#certificate !== null });
  }

  boundMessages(maxBytes: number): void {
    this.#options.transport.boundMessages(maxBytes);
  }

  async stop(): Promise<void> {
    this.#certificate?.stop();
    await this.#options.transport.stop();
  }
}
