// What all sessions of a gateway share, made.

import { AccessLog } from "../session/access_log.ts";
import { Flusher } from "../session/flusher.ts";
import type { GatewayContext } from "../session/gateway_context.ts";
import { Totals } from "../session/registry.ts";
import { ReplayPump } from "../session/replay_pump.ts";
import { TimerWheel } from "../session/timer_wheel.ts";
import { Fanout } from "../room/fanout.ts";
import type { GatewayOptions } from "./gateway_options.ts";
import { gatewaySettings } from "./gateway_settings.ts";

/**
 * @param node the name of this one among several; null where there is one
 * @returns the parts, and the fan-out that their flusher advances
 */
export function gatewayContext(
  { config, transport, log, tracer, clock }: Pick<
    GatewayOptions,
    "config" | "transport" | "log" | "tracer" | "clock"
  >,
  node: string | null,
): { readonly context: GatewayContext; readonly fanout: Fanout } {
  const { now, unixMs } = clock;
  const wake = () => context.flusher.wake();
  const fanout = new Fanout(wake);
  const replayPump = new ReplayPump(() => context.settings.maxReplayBytes, wake);
  const context: GatewayContext = {
    settings: gatewaySettings(config.gateway),
    totals: new Totals(() => context.settings.maxSessions),
    wheel: new TimerWheel(now),
    flusher: new Flusher({
      afterTurn: (task) => transport.afterTurn(task),
      now,
      // Live messages go first; a replay has what time is left.
      prepare: () => {
        const more = fanout.advance();
        return replayPump.advance() || more;
      },
      maxHeldBytes: () => context.settings.maxHeldBytes,
    }),
    replayPump,
    log,
    access: new AccessLog({ log, now, isOn: () => context.settings.accessLog }),
    tracer,
    node,
    now,
    unixMs,
  };
  return { context, fanout };
}
