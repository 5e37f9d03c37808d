// Works in which somebody disturbs: members that never read, a flood to a slow reader, an outbox full of megabytes.
// What is compared is the gateway with itself in peace. Slow readers have segments of 1460 bytes, as over Ethernet:
// with loopback's own, the kernel takes 4 MB for each and hides the outbox.

import type { MessageShape, Pace, Probe, Slow } from "./load_spec.ts";
import type { GatewaySettings, Line, Measured, ServerKind, Shape, Work } from "./works.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const ETHERNET_SEGMENT = 1460;

/** What a socket's buffer in the gateway may hold by default: the watermark, and one write that began below it. */
const SOCKET_BYTES = 2 * 64 * KIB;
/** `tenants[].delivery.lossy.max_bytes` and `gateway.max_outbox_bytes` by default. */
const LOSSY_BYTES = 256 * KIB;
const OUTBOX_BYTES = 256 * MIB;

const HEALTHY = 50;
const STALLED = 300;

/** The default deadline for stalled sockets, which bench.yaml puts off. */
const PROMPT = { writer_send_timeout_ms: 1500 };

function gateway(settings: Partial<GatewaySettings>): ServerKind {
  return {
    kind: "gateway",
    runtime: "bun",
    settings: { gateway: { ...PROMPT, ...settings.gateway }, delivery: settings.delivery ?? {} },
  };
}

/** 2,000 messages/s by ten of the healthy. */
const busy: Pace = { kind: "open", publishersPerGroup: 10, perSecond: 200 };

/** A room of healthy members, and the same with those who never read in it. */
function stalled(
  name: string,
  what: string,
  options: {
    readonly shape?: Partial<Shape>;
    readonly maxOutboxBytes?: number;
    /** Reliable frames are not dropped: who never reads is closed, and nothing has to fill up first. */
    readonly closes?: true;
  },
): Work {
  const maxOutboxBytes = options.maxOutboxBytes ?? OUTBOX_BYTES;
  const server = gateway({ gateway: { max_outbox_bytes: maxOutboxBytes } });
  const shape: Shape = {
    service: "echo",
    sessions: HEALTHY,
    rooms: 1,
    pace: busy,
    sampleEvery: 4,
    ...options.shape,
  };
  const slow: Slow = {
    count: STALLED,
    bytesPerSecond: 0,
    segmentBytes: ETHERNET_SEGMENT,
    receiveBytes: 0,
    settles: options.closes === undefined,
  };
  const title = `${STALLED} never read, ${what}`;
  // What a lane may hold is reached by the lossy lane only: a session whose reliable lane is full is closed.
  const laneBytes = options.closes ? MIB : LOSSY_BYTES;
  const bound = Math.min(maxOutboxBytes, STALLED * (laneBytes + SOCKET_BYTES)) + 64 * MIB;
  const lines: Line[] = [
    {
      title: `${title}: p99 of the others`,
      unit: "µs",
      better: "lower",
      ours: (pair) => pair.ours.p99Micros,
      control: (pair) => pair.control.p99Micros,
      judged: "ours/control",
      target: { atMost: 1.5 },
    },
    {
      title: `${title}: median of each second's p99`,
      unit: "µs",
      better: "lower",
      ours: (pair) => pair.ours.p99BySecondMicros,
      control: (pair) => pair.control.p99BySecondMicros,
      judged: "ours/control",
      target: null,
    },
    {
      title: `${title}: growth of memory`,
      unit: "MiB",
      better: "lower",
      ours: (pair) => (pair.ours.residentBytesMax - pair.ours.residentBytes) / MIB,
      control: (pair) => (pair.control.residentBytesMax - pair.control.residentBytes) / MIB,
      judged: "ours",
      target: { atMost: Math.floor(bound / MIB) },
    },
    info(`${title}: most in outboxes`, "MiB", (pair) => pair.ours.outboxBytesMax / MIB),
    info(
      `${title}: held by the kernel for each`,
      "KiB",
      (pair) => pair.ours.kernelBytesPerSlow / KIB,
    ),
  ];
  if (options.maxOutboxBytes !== undefined) {
    lines.push(info(`${title}: closed with 4000`, "sessions", (pair) => pair.ours.slowConsumers));
  }
  if (options.closes) {
    lines.push({
      ...info(`${title}: closed with 4000`, "sessions", (pair) => pair.ours.slowConsumers),
      better: "higher",
      target: { atLeast: STALLED, atMost: STALLED },
    });
  }
  return {
    name,
    ours: { server, shape: { ...shape, sessions: HEALTHY + STALLED, slow } },
    control: { server, shape },
    seconds: options.closes ? { atLeast: 6, always: true } : { atLeast: 8 },
    lines,
  };
}

