// A customer's side as a process of its own: the keys of an identity provider at /jwks, and an auth backend at /auth.
// What they answer is set at /control, whose answer is what was asked so far. Runs as a program with Bun.

import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { within } from "../raw_client.ts";
import { ROOT } from "./gateway_process.ts";

/** How a path answers from now on. */
export interface Behaviour {
  readonly status?: number;
  /** Sent as JSON, or as it is when it is a text. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** "silent" answers nothing, "head" a status and never a body, "reset" drops the connection. */
  readonly fails?: "silent" | "head" | "reset";
  /** Answers this much later. */
  readonly delayMs?: number;
}

/** A question as it came. */
export interface Asked {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The process, as a test drives it. */
export class AuthBackend {
  readonly port: number;
  readonly #stop: () => void;

  static async start(): Promise<AuthBackend> {
    const child = spawn(`${ROOT}/node_modules/bun/bin/bun.exe`, [fileURLToPath(import.meta.url)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const stop = () => void child.kill("SIGKILL");
    process.once("exit", stop);
    const port = await within(
      new Promise<number>((resolve) =>
        child.stdout!.once("data", (text: Buffer) => resolve(Number(text.toString())))
      ),
      "the auth backend's port",
    );
    return new AuthBackend(port, stop);
  }

  private constructor(port: number, stop: () => void) {
    this.port = port;
    this.#stop = stop;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Sets what a path answers. @returns the questions since the last call */
  async set(path: "/jwks" | "/auth", behaviour: Behaviour): Promise<Asked[]> {
    return await this.#control({ path, behaviour });
  }

  /** @returns the questions since the last call */
  async asked(): Promise<Asked[]> {
    return await this.#control({});
  }

  async #control(order: object): Promise<Asked[]> {
    const answer = await fetch(`${this.origin}/control`, { method: "POST", body: JSON.stringify(order) });
    return await answer.json();
  }

  stop(): void {
    this.#stop();
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}

function serve(): void {
  const behaviours = new Map<string, Behaviour>();
  let asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const path = request.url ?? "/";
      if (path === "/control") {
        const order = JSON.parse(body) as { path?: string; behaviour?: Behaviour };
        if (order.path !== undefined && order.behaviour !== undefined) {
          behaviours.set(order.path, order.behaviour);
        }
        response.end(JSON.stringify(asked));
        asked = [];
        return;
      }
      asked.push({ path, headers: request.headers as Record<string, string>, body });
      const { status = 200, body: told = {}, headers = {}, fails, delayMs = 0 } = behaviours.get(path) ??
        { status: 404 };
      setTimeout(() => {
        if (fails === "silent") return;
        if (fails === "reset") return void request.socket.destroy();
        response.writeHead(status, { "content-type": "application/json", ...headers });
        if (fails === "head") return void response.flushHeaders();
        response.end(typeof told === "string" ? told : JSON.stringify(told));
      }, delayMs);
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    process.stdout.write(String(typeof address === "object" ? address?.port : ""));
  });
  // It ends with whoever started it.
  process.stdin.on("end", () => process.exit(0));
  process.stdin.resume();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve();
