// What operators cost who look: chat beside five consoles with everything open.

import type { Viewers } from "../generator/viewers.ts";
import { AUTHORIZATION, type Lab } from "../lab.ts";
import { get, info, line, type Row, type Sample } from "../row.ts";
import { type Shape, toLoad } from "./load_row.ts";

/** 2,500 messages/s in rooms of 20: 50,000 deliveries/s. */
const BUSY: Shape = {
  service: "chat",
  sessions: 10_000,
  rooms: 500,
  pace: { kind: "open", publishersPerGroup: 1, perSecond: 5 },
  sampleEvery: 4,
};
const VIEWERS = 5;

async function measure(lab: Lab): Promise<Sample> {
  const gateway = await lab.gateway({
    admin: true,
    change: ({ admin }) => void Object.assign(admin as object, { console: true }),
  });
  const crowd = await lab.crowd(toLoad(BUSY, gateway), true);
  const job: Viewers = {
    adminPort: gateway.adminPort,
    authorization: AUTHORIZATION.authorization,
    viewers: VIEWERS,
    tenant: "bench",
    user: "u0",
    room: "r0",
  };
  const viewers = await lab.disturber("bench/generator/viewers.ts", job);
  const seconds = lab.seconds(8);
  // The first look at each view compiles what answers it.
  await viewers.ask(2);
  const quiet = await crowd.measure(seconds);
  const [{ answers, events }, noisy] = await Promise.all([
    viewers.ask<{ answers: number; events: number }>(seconds),
    crowd.measure(seconds),
  ]);
  return {
    ...noisy,
    answers,
    events,
    quietP50: quiet.p50Micros,
    quietP99: quiet.p99Micros,
    quietP99BySecond: quiet.p99BySecondMicros,
    quietCpu: quiet.serverCpuSeconds / quiet.seconds,
  };
}

export const operators: readonly Row[] = [{
  name: "viewers",
  about:
    "chat of 10,000 sessions, 50,000 deliveries/s, beside five consoles with everything open, against without",
  ours: measure,
  rounds: 3,
  lines: [
    line("p99 against without", "µs", "p99Micros", { control: (all) => get(all, "quietP99"), atMost: 1.1 }),
    line("median of each second's p99", "µs", "p99BySecondMicros", {
      control: (all) => get(all, "quietP99BySecond"),
    }),
    line("p50 against without", "µs", "p50Micros", { control: (all) => get(all, "quietP50") }),
    line(
      "CPU of the viewers",
      "%",
      (all) => 100 * (get(all, "serverCpuSeconds") / get(all, "seconds") - get(all, "quietCpu")),
      {
        judged: "ours",
        atMost: 2,
      },
    ),
    info("answers", "", "answers"),
    info("events", "", "events"),
  ],
}];
