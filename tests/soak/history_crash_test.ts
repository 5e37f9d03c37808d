// The gateway is killed at random moments, again and again, while members talk in rooms that are kept on disk: what was
// acknowledged is there, under the number that was told, and numbers have no holes. `WSPRISM_SOAK_ROUNDS` says how often,
// `WSPRISM_SOAK_SEED` with what chance.

import process from "node:process";
import { test } from "node:test";
import { crashes } from "../flow/history_crashes.ts";

const ROUNDS = Number(process.env["WSPRISM_SOAK_ROUNDS"] ?? 300);
const SEED = Number(process.env["WSPRISM_SOAK_SEED"] ?? Date.now() % 1_000_000);

test(`nothing acknowledged is lost in ${ROUNDS} crashes (seed ${SEED})`, async () => {
  const { acked, kept, repeated } = await crashes(ROUNDS, SEED);
  process.stdout.write(
    `${ROUNDS} crashes: ${acked} messages acknowledged, ${kept} kept, ${repeated} said again under their key\n`,
  );
});
