// The rows of `hot` that a framing of our own may change, with `gateway.transport: raw`, against the same controls.

import { line, per, type Row } from "../row.ts";
import { echo200, IDLE, oneRoom } from "./hot.ts";
import { onControl, onGateway as onNative, type Shape } from "./load_row.ts";

const cpuPerMessage = per("serverCpuSeconds", "received", 1e6);
const perSecond = per("received", "seconds");

function onRaw(shape: Shape) {
  return onNative(shape, { change: ({ gateway }) => void (gateway["transport"] = "raw") });
}

export const raw: readonly Row[] = [
  {
    name: "raw-echo",
    about: "echo with own framing, against a bare Bun.serve",
    ours: onRaw(echo200),
    control: onControl("bun_echo", echo200),
    lines: [
      line("messages", "/s", perSecond, { better: "higher", atLeast: 0.95 }),
      line("p99", "µs", "p99Micros", { atMost: 1.5 }),
      line("p50", "µs", "p50Micros"),
      line("server CPU per message", "µs", cpuPerMessage),
    ],
  },
  {
    name: "raw-fanout",
    about: "fanout with own framing, against server.publish",
    ours: onRaw(oneRoom(200)),
    control: onControl("bun_publish", oneRoom(200)),
    lines: [
      line("deliveries", "/s", perSecond, { better: "higher", atLeast: 1.3 }),
      line("server CPU per delivery", "µs", cpuPerMessage, { atMost: 0.9 }),
      line("p99", "µs", "p99Micros"),
      line("p50", "µs", "p50Micros"),
    ],
  },
  {
    name: "raw-chat",
    about: "chat with own framing in a room of 200, against the same on Bun's own server",
    ours: onRaw({ ...oneRoom(200), service: "chat" }),
    control: onNative({ ...oneRoom(200), service: "chat" }),
    lines: [
      line("deliveries", "/s", perSecond, { better: "higher", atLeast: 1 }),
      line("server CPU per delivery", "µs", cpuPerMessage),
    ],
  },
  {
    name: "raw-idle",
    about: "idle with own framing",
    ours: onRaw(IDLE),
    lines: [line("memory of a session", "B", "bytesPerSession", { judged: "ours", atMost: 4096 })],
  },
];
