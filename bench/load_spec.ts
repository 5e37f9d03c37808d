// What run.ts tells the load generator and what it hears back. One generator process does one `Load` and
// prints one `LoadResult`; both travel as JSON.

/** One measurement: who connects, what is sent, for how long. In `path` and `init`, `%d` is the session's number and `%g` its group, as in a text message. */
export interface Load {
  readonly port: number;
  /** The server's process, whose CPU time and memory are read from /proc. */
  readonly serverPid: number;
  readonly path: string;
  readonly sessions: number;
  /** Session n is in group n modulo groups: a room, where there are rooms. */
  readonly groups: number;
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
  readonly warmupSeconds: number;
  readonly seconds: number;
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

/** Closed loop: so many of its own messages in flight. Open loop: so many per second. Idle: memory is measured instead. */
export type Pace =
  | { readonly kind: "closed"; readonly publishersPerGroup: number; readonly inFlight: number }
  | { readonly kind: "open"; readonly publishersPerGroup: number; readonly perSecond: number }
  | { readonly kind: "idle"; readonly baselineSessions: number };

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

/** What a measurement gave; the counts are of the measured seconds, without connecting and warming up. */
export interface LoadResult {
  readonly seconds: number;
  readonly sent: number;
  readonly received: number;
  readonly receivedBytes: number;
  readonly serverCpuSeconds: number;
  readonly loadCpuSeconds: number;
  /** CPU seconds of everything else on the machine. */
  readonly otherCpuSeconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly samples: number;
  /** The median of what p99 was in each second: a machine that stood still once does not show in it. */
  readonly p99BySecondMicros: number;
  /** Round trips of the probe. */
  readonly probeP50Micros: number;
  readonly probeP99Micros: number;
  readonly probeSamples: number;
  /** Messages that were neither asked for nor expected, such as errors, and the first of them. */
  readonly strays: number;
  readonly firstStray: string;
  /** Sessions that the server ended. */
  readonly closed: number;
  /** Resident bytes that one session adds to the server (idle pace only, else 0). */
  readonly bytesPerSession: number;
  /** Resident bytes of the server when all sessions were ready, and the most it had from then on. */
  readonly residentBytes: number;
  readonly residentBytesMax: number;
  /** What the kernel held for a slow session, in bytes: the mean of those sessions, the median over time. */
  readonly kernelBytesPerSlow: number;
  /** Slow sessions that the server ended while they read. */
  readonly slowClosed: number;
  /** From the gateway's metrics, over the whole load: the most that waited in outboxes, and totals at the end. */
  readonly outboxBytesMax: number;
  readonly dropped: number;
  readonly slowConsumers: number;
  /** `sys.gap` messages to slow sessions. */
  readonly gaps: number;
}
