// config/deploy: each file is read by the tool that it is for, where that is installed, and what has to agree between
// them is checked in any case.

import { strict as assert } from "node:assert";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { DockerfileParser } from "dockerfile-ast";
import { validate } from "dockerfile-utils";
import { parse as parseToml } from "smol-toml";
import { parse as parseYaml } from "yaml";
import { readConfig } from "../src/config/load.ts";
import type { Config } from "../src/config/schema.ts";
import { makePair } from "./certificates.ts";
import {
  caddyConfig,
  deployFile,
  deployPath,
  freePort,
  isInstalled,
  nginxConfig,
  type ProxyPlaces,
  ran,
} from "./deploy_files.ts";

/** Time beyond the drain that a gateway may take to end: the last closes, the state, and something to spare. */
const AFTER_DRAIN_MS = 10_000;

const SECRET = "0123456789-abcdefghijklmnopqrstuv";
const env = { WSPRISM_ACME_SECRET: SECRET, WSPRISM_OPS_SECRET: SECRET };

async function configOf(name: string, warnings: readonly string[]): Promise<Config> {
  const result = await readConfig(deployPath(name), { env, dev: false });
  assert.ok(result.ok, JSON.stringify(result));
  assert.deepEqual(result.warnings.map(({ path }) => path), warnings);
  return result.config;
}

function withFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-deploy-"));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a tool is installed; if not, the log says so, and its file is only looked at by us. */
function here(program: string, ...args: readonly string[]): boolean {
  const is = isInstalled(program, ...args);
  if (!is) process.stdout.write(`no ${program} here: it does not read its file in this run\n`);
  return is;
}

/** The values of each key of a unit, in their order. */
function unitOf(text: string): Map<string, string[]> {
  const unit = new Map<string, string[]>();
  for (const [, key, value] of text.matchAll(/^([A-Za-z]+)=(.*)$/gm)) {
    unit.set(key!, [...unit.get(key!) ?? [], value!]);
  }
  return unit;
}

test("the unit and its configuration agree: places, signals, and time to drain", async () => {
  const { gateway } = await configOf("wsprism.yaml", []);
  const unit = unitOf(deployFile("wsprism.service"));
  const one = (key: string) => {
    const [value, ...more] = unit.get(key) ?? [];
    assert.deepEqual(more, [], key);
    return value;
  };
  assert.ok(Number(one("TimeoutStopSec")) * 1000 >= gateway.drain_grace_ms + AFTER_DRAIN_MS);
  assert.equal(`/var/lib/${one("StateDirectory")}`, gateway.state_dir);
  assert.match(one("ExecStart")!, / start --config \/etc\/wsprism\/wsprism\.yaml /);
  assert.equal(unit.get("ExecReload")!.at(-1), "/bin/kill -HUP $MAINPID");
  assert.equal(one("KillMode"), "mixed", "children are the gateway's to end");
  assert.ok(Number(one("LimitNOFILE")) > 2 * gateway.max_connections);
});

test("the unit leaves the gateway's children what they lock themselves in with, and the compiler its memory", () => {
  const unit = unitOf(deployFile("wsprism.service"));
  const [allowed, denied] = unit.get("SystemCallFilter")!;
  for (
    const name of [
      "@system-service",
      "landlock_create_ruleset",
      "landlock_add_rule",
      "landlock_restrict_self",
      "seccomp",
    ]
  ) {
    assert.ok(allowed!.split(" ").includes(name), name);
  }
  assert.ok(denied!.startsWith("~"));
  for (const needed of ["@process", "@resources", "@signal", "@io-event"]) {
    assert.ok(!denied!.includes(needed), needed);
  }
  assert.ok(!unit.has("MemoryDenyWriteExecute"));
  assert.deepEqual(unit.get("NoNewPrivileges"), ["true"]);
  assert.ok(unit.get("RestrictAddressFamilies")![0]!.includes("AF_UNIX"), "pipes to children are sockets");
});

if (here("systemd-analyze", "--version")) {
  test("systemd takes the unit without a word, and finds it well protected", () => {
    withFolder((folder) => {
      const file = join(folder, "wsprism.service");
      // Whether the program is there is this machine's business.
      writeFileSync(file, deployFile("wsprism.service").replaceAll("/usr/local/bin/wsprism", "/bin/sh"));
      assert.deepEqual(ran("systemd-analyze", "verify", "--man=no", file), { code: 0, output: "" });
      const security = ran("systemd-analyze", "security", "--offline=true", "--threshold=15", file);
      assert.equal(security.code, 0, security.output);
    });
  });
}

