// Somebody reads slowly or not at all: what the others notice, and what it costs in memory. The gateway is compared with
// itself in peace. With loopback's own segments (`unread`) the kernel would take 4 MB for each reader; with segments of
// 1,460 bytes, as over Ethernet (`stalled`, `ping`), less, so that the outbox is what fills.

import type { MessageShape, Pace, Slow } from "../generator/load_spec.ts";
import { get, info, type Line, line, type Row, type Sample } from "../row.ts";
import { onGateway, type Shape } from "./load_row.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const ETHERNET_SEGMENT = 1460;

/** What a socket's buffer in the gateway may hold by default: the watermark, and one write that began below it. */
const SOCKET_BYTES = 2 * 64 * KIB;
/** `tenants[].delivery.lossy.max_bytes` and `gateway.max_outbox_bytes` by default. */
const LOSSY_BYTES = 256 * KIB;
const OUTBOX_BYTES = 256 * MIB;
const STALLED = 300;

/** 2,000 messages/s by ten of those who read. */
const busy: Pace = { kind: "open", publishersPerGroup: 10, perSecond: 200 };

function gateway(shape: Shape, settings: { gateway?: object; delivery?: object } = {}) {
  const change = (config: { gateway: object; tenants: object[] }) => {
    // bench.yaml puts off the deadline for stalled sockets; this is the default.
    Object.assign(config.gateway, { writer_send_timeout_ms: 1500 }, settings.gateway);
    if (settings.delivery !== undefined) Object.assign(config.tenants[0]!, { delivery: settings.delivery });
  };
  return onGateway({ ...shape, metrics: true }, { change });
}

const grown = (name: string) => (sample: Sample) => (get(sample, `${name}Max`) - get(sample, name)) / MIB;

/** A room of members who read, and the same with 300 who never do. */
function unread(name: string, about: string, options: {
  readonly readers: number;
  readonly shape: Partial<Shape>;
  /** Members are closed when their reliable lane is full; otherwise measuring may wait until outboxes are full. */
  readonly closes?: boolean;
  readonly wholeRun?: boolean;
  readonly segmentBytes?: number;
  readonly maxOutboxBytes?: number;
  readonly atMost: number;
}): Row {
  const { readers, closes = false, wholeRun = false, maxOutboxBytes = OUTBOX_BYTES } = options;
  const shape: Shape = {
    service: "echo",
    sessions: readers,
    rooms: 1,
    pace: busy,
    sampleEvery: 4,
    warmupSeconds: wholeRun ? 0 : 2,
    seconds: { atLeast: 8, always: closes || wholeRun },
    ...options.shape,
  };
  const slow: Slow = {
    count: STALLED,
    bytesPerSecond: 0,
    segmentBytes: options.segmentBytes ?? ETHERNET_SEGMENT,
    receiveBytes: 0,
    settles: !closes && !wholeRun,
  };
  const settings = { gateway: { max_outbox_bytes: maxOutboxBytes } };
  // What a lane may hold is reached by the lossy lane only: a session whose reliable lane is full is closed.
  const laneBytes = closes ? MIB : LOSSY_BYTES;
  const bound = Math.min(maxOutboxBytes, STALLED * (laneBytes + SOCKET_BYTES)) / MIB + 64;
  const closed: Partial<Line> = closes ? { better: "higher", atLeast: STALLED, atMost: STALLED } : {};
  return {
    name,
    about,
    ours: gateway({ ...shape, sessions: readers + STALLED, slow }, settings),
    control: gateway(shape, settings),
    lines: [
      line("p99 of the others", "µs", "p99Micros", { atMost: options.atMost }),
      line("median of each second's p99", "µs", "p99BySecondMicros"),
      line("growth of memory", "MiB", grown("residentBytes"), { judged: "ours", atMost: Math.floor(bound) }),
      line("growth of the kernel's memory", "MiB", grown("kernelBytes"), { judged: "ours" }),
      info("most in outboxes", "MiB", (sample) => get(sample, "outboxBytesMax") / MIB),
      info("held by the kernel for each", "KiB", (sample) => get(sample, "kernelBytesPerSlow") / KIB),
      info("closed with 4000", "sessions", "slowConsumers", closed),
    ],
  };
}

