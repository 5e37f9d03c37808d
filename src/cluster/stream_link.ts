// What logs need of a connection to NATS; `NatsLink` is one.

import type { Msg, NatsConnection } from "@nats-io/transport-node";

export interface StreamLink {
  /** Null before the first connection. */
  readonly connection: NatsConnection | null;
  readonly isUp: boolean;
  watch(watcher: (isUp: boolean) => void): void;
  /** Listens to a subject, over all connections that follow. */
  listen(subject: string, heard: (payload: Uint8Array, message: Msg) => void): { stop(): void };
  /** Resolves when the server knows of all that is listened to now, or NATS is away. */
  settled(): Promise<void>;
  /** Whether the largest message that the server takes has so many bytes. */
  takes(bytes: number): boolean;
}
