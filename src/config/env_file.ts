// A file of variables beside the environment: NAME=value lines, as systemd and shells read them.

import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";

export type Environment = Readonly<Record<string, string | undefined>>;

/** @throws in one line, when it cannot be read */
export function readEnvFile(path: string): Readonly<Record<string, string>> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const why = code === "ENOENT"
      ? "there is no such file"
      : error instanceof Error
      ? error.message
      : String(error);
    throw new Error(`Cannot read the variables in "${path}": ${why}`);
  }
  return parseEnv(text) as Record<string, string>;
}

/** An environment in which the variables of a file go first. The others are asked for when they are needed: Deno guards each. */
export function withEnvFile(env: Environment, path: string | null): Environment {
  if (path === null) return env;
  const given = readEnvFile(path);
  return new Proxy(env, {
    get: (others, name) => Object.hasOwn(given, name) ? given[name as string] : Reflect.get(others, name),
    has: (others, name) => Object.hasOwn(given, name) || Reflect.has(others, name),
    getOwnPropertyDescriptor: (others, name) =>
      Object.hasOwn(given, name)
        ? { value: given[name as string], enumerable: true, configurable: true, writable: true }
        : Reflect.getOwnPropertyDescriptor(others, name),
  });
}