const FLOOD_PER_SECOND = 8000;
const FLOOD_PAYLOAD_BYTES = 1000;
/** WebSocket header, and the hot header with its sender, as relay sends them. */
const FLOOD_FRAME_BYTES = 4 + 8 + FLOOD_PAYLOAD_BYTES;

const ping: MessageShape & { kind: "text" } = {
  kind: "text",
  template: '{"v":1,"svc":"sys","type":"ping","data":{"at":"@"}}',
  payloadBytes: 20,
};

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
    bytesPerSecond: FLOOD_PER_SECOND * FLOOD_FRAME_BYTES / 2,
    segmentBytes: ETHERNET_SEGMENT,
    receiveBytes: 64 * KIB,
    settles: false,
  },
  probe: { message: ping, perSecond: 200 },
  warmupSeconds: 2,
  seconds: { atLeast: 8 },
};
const calm: Shape = { ...flooded, pace: { kind: "open", publishersPerGroup: 1, perSecond: 0 } };

/** Time in which the reader took what the kernel held for it, in milliseconds. */
function kernelMillis(sample: Sample): number {
  return get(sample, "kernelBytesPerSlow") * get(sample, "seconds") / get(sample, "receivedBytes") * 1e3;
}

const millis = (name: string) => (sample: Sample) => get(sample, name) / 1e3;

export const slow: readonly Row[] = [
  unread("unread", "100 readers beside 300 that never read, 2,000/s of 512 B, from the first second on", {
    readers: 100,
    shape: { payloadBytes: 512 },
    wholeRun: true,
    segmentBytes: 0,
    atMost: 1.5,
  }),
  unread("unread-chat", "the same with chat, until all 300 are closed with 4000", {
    readers: 100,
    shape: { payloadBytes: 512, service: "chat" },
    wholeRun: true,
    closes: true,
    segmentBytes: 0,
    atMost: 2,
  }),
  unread("stalled", "50 readers beside 300 that never read, 2,000/s of 64 B, once outboxes are full", {
    readers: 50,
    shape: {},
    atMost: 1.5,
  }),
  unread("stalled-1k", "the same with 1 KiB", { readers: 50, shape: { payloadBytes: KIB }, atMost: 1.5 }),
  unread("stalled-shed", "the same with max_outbox_bytes of 32 MiB", {
    readers: 50,
    shape: { payloadBytes: KIB },
    maxOutboxBytes: 32 * MIB,
    atMost: 1.5,
  }),
  unread("stalled-chat", "as stalled, with chat: all 300 are closed with 4000", {
    readers: 50,
    shape: { service: "chat" },
    closes: true,
    atMost: 1.5,
  }),
  {
    name: "ping",
    about: "sys.ping of a session that is sent 8 MB/s and reads half of it",
    ours: gateway(flooded),
    control: gateway(calm),
    lines: [
      line("p99 of the answer", "ms", millis("probeP99Micros"), { judged: "ours", atMost: 20 }),
      line("p50 of the answer", "ms", millis("probeP50Micros"), { judged: "ours" }),
      info("sys.gap messages", "texts", "gaps"),
      info("held by the kernel", "KiB", (sample) => get(sample, "kernelBytesPerSlow") / KIB),
      info("read from the kernel in", "ms", kernelMillis),
      // The reader needs its time for what the kernel holds; what is more than that was the gateway's.
      info(
        "p99 less the kernel's time",
        "ms",
        (sample) => get(sample, "probeP99Micros") / 1e3 - kernelMillis(sample),
      ),
    ],
  },
  {
    name: "overtake",
    about: "sys.ping overtakes hot frames that wait in an outbox of 64 MiB",
    ours: gateway({ ...flooded, seconds: { atLeast: 5 } }, {
      gateway: { max_outbox_bytes: 0 },
      delivery: { lossy: { max_bytes: 64 * MIB } },
    }),
    lines: [
      line("p50 of the answer against that of hot frames", "ms", millis("probeP50Micros"), {
        control: millis("p50Micros"),
        judged: "control/ours",
      }),
      info("most in the outbox", "MiB", (sample) => get(sample, "outboxBytesMax") / MIB),
      info("held by the kernel", "KiB", (sample) => get(sample, "kernelBytesPerSlow") / KIB),
      info("read from the kernel in", "ms", kernelMillis),
    ],
  },
];
