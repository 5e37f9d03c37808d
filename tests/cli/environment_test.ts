import { strict as assert } from "node:assert";
import { test } from "node:test";
import { environmentWarnings } from "../../src/cli/environment.ts";

test("What the environment weakens is said, by name and effect, never by value", () => {
  const env = {
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
    BUN_OPTIONS: "--preload ./x.ts",
    BUN_INSPECT: "9229",
    BUN_CONFIG_VERBOSE_FETCH: "curl",
    NODE_OPTIONS: "--require ./x.js",
    SSLKEYLOGFILE: "/tmp/keys",
  };
  const names = (runtime: "bun" | "deno") =>
    environmentWarnings(env, runtime).map((line) => /^(\w+) is set in the environment: it /.exec(line)![1]);
  assert.deepEqual(names("bun"), [
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "BUN_OPTIONS",
    "BUN_INSPECT",
    "BUN_CONFIG_VERBOSE_FETCH",
    "SSLKEYLOGFILE",
  ]);
  assert.deepEqual(names("deno"), ["NODE_TLS_REJECT_UNAUTHORIZED", "NODE_OPTIONS", "SSLKEYLOGFILE"]);
  assert.ok(!environmentWarnings(env, "bun").join().includes("preload"));
});

test("What weakens nothing is not warned of", () => {
  const env = {
    NODE_TLS_REJECT_UNAUTHORIZED: "1",
    NODE_EXTRA_CA_CERTS: "/etc/ca.pem",
    BUN_OPTIONS: "",
    BUN_CONFIG_VERBOSE_FETCH: "0",
    PATH: "/bin",
  };
  assert.deepEqual(environmentWarnings(env, "bun"), []);
  assert.deepEqual(environmentWarnings({}, "deno"), []);
});

test("A variable that may not be read is left alone", () => {
  const guarded = {
    get NODE_OPTIONS(): string {
      throw new Error("not allowed");
    },
  };
  assert.deepEqual(environmentWarnings(guarded, "deno"), []);
});
