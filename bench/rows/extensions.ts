// What extensions cost: calls of one without a gateway (extension_calls.ts), messages with and without scripts and
// plugins, and a siege by hostile scripts.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import type { CallsResult } from "../extension_calls.ts";
import type { Config, Gateway, Lab } from "../lab.ts";
import { get, info, line, type Measure, per, type Row, type Sample } from "../row.ts";
import { type Shape, toLoad } from "./load_row.ts";

const MIB = 2 ** 20;

/** Of the subject's own sources, which have to have this file too. */
function calls(kind: CallsResult["kind"]): Measure {
  return async (lab) => {
    if (lab.subject.executable !== null) {
      throw new Error("An executable's extensions cannot be called by themselves");
    }
    const command = ["node_modules/bun/bin/bun.exe", "bench/extension_calls.ts", kind, `${lab.seconds(5)}`];
    const { kind: _kind, ...numbers }: CallsResult = JSON.parse(await lab.run(command));
    return { ...numbers };
  };
}

const FILES = {
  "echo.ts": "export default { onMessage(message) { return message.data; } };\n",
  "pass.ts": "export default { onIngress() {} };\n",
};
const CHAT = '{"v":1,"svc":"chat","type":"send","room":"r%g","data":{"msg":"@"}}';
const ECHO = '{"v":1,"svc":"echo","type":"say","seq":1,"data":{"msg":"@"}}';

/** The tenant has an extension; every session is in a room of its own, so that a message in is a message out. */
function messages(extension: "none" | "script" | "plugin", text: string): Measure {
  const limits = { max_pending: 100_000 };
  const change = ({ tenants: [tenant] }: Config) => {
    tenant!.policy["ext_allowlist"] = ["room:*", "chat:*", "echo:*"];
    if (extension === "script") tenant!.services.push({ svc: "echo", worker: "./echo.ts", limits });
    const pass = { id: "pass", match: { service: "chat:*" }, worker: "./pass.ts", limits };
    if (extension === "plugin") Object.assign(tenant!, { plugins: [pass] });
  };
  const shape = (sessions: number): Shape => ({
    service: "chat",
    sessions,
    rooms: sessions,
    pace: { kind: "closed", publishersPerGroup: 1, inFlight: 1 },
    sampleEvery: 1,
    text,
    warmupSeconds: 2,
  });
  // On two CPUs, the generator, the gateway and the host share them.
  return async (lab) => {
    const gateway = await lab.gateway({ change, files: FILES, free: true });
    const alone = await (await lab.crowd(toLoad(shape(1), gateway))).measure(lab.seconds());
    // The first crowd's one session stays, and is silent from here on.
    const many = await (await lab.crowd(toLoad({ ...shape(200), tenant: "bench" }, gateway))).measure(
      lab.seconds(),
    );
    return { ...many, p50Alone: alone.p50Micros, p99Alone: alone.p99Micros };
  };
}

function messagesRow(name: string, about: string, ours: Measure, script = false): Row {
  return {
    name,
    about,
    ours,
    control: messages("none", CHAT),
    rounds: 3,
    lines: [
      line("messages", "/s", per("received", "seconds"), { better: "higher" }),
      line("CPU per message, hosts included", "µs", per("serverCpuSeconds", "received", 1e6), {
        judged: "control/ours",
        ...(script ? { atLeast: 0.4 } : {}),
      }),
      line("p50 of one alone", "µs", "p50Alone", { judged: "added", ...(script ? { atMost: 300 } : {}) }),
      line("p99 of one alone", "µs", "p99Alone", { judged: "added" }),
    ],
  };
}

/** The corpus of the tests, as far as a host takes it. */
const CORPUS = new URL("../../tests/extension/hostile/", import.meta.url).pathname;
/** What a script's caller waits for. */
const CALL_MS = 1500;
const chatters: Shape = {
  service: "chat",
  sessions: 100,
  rooms: 10,
  pace: { kind: "open", publishersPerGroup: 10, perSecond: 5 },
  sampleEvery: 1,
};

