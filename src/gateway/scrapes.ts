// Metrics as scrapes get them: put together in slices, so that whoever asks holds up nobody.

import type { Exporter } from "../metrics/exporter.ts";
import { FreshEnough } from "../ops/fresh_enough.ts";
import type { Clock } from "./clock.ts";
import { Slices } from "./slices.ts";

/** Work of one turn for a scrape, in milliseconds. */
const SLICE_MS = 0.5;

/** @returns those of one tenant by its name, those of all by null */
export function scrapes(exporter: Exporter, clock: Clock): FreshEnough<string | null> {
  return new FreshEnough(async (tenant) => {
    const slices = new Slices(clock.now, SLICE_MS);
    const rest = () => slices.rest();
    const text = await (tenant === null ? exporter.render(rest) : exporter.renderTenant(tenant, rest));
    return { text, ms: slices.workedMs };
  }, clock);
}
