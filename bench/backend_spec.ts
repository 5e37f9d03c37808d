// What backend.ts tells its generators and what it hears back, as JSON.

/** Requests to a backend without a gateway. */
export interface DirectLoad {
  readonly port: number;
  readonly path: string;
  readonly body: string;
  /** Each has one request under way at most. */
  readonly connections: number;
  /** All together; null: as many as there are connections are always under way. */
  readonly perSecond: number | null;
  readonly warmupSeconds: number;
  readonly seconds: number;
}

export interface DirectResult {
  readonly perSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** Publishing by the admin API to sessions that the same process holds. */
export interface PublishLoad {
  readonly port: number;
  readonly adminPort: number;
  readonly authorization: string;
  readonly serverPid: number;
  readonly sessions: number;
  readonly rounds: number;
  readonly seconds: number;
}

/** How messages are published: to everybody, to one user, or to one user each in batches. */
export const PUBLISH_WAYS = ["all", "one", "batch"] as const;
export type PublishWay = typeof PUBLISH_WAYS[number];

/** One round of one way. */
export interface Published {
  readonly way: PublishWay;
  /** Of requests to the admin API. */
  readonly requestsPerSecond: number;
  readonly deliveriesPerSecond: number;
  /** From asking until a session has the message. */
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly serverCpuShare: number;
  readonly loadCpuShare: number;
}

/** A process to be looked at. */
export interface IdleWatch {
  readonly pid: number;
  readonly seconds: number;
}

export interface IdleSeen {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}
