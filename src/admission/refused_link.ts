// A link that was opened before anybody could be asked, and is refused: it is told why as its first message, and closed.

import { CLOSE } from "../protocol/codes.ts";
import { sysRefused } from "../protocol/sys.ts";
import { Timer, type TimerWheel } from "../session/timer_wheel.ts";
import type { Link, LinkHandler } from "../transport/port.ts";
import type { HandshakeRefusal } from "./handshake.ts";
import { refusalOf } from "./hello.ts";

/** How long a refused stranger may take to close. */
const CLOSE_TIMEOUT_MS = 2000;

export interface RefusedLinkOptions {
  readonly wheel: TimerWheel;
  readonly newId: () => string;
}

export class RefusedLink extends Timer implements LinkHandler {
  readonly #refused: HandshakeRefusal;
  readonly #options: RefusedLinkOptions;
  #link: Link | null = null;

  constructor(refused: HandshakeRefusal, options: RefusedLinkOptions) {
    super();
    this.#refused = refused;
    this.#options = options;
  }

  open(link: Link): void {
    this.#link = link;
    const { wheel, newId } = this.#options;
    wheel.schedule(this, CLOSE_TIMEOUT_MS);
    const refused = refusalOf(this.#refused);
    link.write([sysRefused(newId(), refused, { retryAfterMs: refused.retryAfterMs })], 1);
    const { code, reason } = refused.close ?? CLOSE.authFailed;
    link.close(code, reason);
  }

  text(): void {}
  binary(): void {}
  pong(): void {}
  control(): void {}
  onDrain(): void {}
  onDatagramsDrain(): void {}

  onClose(): void {
    this.#options.wheel.cancel(this);
    this.#link = null;
  }

  override onTimer(): number {
    this.#link?.terminate();
    return 0;
  }
}
