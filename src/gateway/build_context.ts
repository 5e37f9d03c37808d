// What all sessions of a gateway share, made from its options.

import { Fanout } from "../room/fanout.ts";
import { Flusher } from "../session/flusher.ts";
import type { GatewayContext } from "../session/gateway_context.ts";
import { Totals } from "../session/registry.ts";
import { ReplayPump } from "../session/replay_pump.ts";
import { TimerWheel } from "../session/timer_wheel.ts";
import type { GatewayOptions } from "./gateway_options.ts";
import { gatewaySettings } from "./gateway_settings.ts";

/** @param node the gateway's name among several; null where it is alone */
export function buildContext(
  { config, transport, log, clock }: GatewayOptions,
  node: string | null,
): { readonly context: GatewayContext; readonly fanout: Fanout } {
  const fanout = new Fanout(() => context.flusher.wake());
  const context: GatewayContext = {
    settings: gatewaySettings(config.gateway),
    totals: new Totals(() => context.settings.maxSessions),
    wheel: new TimerWheel(clock.now),
    flusher: new Flusher({
      afterTurn: (task) => transport.afterTurn(task),
      now: clock.now,
      // Live messages go first; a replay has what time is left.
      prepare: () => {
        const more = fanout.advance();
        return context.replayPump.advance() || more;
      },
      maxHeldBytes: () => context.settings.maxHeldBytes,
    }),
    replayPump: new ReplayPump(() => context.settings.maxReplayBytes, () => context.flusher.wake()),
    log,
    node,
    now: clock.now,
    unixMs: clock.unixMs,
  };
  return { context, fanout };
}