/** Every hostile script once, one after the other, each as a reload of the other tenant and a call. */
async function siege(lab: Lab): Promise<Sample> {
  const change = ({ tenants }: Config) => {
    const evil = { svc: "evil", worker: "./evil.js", permissions: { kv: true, publish: ["*"], users: true } };
    tenants.push({ ...tenants[0]!, id: "noisy", policy: { ext_allowlist: ["evil:*"] }, services: [evil] });
  };
  const calm = { "evil.js": "export default { onMessage: () => 1 };\n" };
  const scripts = readdirSync(CORPUS).sort().map((file) => readFileSync(CORPUS + file, "utf8"))
    .filter((text) => /^\/\/ expect: (?!refused)/m.test(text));
  const gateway = await lab.gateway({ change, files: calm, free: true, logs: true });
  const crowd = await lab.crowd(toLoad(chatters, gateway));
  const quiet = await crowd.measure(lab.seconds(5));
  const [all, seconds] = [lab.seconds(5) < 5 ? scripts.slice(0, 8) : scripts, CALL_MS / 1000];
  // Measured until the last has been called, and in one piece.
  const attacks = attack(gateway, all);
  const besieged = await crowd.measure(all.length * seconds);
  return { ...besieged, scripts: await attacks, quietP50: quiet.p50Micros, quietP99: quiet.p99Micros };
}

/** @returns how many scripts were let loose */
async function attack(gateway: Gateway, scripts: readonly string[]): Promise<number> {
  const file = `${dirname(gateway.config)}/evil.js`;
  let loose = 0;
  for (const text of scripts) {
    const next = delay(CALL_MS);
    writeFileSync(file, text);
    process.kill(gateway.pid, "SIGHUP");
    const answer = await gateway.logged((line) => /configuration reloaded|reload refused/.test(line));
    if (answer.includes("reloaded")) loose++;
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/v1/ws?tenant=noisy&ticket=dev:evil`);
    socket.onopen = () => socket.send('{"v":1,"svc":"evil","type":"go","seq":1}');
    await next;
    socket.close();
  }
  return loose;
}

export const extensions: readonly Row[] = [
  ...(["script", "wasm"] as const).map((kind): Row => ({
    name: `calls-${kind}`,
    about: `calls of a ${kind} that echoes 64 bytes, 1,000 under way, without a gateway around it`,
    ours: calls(kind),
    rounds: 1,
    lines: [
      info("calls", "/s", "callsPerSecond", {
        better: "higher",
        ...(kind === "script" ? { atLeast: 1e5 } : {}),
      }),
      info("CPU of both processes for a call", "µs", "cpuMicros"),
      info("p50 of one at a time", "µs", "p50Micros"),
      info("p99 of one at a time", "µs", "p99Micros"),
      info("from nothing to the first answer", "ms", "coldMs"),
      info("a further extension in the same host", "ms", "furtherMs"),
      info("memory of a host with one", "MiB", (all) => get(all, "hostBytes") / MIB),
      info("memory of a further one", "MiB", (all) => get(all, "workerBytes") / MIB),
    ],
  })),
  messagesRow("script", "a script that echoes, against built-in chat", messages("script", ECHO), true),
  messagesRow("plugin", "chat behind a plugin that passes it, against chat", messages("plugin", CHAT)),
  messagesRow(
    "chat-beside-script",
    "chat in a tenant that has a script, against chat",
    messages("script", CHAT),
  ),
  {
    name: "siege",
    about: "chat beside the corpus of hostile scripts in another tenant, against the quiet before",
    ours: siege,
    rounds: 1,
    lines: [
      line("chat p99", "µs", "p99Micros", { control: (all) => get(all, "quietP99"), atMost: 2 }),
      line("median of each second's p99", "µs", "p99BySecondMicros", {
        control: (all) => get(all, "quietP99"),
      }),
      line("chat p50", "µs", "p50Micros", { control: (all) => get(all, "quietP50") }),
      info("scripts let loose", "", "scripts", { better: "higher" }),
    ],
  },
];
