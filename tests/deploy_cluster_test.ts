// The files of config/deploy/cluster, read as their tools read them.

import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { loadConfig } from "../src/config/load.ts";
import { deployFile, deployPath, isInstalled, ran } from "./deploy_files.ts";
import { findNats, WITHOUT_NATS } from "./nats/find.ts";

const TRIED = "cluster/node.yaml", SERVED = "cluster/wsprism.yaml";
const SECRETS = {
  WSPRISM_ACME_SECRET: "0123456789abcdef0123456789abcdef",
  WSPRISM_OPS_SECRET: "fedcba9876543210fedcba9876543210",
  WSPRISM_NATS_PASSWORD: "secret",
};

function loaded(name: string, env: Readonly<Record<string, string>>) {
  return loadConfig({
    text: deployFile(name),
    file: name,
    env,
    dev: name === TRIED,
    read: (name) => readFileSync(name),
    prepare: { script: () => assert.fail(), wasm: () => assert.fail() },
    noQuic: null,
    nowMs: 0,
  });
}

test("The nodes' files load, and what differs between nodes comes from the environment", () => {
  const env = { WSPRISM_LISTEN: "127.0.0.1:8082", WSPRISM_NODE: "b", WSPRISM_ADMIN: "127.0.0.1:9092" };
  for (const [file, secrets] of [[TRIED, {}], [SERVED, SECRETS]] as const) {
    const result = loaded(file, { ...secrets, ...env, WSPRISM_NATS: "nats://nats:4222" });
    assert.ok(result.ok, JSON.stringify(result));
    const { gateway, admin, cluster } = result.config;
    assert.deepEqual(
      [gateway.listen, admin?.listen, cluster?.node],
      ["127.0.0.1:8082", "127.0.0.1:9092", "b"],
    );
    assert.deepEqual(cluster?.nats.servers, ["nats://nats:4222"]);
    const alone = loaded(file, secrets);
    assert.ok(alone.ok, JSON.stringify(alone));
  }
});

test("The variables that the script, the unit and the manifest set are those that their file takes", () => {
  const files = {
    "cluster/try.sh": TRIED,
    "cluster/wsprism@.service": SERVED,
    "cluster/kubernetes.yaml": SERVED,
  };
  for (const [file, config] of Object.entries(files)) {
    const taken = new Set([...deployFile(config).matchAll(/\$\{(WSPRISM_\w+)/g)].map(([, name]) => name!));
    taken.add("WSPRISM_LISTEN");
    const text = deployFile(file);
    assert.ok(
      text.includes(`--config ${config === TRIED ? "node" : "/etc/wsprism/wsprism"}.yaml`) ||
        text.includes('"--config", "/etc/wsprism/wsprism.yaml"'),
      file,
    );
    const set = [...text.matchAll(/(WSPRISM_\w+)(?:=|, value)/g)].map(([, name]) => name!);
    assert.ok(set.length > 0, file);
    for (const name of set) assert.ok(taken.has(name), `${file} sets ${name}`);
  }
  assert.equal(ran("sh", "-n", deployPath("cluster/try.sh")).code, 0);
});

test("The manifest is three nodes that drain in time, probed where they answer", () => {
  const [deployment, service, budget] = parseAllDocuments(deployFile("cluster/kubernetes.yaml"))
    // deno-lint-ignore no-explicit-any -- a manifest is any map
    .map((document) => document.toJS() as any);
  assert.deepEqual([deployment.kind, service.kind, budget.kind], [
    "Deployment",
    "Service",
    "PodDisruptionBudget",
  ]);
  const { spec: pod } = deployment.spec.template;
  const graceMs = parse(deployFile(SERVED)).gateway.drain_grace_ms;
  assert.ok(pod.terminationGracePeriodSeconds * 1000 > graceMs);
  const [container] = pod.containers;
  assert.equal(container.readinessProbe.httpGet.path, "/readyz");
  const ports = container.ports.map(({ name }: { name: string }) => name);
  assert.ok(
    ports.includes(service.spec.ports[0].targetPort) && ports.includes(container.readinessProbe.httpGet.port),
  );
  assert.deepEqual(service.spec.selector, deployment.spec.template.metadata.labels);
});

test("NATS takes its file", { skip: WITHOUT_NATS }, () => {
  const { status, stderr } = spawnSync(findNats()!, ["-t", "-c", deployPath("cluster/nats.conf")], {
    encoding: "utf8",
    env: { WSPRISM_NATS_PASSWORD: "secret" },
  });
  assert.equal(status, 0, stderr);
});

const SYSTEMD = isInstalled("systemd-analyze", "--version");
test("systemd takes the unit", { skip: SYSTEMD ? false : "no systemd-analyze here" }, () => {
  const { output } = ran("systemd-analyze", "verify", deployPath("cluster/wsprism@.service"));
  const complaints = output.split("\n").filter((line) =>
    line !== "" && !/is not executable|Failed to prepare/.test(line)
  );
  assert.deepEqual(complaints, []);
});
