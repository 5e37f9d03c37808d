// A gateway under attack by scripts of one tenant, while others chat in another. Attacks come one after the other, each
// as a reload that makes it the tenant's service.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, type Message } from "./client.ts";
import { extensionsReady, GatewayProcess, ROOT, until } from "./gateway_process.ts";

const CORPUS = join(ROOT, "tests/extension/hostile");
const MEBIBYTE = 1_048_576;
/** What the gateway's own memory may grow by in an attack, other people's garbage included. */
const GROWTH_BYTES = 128 * MEBIBYTE;

export interface Attack {
  readonly file: string;
  /** How it ends in a host, as the corpus says. */
  readonly end: string;
}

/** The corpus, in the order of its names. */
export function attacks(): readonly Attack[] {
  return readdirSync(CORPUS).sort().flatMap((file) => {
    const end = /^\/\/ expect: (\w+)/m.exec(readFileSync(join(CORPUS, file), "utf8"))?.[1];
    return end === undefined ? [] : [{ file, end }];
  });
}

/** What came of the call that set an attack off: the reply's data, or the error's code. */
export type Answer = { readonly reply: unknown } | { readonly code: string };

export class Siege {
  readonly gateway: GatewayProcess;
  readonly #chat: Chat;

  static async begin(): Promise<Siege> {
    const files = Object.fromEntries(
      readdirSync(CORPUS).map((file) => [file, readFileSync(join(CORPUS, file), "utf8")]),
    );
    const calm = { ...files, "calm.js": "export default { onMessage: () => 1 };\n" };
    const gateway = await GatewayProcess.start(configFor("calm.js"), { files: calm, mayComplain: true });
    await extensionsReady(gateway, 1);
    return new Siege(gateway, await Chat.begin(gateway));
  }

  private constructor(gateway: GatewayProcess, chat: Chat) {
    this.gateway = gateway;
    this.#chat = chat;
  }

  /** Lets a script loose. @returns what its caller was told; null where it was refused at load */
  async attack({ file, end }: Attack): Promise<Answer | null> {
    const { gateway } = this;
    const before = gateway.residentBytes();
    const chats = this.#chat.count;
    const line = await gateway.reload(configFor(file));
    if (end === "refused") {
      assert.match(line.message, /^reload refused/, file);
      return null;
    }
    assert.equal(line.message, "configuration reloaded", `${file}: ${JSON.stringify(line)}`);
    const answer = await this.#call(file);
    // Somebody else was served while that was going on.
    await until("a message of the chat", () => this.#chat.count > chats ? true : null);
    const growth = gateway.residentBytes() - before;
    assert.ok(growth < GROWTH_BYTES, `${file}: the gateway grew by ${Math.round(growth / MEBIBYTE)} MiB`);
    return answer;
  }

  /** Puts an honest script in the place of whatever there is, and waits until it answers. */
  async calm(): Promise<void> {
    await this.gateway.reload(configFor("calm.js"));
    await until("the honest script", async () => {
      const answer = await this.#call("calm.js");
      return "reply" in answer ? answer : null;
    }, 10_000);
  }

  /** Round trips of the chat since the last call, in milliseconds. */
  chatMs(): readonly number[] {
    return this.#chat.taken();
  }

  /** Round trips of the chat since the last call, once there are so many. */
  async chatFor(messages: number): Promise<readonly number[]> {
    const times = [...this.#chat.taken()];
    await until("the chat", () => {
      times.push(...this.#chat.taken());
      return times.length >= messages ? true : null;
    }, 60_000);
    return times;
  }

  async end(): Promise<void> {
    await this.#chat.end();
  }

  async #call(file: string): Promise<Answer> {
    const client = await Client.open(this.gateway, { tenant: "attacker" });
    client.send({ svc: "attack", type: "go", seq: 1 });
    for (;;) {
      const message = await client.take(`the answer to ${file}`, 15_000) as Message;
      if (message.seq !== 1) continue;
      await client.close();
      return message.type === "error" ? { code: message.data.code } : { reply: message.data };
    }
  }
}

/** Two in a room of a tenant that has nothing to do with it. */
class Chat {
  readonly #ann: Client;
  readonly #bob: Client;
  readonly #done: Promise<void>;
  #ending = false;
  #times: number[] = [];
  count = 0;

  static async begin(gateway: GatewayProcess): Promise<Chat> {
    const [ann, bob] = [
      await Client.open(gateway, { tenant: "bystander" }),
      await Client.open(gateway, { tenant: "bystander" }),
    ];
    for (const client of [ann, bob]) await client.join("room");
    return new Chat(ann, bob);
  }

  private constructor(ann: Client, bob: Client) {
    this.#ann = ann;
    this.#bob = bob;
    this.#done = this.#talk();
  }

  taken(): readonly number[] {
    const times = this.#times;
    this.#times = [];
    return times;
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.#done;
    for (const client of [this.#ann, this.#bob]) await client.close();
  }

  async #talk(): Promise<void> {
    while (!this.#ending) {
      const msg = `message ${this.count}`;
      const since = performance.now();
      this.#ann.send({ svc: "chat", type: "send", room: "room", data: { msg } });
      for (const client of [this.#ann, this.#bob]) {
        assert.equal((await client.next("chat.msg", 10_000)).data.msg, msg, "none is lost");
      }
      this.#times.push(performance.now() - since);
      this.count++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

function configFor(file: string): object {
  const policy = {
    ext_allowlist: ["room:*", "chat:*", "attack:*"],
    rate_limit_rps: 1e6,
    rate_limit_burst: 1e6,
  };
  return {
    gateway: { drain_grace_ms: 0 },
    tenants: [
      { id: "bystander", policy },
      {
        id: "attacker",
        policy,
        services: [{
          svc: "attack",
          worker: `./${file}`,
          permissions: { kv: true, publish: ["*"], users: true, net: ["public.example:443"] },
          limits: { timeout_ms: 8000 },
          options: { mode: "x" },
        }],
      },
    ],
  };
}
