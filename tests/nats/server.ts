// A real nats-server for tests, on a free port of 127.0.0.1, with what it keeps in a folder of its own.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { within } from "../raw_client.ts";
import { findNats } from "./find.ts";

const START_MS = 30_000;
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface NatsOptions {
  /** Further arguments. */
  readonly args?: readonly string[];
  /** The same as before a restart; a free one when absent. */
  readonly port?: number;
}

export class NatsServer {
  readonly folder: string;
  port = 0;
  readonly #options: NatsOptions;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  private constructor(options: NatsOptions) {
    this.#options = options;
    this.folder = mkdtempSync(join(tmpdir(), "wsprism-nats-"));
  }

  static async start(options: NatsOptions = {}): Promise<NatsServer> {
    const server = new NatsServer(options);
    server.port = options.port ?? 0;
    await server.resume();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Starts it again, on the port that it had. */
  async resume(): Promise<void> {
    const port = this.port === 0 ? "-1" : String(this.port);
    const args = ["-a", "127.0.0.1", "-p", port, "-js", "-sd", this.folder, ...this.#options.args ?? []];
    const child = this.#child = spawn(findNats()!, args, { stdio: ["ignore", "ignore", "pipe"] });
    running.add(child);
    this.#exited = new Promise((resolve) =>
      child.once("exit", () => {
        running.delete(child);
        resolve();
      })
    );
    const ready = new Promise<number>((resolve, reject) => {
      let log = "";
      child.stderr!.on("data", (chunk: Uint8Array) => {
        log += new TextDecoder().decode(chunk);
        const port = /Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(log)?.[1];
        if (port !== undefined && /Server is ready/.test(log)) resolve(Number(port));
      });
      child.once("exit", () => reject(new Error(`nats-server ended: ${log}`)));
    });
    this.port = await within(ready, "nats-server", START_MS);
  }

  /** Ends it as a crash does. What it kept stays. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    process.kill(this.#child!.pid!, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
