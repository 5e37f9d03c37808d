// The doors beside WebSockets: echo and fan-out over TCP against bare `Bun.listen`, and a room that reads streams of events.

import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import type { StreamLoad } from "../generator/stream_load.ts";
import { info, line, type Measure, per, type Row } from "../row.ts";

type Shape = Pick<
  StreamLoad,
  "sessions" | "publishers" | "inFlight" | "streams" | "joins" | "kind" | "sampleEvery"
>;

const ECHO: Shape = {
  sessions: 200,
  publishers: 200,
  inFlight: 1,
  streams: 0,
  joins: false,
  kind: "hot",
  sampleEvery: 1,
};
const ROOM: Shape = { ...ECHO, publishers: 10, inFlight: 4, joins: true, sampleEvery: 64 };
/** Ten publishers on TCP, and 190 who read streams; or all of them on TCP. */
const CHAT_STREAMS: Shape = { ...ROOM, sessions: 10, streams: 190, kind: "chat" };
const CHAT_TCP: Shape = { ...ROOM, kind: "chat" };

const GENERATOR = "bench/generator/stream_load.ts";

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

function onGateway(shape: Shape): Measure {
  return async (lab) => {
    const tcpPort = await freePort();
    const gateway = await lab.gateway({
      change: ({ gateway }) => void (gateway["tcp"] = { listen: `127.0.0.1:${tcpPort}` }),
    });
    const load: StreamLoad = {
      ...shape,
      tcpPort,
      httpPort: gateway.port,
      serverPid: gateway.pid,
      greets: true,
    };
    return await (await lab.program(GENERATOR, load)).ask(lab.seconds());
  };
}

function onControl(name: string, shape: Shape): Measure {
  return async (lab) => {
    const { pid: serverPid, port: tcpPort } = await lab.control(name);
    const load: StreamLoad = { ...shape, tcpPort, httpPort: 0, serverPid, greets: false };
    return await (await lab.program(GENERATOR, load)).ask(lab.seconds());
  };
}

const perSecond = per("received", "seconds");
const cpuPerMessage = per("serverCpuSeconds", "received", 1e6);
const generatorShare = info("generator's CPU", "s/s", per("loadCpuSeconds", "seconds"));

export const streams: readonly Row[] = [
  {
    name: "tcp-echo",
    about: "hot echo over TCP, 200 sessions with one in flight each, against a bare Bun.listen",
    ours: onGateway(ECHO),
    control: onControl("bun_tcp_echo", ECHO),
    lines: [
      line("messages", "/s", perSecond, { better: "higher", atLeast: 0.9 }),
      line("p99", "µs", "p99Micros"),
      line("server CPU per message", "µs", cpuPerMessage),
      generatorShare,
    ],
  },
  {
    name: "tcp-fanout",
    about:
      "hot fan-out over TCP in a room of 200, ten publishers with four in flight, against a bare Bun.listen",
    ours: onGateway(ROOM),
    control: onControl("bun_tcp_room", ROOM),
    lines: [
      line("deliveries", "/s", perSecond, { better: "higher", atLeast: 0.9 }),
      line("p99", "µs", "p99Micros"),
      line("server CPU per delivery", "µs", cpuPerMessage),
      generatorShare,
    ],
  },
  {
    name: "sse-fanout",
    about: "chat in a room of 190 who read streams of events and ten publishers on TCP, against 200 on TCP",
    ours: onGateway(CHAT_STREAMS),
    control: onGateway(CHAT_TCP),
    lines: [
      line("deliveries", "/s", perSecond, { better: "higher" }),
      line("p99", "µs", "p99Micros"),
      line("server CPU per delivery", "µs", cpuPerMessage),
      generatorShare,
    ],
  },
];
