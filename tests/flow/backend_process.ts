// A customer's side as a process of its own: the keys of an identity provider, an auth backend, a service, the receiver
// of webhooks, each under a path. What they answer, well or badly, is set at /control, whose answer is what was asked so
// far. Runs as a program with Bun.

import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
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
  /**
   * "silent" answers nothing, "head" a status and never a body, "reset" drops the connection, "midway" does so within
   * the body, "huge" answers 100 MB, "garbage" what is no HTTP, and "dies" ends the process.
   */
  readonly fails?: "silent" | "head" | "reset" | "midway" | "huge" | "garbage" | "dies";
  /** Answers `{"reply": <the question>}`. */
  readonly echoes?: boolean;
  /** Answers 422 to a question with this text in it. */
  readonly refuses?: string;
  /** Answers this much later. */
  readonly delayMs?: number;
}

/** A question as it came. */
export interface Asked {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Whether the answer was a good one. */
  readonly taken: boolean;
}

/** The process, as a test drives it. */
export class Backend {
  readonly port: number;
  readonly #stop: () => void;

  static async start(): Promise<Backend> {
    const child = spawn(`${ROOT}/node_modules/bun/bin/bun.exe`, [fileURLToPath(import.meta.url)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const stop = () => void child.kill("SIGKILL");
    process.once("exit", stop);
    const port = await within(
      new Promise<number>((resolve) =>
        child.stdout!.once("data", (text: Buffer) => resolve(Number(text.toString())))
      ),
      "the backend's port",
    );
    return new Backend(port, stop);
  }

  private constructor(port: number, stop: () => void) {
    this.port = port;
    this.#stop = stop;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Sets what a path answers. @returns the questions since the last call */
  async set(path: string, behaviour: Behaviour): Promise<Asked[]> {
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

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: string;
  readonly refused: boolean;
}

function answer({ request, response, body, refused }: Exchange, behaviour: Behaviour): void {
  const { status = 200, body: told = {}, headers = {}, fails, echoes } = behaviour;
  const { socket } = request;
  const json = { "content-type": "application/json", ...headers };
  switch (fails) {
    case "silent":
      return;
    case "reset":
      return void socket.destroy();
    case "dies":
      return process.exit(1);
    case "garbage":
      return void socket.end("\u0000\u0001 this is not HTTP\r\n\r\n");
    case "midway":
      return void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{");
    case "huge": {
      response.writeHead(200, json);
      const chunk = "x".repeat(1_000_000);
      for (let i = 0; i < 100; i++) response.write(chunk);
      return void response.end();
    }
    case "head":
      response.writeHead(status, json);
      return void response.flushHeaders();
  }
  if (refused) return void response.writeHead(422, json).end("{}");
  response.writeHead(status, json);
  const text = echoes ? JSON.stringify({ reply: JSON.parse(body) }) : told;
  response.end(typeof text === "string" ? text : JSON.stringify(text));
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
      const behaviour = behaviours.get(path) ?? { status: 404 };
      const { refuses, fails, status = 200 } = behaviour;
      const refused = refuses !== undefined && body.includes(refuses);
      const taken = !refused && fails === undefined && status < 300;
      asked.push({ path, headers: request.headers as Record<string, string>, body, taken });
      setTimeout(() => answer({ request, response, body, refused }, behaviour), behaviour.delayMs ?? 0);
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
