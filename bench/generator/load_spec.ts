// What the conductor tells the load generator and what it hears back, as JSON: one `Load` as the argument of the process,
// then on stdin a number of seconds on each line, each of which is answered with one `LoadResult` on stdout.

/** Who connects and what is sent. In `path`, `init` and a text message, `%d` is the session's number and `%g` its group. */
export interface Load {
  readonly port: number;
  /** The server's process: its memory is read from /proc, and its CPU time with that of processes that it started. */
  readonly serverPid: number;
  readonly path: string;
  readonly sessions: number;
  /** Session n is in group n modulo groups: a room, where there are rooms. */
  readonly groups: number;
  /** A file with a JSON list of tickets, which follow `path`, one for each session; null: `path` is whole. */
  readonly tickets: string | null;
  /** Text messages sent once after the upgrade. */
  readonly init: readonly string[];
  /** A session is ready when a text with this in it has arrived; null: as soon as it is upgraded. */
  readonly readyText: string | null;
  readonly pace: Pace;
  readonly message: MessageShape;
  /** Sessions that read slowly or not at all; null: none. */
  readonly slow: Slow | null;
  /** Messages of the last session that the gateway answers at once, such as `sys.ping`; null: none. */
  readonly probe: Probe | null;
  /** Where the gateway serves its metrics, to be read each second; null: not read. */
  readonly metricsPath: string | null;
  /** Deliveries that one message causes; null where that is not a fixed number. */
  readonly fanout: number | null;
  /** Every n-th delivery of a session gives a latency sample. */
  readonly sampleEvery: number;
  /** Between the first message and the first measurement; 0: the first second is measured too. */
  readonly warmupSeconds: number;
  /** Sessions that warm the server up before memory per session is counted; 0: it is not counted. */
  readonly baselineSessions: number;
}

/** The last `count` sessions: what they read, once they are ready. */
export interface Slow {
  readonly count: number;
  /** Each. 0: nothing at all. */
  readonly bytesPerSecond: number;
  /** Largest TCP segment, on which the kernel's buffers depend; 0: 64 KiB, as loopback has them. */
  readonly segmentBytes: number;
  /** Their sockets' receive buffer (SO_RCVBUF, which Linux doubles); 0: as the kernel sees fit, up to megabytes. */
  readonly receiveBytes: number;
  /** Whether measuring waits until the gateway has dropped frames for sessions that read nothing. */
  readonly settles: boolean;
}

/** A text that is answered with its stamp in it, sent at a steady rate. */
export interface Probe {
  readonly message: MessageShape & { readonly kind: "text" };
  readonly perSecond: number;
}

/**
 * Closed loop: so many of its own messages in flight. Open loop: so many per second. Idle: nothing is sent. `http`:
 * requests to `port` over so many connections, kept open: `perSecond` of them, or as many as are answered (null).
 */
export type Pace =
  | { readonly kind: "closed"; readonly publishersPerGroup: number; readonly inFlight: number }
  | { readonly kind: "open"; readonly publishersPerGroup: number; readonly perSecond: number }
  | { readonly kind: "idle" }
  | HttpPace;

export interface HttpPace {
  readonly kind: "http";
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly perSecond: number | null;
  /** The body. `@` is replaced by a stamp of 64 bytes, `%u` by the number of some session. */
  readonly body: string;
  /** Above 1, the body is `{"messages": […]}` with so many of them. */
  readonly batch: number;
  /** Whether the next is asked when every session has what the last one caused. */
  readonly untilDelivered: boolean;
}

/**
 * `binary`: `prefix`, then `payloadBytes` of which the first 8 are the stamp; in what comes back, the stamp
 * starts at `answerStampAt`. `text`: `template` with `@` replaced by `payloadBytes` of ASCII that starts with the stamp.
 */
export type MessageShape =
  | {
    readonly kind: "binary";
    readonly prefix: readonly number[];
    readonly payloadBytes: number;
    readonly answerStampAt: number;
  }
  | { readonly kind: "text"; readonly template: string; readonly payloadBytes: number };

/** What a measurement gave. Counts are of the measured seconds where the name does not say "in all". */
export type LoadResult = Readonly<
  Record<
    | "seconds"
    | "sent"
    | "received"
    | "receivedBytes"
    /** Requests answered, of the pace `http`. */
    | "requests"
    | "serverCpuSeconds"
    | "loadCpuSeconds"
    /** Of everything else on the machine. */
    | "otherCpuSeconds"
    | "p50Micros"
    | "p99Micros"
    | "samples"
    /** The median of what p99 was in each second: a machine that stood still once does not show in it. */
    | "p99BySecondMicros"
    /** Round trips of the probe, or of requests. */
    | "probeP50Micros"
    | "probeP99Micros"
    /** In all: messages that were neither asked for nor expected, such as errors. */
    | "strays"
    /** In all: sessions that the server ended, and slow ones among them. */
    | "closed"
    | "slowClosed"
    /** Resident bytes that one session adds to the server; 0 where it is not counted. */
    | "bytesPerSession"
    /** Resident bytes of the server when all sessions were ready, and the most it had from then on. */
    | "residentBytes"
    | "residentBytesMax"
    /** The same of the kernel's memory for TCP, of the whole machine, from /proc/net/sockstat. */
    | "kernelBytes"
    | "kernelBytesMax"
    /** What the kernel held for a slow session: the mean of those sessions, the median over time. */
    | "kernelBytesPerSlow"
    /** From the gateway's metrics, in all: the most that waited in outboxes, and totals at the end. */
    | "outboxBytesMax"
    | "dropped"
    | "slowConsumers"
    /** In all: `sys.gap` messages to slow sessions. */
    | "gaps",
    number
  >
>;
