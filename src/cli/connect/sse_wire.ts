// `sse+http://` and `sse+https://`: a stream of events, and POSTs one after the other. By `node:http`, whose answer can be
// read as it comes, through no proxy that the environment names.

import { Buffer } from "node:buffer";
import { Agent, type ClientRequest, type IncomingMessage, request as requestPlain } from "node:http";
import { Agent as SecureAgent, request as requestSecure } from "node:https";
import { SSE_PATH } from "../../transport/sse/sse.ts";
import { authorityOf, headersOf, queryOf, type Target, type Wire, type WireEvents } from "./wire.ts";

interface Answer {
  readonly status: number;
  readonly body: string;
}

export class SseWire implements Wire {
  readonly #target: Target;
  readonly #events: WireEvents;
  readonly #agent: Agent;
  readonly #stream: ClientRequest;
  #post = "";
  #key = "";
  #last: Promise<unknown> = Promise.resolve();
  #code = 1006;
  #reason = "";
  #over = false;

  constructor(target: Target, events: WireEvents) {
    this.#target = target;
    this.#events = events;
    this.#agent = target.tls ? new SecureAgent({ keepAlive: true }) : new Agent({ keepAlive: true });
    const query = queryOf(target);
    query.set("hot", "1");
    this.#stream = this.#request("GET", `${SSE_PATH}?${query}`, headersOf(target), (answer) => {
      if (answer.statusCode === 200) this.#read(answer);
      else void wholeOf(answer).then(({ status, body }) => this.#end(() => events.refused(status, body)));
    });
    this.#stream.on("error", (error) =>
      this.#end(() => {
        events.failed(error.message);
        events.closed(this.#code, this.#reason);
      }));
    this.#stream.end();
  }

  text(message: string): void {
    this.#say(message, "application/json");
  }

  bytes(message: Uint8Array): void {
    this.#say(message, "application/octet-stream");
  }

  close(): void {
    this.#last = this.#last.then(async () => {
      this.#code = 1000; // the stream may end before the answer comes
      await this.#ask("DELETE", null, "").catch(() => {});
      this.#end(() => this.#events.closed(1000, ""));
    });
  }

  #say(message: string | Uint8Array, type: string): void {
    this.#last = this.#last.then(async () => {
      if (this.#over) return;
      const { status, body } = await this.#ask("POST", message, type);
      // What became of a stream that is gone, it says itself.
      if (status !== 202 && status !== 410) this.#events.failed(`the gateway answered ${status}: ${body}`);
    }).catch((cause: Error) => this.#over || this.#events.failed(cause.message));
  }

  #ask(method: string, body: string | Uint8Array | null, type: string): Promise<Answer> {
    const bytes = body === null ? null : Buffer.from(body as string);
    const headers = {
      authorization: `Bearer ${this.#key}`,
      ...(bytes === null ? {} : { "content-type": type, "content-length": String(bytes.length) }),
    };
    return new Promise((resolve, reject) => {
      const request = this.#request(method, this.#post, headers, (answer) => {
        wholeOf(answer).then(resolve, reject);
      });
      request.on("error", reject);
      request.end(bytes ?? undefined);
    });
  }

  #request(
    method: string,
    path: string,
    headers: Record<string, string>,
    answered: (answer: IncomingMessage) => void,
  ): ClientRequest {
    const { tls, prefix, ca } = this.#target;
    const url = `${tls ? "https" : "http"}://${authorityOf(this.#target)}${prefix}${path}`;
    const options = { method, headers, agent: this.#agent, ...(ca === null ? {} : { ca }) };
    return (tls ? requestSecure : requestPlain)(url, options, answered);
  }

  #read(answer: IncomingMessage): void {
    const decoder = new TextDecoder();
    let rest = "", event = "", data: string[] = [];
    answer.on("data", (chunk: Uint8Array) => {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) this.#heard(event, data.join("\n"));
          event = "";
          data = [];
        } else if (line.startsWith("event: ")) event = line.slice(7);
        else if (line.startsWith("data: ")) data.push(line.slice(6));
      }
    });
    const closed = () => this.#end(() => this.#events.closed(this.#code, this.#reason));
    answer.on("end", closed);
    answer.on("close", closed);
    answer.on("error", closed);
  }

  #heard(event: string, data: string): void {
    if (this.#over) return;
    if (event === "") this.#events.text(data);
    else if (event === "hot") this.#events.bytes(Buffer.from(data, "base64"));
    else if (event === "close") {
      const { code, reason } = JSON.parse(data) as { code: number; reason: string };
      this.#code = code;
      this.#reason = reason;
    } else if (event === "open") {
      ({ post: this.#post, key: this.#key } = JSON.parse(data) as { post: string; key: string });
      this.#events.opened();
    }
  }

  #end(tell: () => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream.destroy();
    this.#agent.destroy();
    tell();
  }
}

async function wholeOf(answer: IncomingMessage): Promise<Answer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer) chunks.push(chunk as Uint8Array);
  return { status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString() };
}