/** A number of ours that is looked at by itself. */
function info(title: string, unit: string, ours: (pair: Measured) => number): Line {
  return { title, unit, better: "lower", ours, control: () => NaN, judged: "ours", target: null };
}

const FLOOD_PER_SECOND = 8000;
const FLOOD_PAYLOAD_BYTES = 1000;
/** WebSocket header, and the hot header with its sender, as relay sends them. */
const FLOOD_FRAME_BYTES = 4 + 8 + FLOOD_PAYLOAD_BYTES;
const READ_BYTES_PER_SECOND = FLOOD_PER_SECOND * FLOOD_FRAME_BYTES / 2;

const ping: MessageShape & { kind: "text" } = {
  kind: "text",
  template: '{"v":1,"svc":"sys","type":"ping","data":{"at":"@"}}',
  payloadBytes: 20,
};
const probe: Probe = { message: ping, perSecond: 200 };

/** One session floods the other, which reads at half that rate and sends pings. */
const flooded: Shape = {
  service: "relay",
  sessions: 2,
  rooms: 1,
  pace: { kind: "open", publishersPerGroup: 1, perSecond: FLOOD_PER_SECOND },
  sampleEvery: 4,
  payloadBytes: FLOOD_PAYLOAD_BYTES,
  slow: {
    count: 1,
    bytesPerSecond: READ_BYTES_PER_SECOND,
    segmentBytes: ETHERNET_SEGMENT,
    receiveBytes: 64 * KIB,
    settles: false,
  },
  probe,
};
const quiet: Shape = { ...flooded, pace: { kind: "open", publishersPerGroup: 1, perSecond: 0 } };

/** Time in which the reader took what the kernel held for it, in microseconds. */
function kernelMicros({ ours }: Measured): number {
  return ours.kernelBytesPerSlow * ours.seconds / ours.receivedBytes * 1e6;
}

const TEN_SECONDS_OF_FLOOD = 64 * MIB;

/** Every disturbance, in the order of the report. */
export const disturbances: readonly Work[] = [
  stalled("stalled", "64 B at 2,000/s", {}),
  stalled("stalled-1k", "1 KiB at 2,000/s", { shape: { payloadBytes: KIB } }),
  stalled("stalled-shed", "1 KiB at 2,000/s, bound 32 MiB", {
    shape: { payloadBytes: KIB },
    maxOutboxBytes: 32 * MIB,
  }),
  stalled("stalled-chat", "chat at 2,000/s", { shape: { service: "chat" }, closes: true }),
  {
    name: "flood",
    ours: { server: gateway({}), shape: flooded },
    control: { server: gateway({}), shape: quiet },
    seconds: { atLeast: 8 },
    lines: [
      {
        title: "flood, half of 8 MB/s read: p99 of sys.ping against quiet",
        unit: "µs",
        better: "lower",
        ours: (pair) => pair.ours.probeP99Micros,
        control: (pair) => pair.control.probeP99Micros,
        judged: "ours/control",
        target: null,
      },
      info("flood: sys.gap messages", "texts", (pair) => pair.ours.gaps),
      info("flood: held by the kernel", "KiB", (pair) => pair.ours.kernelBytesPerSlow / KIB),
      info("flood: read from the kernel in", "µs", kernelMicros),
      {
        title: "flood: p99 of sys.ping against quiet and the kernel's time",
        unit: "µs",
        better: "lower",
        ours: (pair) => pair.ours.probeP99Micros,
        control: (pair) => pair.control.probeP99Micros + kernelMicros(pair),
        judged: "ours/control",
        target: { atMost: 2 },
      },
    ],
  },
  {
    name: "overtake",
    ours: {
      server: gateway({
        gateway: { max_outbox_bytes: 0 },
        delivery: { lossy: { max_bytes: TEN_SECONDS_OF_FLOOD } },
      }),
      shape: flooded,
    },
    control: null,
    seconds: { atLeast: 5 },
    lines: [
      {
        title: "overtaking: p50 of sys.ping against waiting hot frames (control)",
        unit: "µs",
        better: "lower",
        ours: (pair) => pair.ours.probeP50Micros,
        control: (pair) => pair.ours.p50Micros,
        judged: "control/ours",
        target: null,
      },
      info("overtaking: most in the outbox", "MiB", (pair) => pair.ours.outboxBytesMax / MIB),
      info("overtaking: held by the kernel", "KiB", (pair) => pair.ours.kernelBytesPerSlow / KIB),
      info("overtaking: read from the kernel in", "µs", kernelMicros),
    ],
  },
];