/** fly.toml as flyctl's internal/appconfig reads it, as far as it is used here: keys, and those below them. */
type Keys = { readonly [key: string]: true | Keys };
const CHECK: Keys = {
  interval: true,
  timeout: true,
  grace_period: true,
  method: true,
  path: true,
  protocol: true,
  tls_skip_verify: true,
  headers: true,
};
const FLY: Keys = {
  app: true,
  primary_region: true,
  kill_signal: true,
  kill_timeout: true,
  build: { image: true, dockerfile: true, ignorefile: true, "build-target": true, args: true },
  deploy: { strategy: true, max_unavailable: true, wait_timeout: true, release_command: true },
  files: { guest_path: true, local_path: true, secret_name: true, raw_value: true, processes: true },
  mounts: {
    source: true,
    destination: true,
    initial_size: true,
    snapshot_retention: true,
    auto_extend_size_threshold: true,
    auto_extend_size_increment: true,
    auto_extend_size_limit: true,
    processes: true,
  },
  http_service: {
    internal_port: true,
    force_https: true,
    auto_stop_machines: true,
    auto_start_machines: true,
    min_machines_running: true,
    processes: true,
    concurrency: { type: true, soft_limit: true, hard_limit: true },
    checks: CHECK,
  },
  checks: { alive: { ...CHECK, type: true, port: true } },
  vm: { size: true, memory: true, cpus: true, cpu_kind: true, memory_mb: true, processes: true },
};

function assertKnown(value: unknown, keys: Keys, path: string): void {
  if (Array.isArray(value)) return value.forEach((item) => assertKnown(item, keys, path));
  assert.ok(typeof value === "object" && value !== null, `${path} is a table`);
  for (const [key, inner] of Object.entries(value)) {
    const known = keys[key];
    assert.ok(known !== undefined, `fly does not know ${path}${key}`);
    if (known !== true) assertKnown(inner, known, `${path}${key}.`);
  }
}

const seconds = (text: string) => Number(/^(\d+)s$/.exec(text)![1]) * 1000;

test("fly.toml has only keys that fly knows, and agrees with the configuration and the image", async () => {
  // deno-lint-ignore no-explicit-any -- what is not there fails below
  const fly = parseToml(deployFile("fly.toml")) as any;
  assertKnown(fly, FLY, "");
  const config = await configOf("fly.yaml", ["admin.listen"]);
  const { gateway, admin } = config;
  const { http_service: service, mounts: [mount], checks: { alive }, files: [file] } = fly;
  assert.equal(fly.kill_signal, "SIGTERM");
  assert.ok(seconds(fly.kill_timeout) >= gateway.drain_grace_ms + AFTER_DRAIN_MS);
  assert.ok(seconds(fly.kill_timeout) <= 300_000, "fly's own bound");
  assert.equal(gateway.listen, `0.0.0.0:${service.internal_port}`);
  assert.notEqual(admin!.listen.split(":").at(-1), String(service.internal_port));
  assert.equal(alive.port, service.internal_port);
  assert.equal(alive.path, "/healthz");
  assert.deepEqual(service.checks.map(({ path }: { path: string }) => path), ["/readyz"]);
  assert.equal(service.concurrency.type, "connections");
  assert.equal(service.concurrency.hard_limit, gateway.max_connections);
  assert.equal(mount.destination, gateway.state_dir);
  assert.equal(file.guest_path, "/etc/wsprism/wsprism.yaml");
  assert.ok(existsSync(fileURLToPath(new URL(`../${file.local_path}`, import.meta.url))));
  for (const name of [fly.build.dockerfile, fly.build.ignorefile]) {
    assert.ok(existsSync(deployPath(name)), name);
  }
  assert.equal(gateway.client_ip_header, "fly-client-ip");
});

test("the container file is a good one: no root, no shell, and all that it copies is there", () => {
  const text = deployFile("Dockerfile");
  assert.deepEqual(validate(text), []);
  const file = DockerfileParser.parse(text);
  const last = (keyword: string) =>
    file.getInstructions().filter((one) => one.getKeyword() === keyword).at(-1)!.getArgumentsContent();
  assert.match(last("FROM")!, /^gcr\.io\/distroless\/base.*:nonroot$/, "a base with glibc");
  assert.match(last("USER")!, /^[1-9]\d*:[1-9]\d*$/, "by number, which needs no list of users");
  assert.equal(last("STOPSIGNAL"), "SIGTERM");
  for (const keyword of ["ENTRYPOINT", "CMD"]) assert.ok(Array.isArray(JSON.parse(last(keyword)!)), keyword);
  const root = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
  const kept = deployFile("Dockerfile.dockerignore").match(/^!(.+)$/gm)!.map((line) => line.slice(1));
  for (const path of kept) assert.ok(existsSync(root(path)), path);
  // What compile.sh and its entry name.
  for (const path of ["deno.json", "deno.lock", "compile.sh", "main.ts", "src"]) {
    assert.ok(kept.includes(path), path);
  }
});

test("the proxies agree with the configuration behind them: where it is, whom it trusts, how long they wait", async () => {
  const { gateway } = await configOf("wsprism.yaml", []);
  assert.deepEqual(gateway.trusted_proxies, ["127.0.0.1/32"]);
  assert.equal(gateway.client_ip_header, "x-forwarded-for");
  const nginx = deployFile("nginx.conf");
  for (const file of [nginx, deployFile("Caddyfile")]) {
    assert.ok(file.includes(gateway.listen), gateway.listen);
    assert.ok(file.includes("/v1/ws"));
  }
  const value = (name: string) => new RegExp(`^\\t\\t${name} (.+);$`, "m").exec(nginx)![1]!;
  for (const name of ["proxy_read_timeout", "proxy_send_timeout"]) {
    assert.ok(seconds(value(name)) >= 2 * gateway.ping_interval_ms, name);
  }
  assert.equal(value("proxy_http_version"), "1.1");
  assert.equal(value("proxy_set_header Upgrade"), "$http_upgrade");
  assert.equal(value("proxy_set_header Connection"), "$wsprism_connection");
  assert.equal(value("proxy_set_header X-Forwarded-For"), "$remote_addr", "not what the client says");
});

/** Writes a proxy's configuration, with TLS, and has the proxy read it. */
async function read(build: (places: ProxyPlaces) => string, command: (file: string) => readonly string[]) {
  const port = await freePort();
  return withFolder((folder) => {
    const file = join(folder, "proxy.conf");
    writeFileSync(file, build({ port, gateways: [8080, 8081], folder, tls: makePair("proxy") }));
    const [program, ...args] = command(file);
    return ran(program!, ...args);
  });
}

if (here("nginx", "-v")) {
  test("nginx takes its file", async () => {
    const { code, output } = await read(nginxConfig, (file) => ["nginx", "-t", "-c", file]);
    assert.equal(code, 0, output);
    assert.ok(!output.includes("[warn]"), output);
  });
}

if (here("caddy", "version")) {
  test("Caddy takes its file", async () => {
    const { code, output } = await read(
      caddyConfig,
      (file) => ["caddy", "validate", "--adapter", "caddyfile", "--config", file],
    );
    assert.equal(code, 0, output);
    assert.match(output, /Valid configuration/);
  });
}

/** Names of metrics in a text, without `wsprism_` and what a histogram or a scrape adds. */
function metricsIn(text: string): Set<string> {
  const named = text.match(/\bwsprism_[a-z_]+/g)!;
  return new Set(named.map((name) => name.slice("wsprism_".length).replace(/_(sum|count|bucket)$/, "")));
}

/** Where metrics are named: files of metrics, and whatever is a source of some. */
const metricSource = readdirSync(new URL("../src", import.meta.url), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => ({ path, text: readFileSync(new URL(`../src/${path}`, import.meta.url), "utf8") }))
  .filter(({ path, text }) => path.includes("metrics") || text.includes("MetricSource"))
  .map(({ text }) => text).join("\n");

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const dashboard = JSON.parse(deployFile("grafana.json")) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
};
const queries = dashboard.panels.flatMap(({ targets = [] }) => targets);

test("the alerts, the dashboard and the guide name metrics that there are", () => {
  const rules = parseYaml(deployFile("alerts.yaml"));
  assert.ok(rules.groups[0].rules.length >= 5);
  const guide = readFileSync(new URL("../docs/deploy.md", import.meta.url), "utf8");
  for (const name of metricsIn(deployFile("alerts.yaml") + deployFile("grafana.json") + guide)) {
    assert.match(metricSource, new RegExp(`"(wsprism_)?${name}"`), name);
  }
});

test("whatever wakes somebody can be looked at on the dashboard", () => {
  const shown = metricsIn(queries.map(({ expr }) => expr).join("\n"));
  const rules: { readonly expr: string }[] = parseYaml(deployFile("alerts.yaml")).groups[0].rules;
  const alerts = metricsIn(rules.map(({ expr }) => expr).join("\n"));
  assert.deepEqual([...alerts].filter((name) => !shown.has(name)), []);
});

test("the dashboard's panels overlap nowhere, and their queries name variables and labels that they have", () => {
  const { panels, templating } = dashboard;
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    assert.ok(x + w <= 24, title);
    for (let row = y; row < y + h; row++) {
      for (let column = x; column < x + w; column++) {
        assert.equal(taken.get(`${row}:${column}`), undefined, title);
        taken.set(`${row}:${column}`, title);
      }
    }
  }
  const variables = new Set(["__rate_interval", ...templating.list.map(({ name }) => name)]);
  for (const { expr, legendFormat } of queries) {
    for (const [, name] of expr.matchAll(/\$(\w+)/g)) assert.ok(variables.has(name!), expr);
    for (const [open, close] of ["()", "[]", "{}"]) {
      assert.equal(expr.split(open!).length, expr.split(close!).length, expr);
    }
    const kept = new Set([...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, labels]) => labels!.split(", ")));
    for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) assert.ok(kept.has(label!), expr);
  }
});

if (here("promtool", "--version")) {
  test("Prometheus reads the dashboard's queries", () => {
    // As rules, for that is what it checks.
    const rules = queries.map(({ expr }, i) => ({
      record: `q${i}`,
      expr: expr.replaceAll("$__rate_interval", "5m").replaceAll(/\$\w+/g, ".*"),
    }));
    const folder = mkdtempSync(join(tmpdir(), "wsprism-"));
    try {
      const file = join(folder, "rules.yaml");
      writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
      const { code, output } = ran("promtool", "check", "rules", file);
      assert.equal(code, 0, output);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("Prometheus takes the alerts", () => {
    const { code, output } = ran("promtool", "check", "rules", deployPath("alerts.yaml"));
    assert.equal(code, 0, output);
  });
}
