// The public types: they compile, the examples compile against them, and they say what the gateway means.

import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { API_TYPES } from "../../src/extension/api_types.ts";
import { ERROR_CODES } from "../../src/protocol/codes.ts";
import { HOOKS } from "../../src/program/messages.ts";
import { DENO } from "../deno_command.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Checks files as an editor would, "wsprism" being the printed types. @returns what is wrong, "" for nothing */
function check(files: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-types-"));
  try {
    writeFileSync(join(folder, "wsprism.d.ts"), API_TYPES);
    writeFileSync(
      join(folder, "deno.json"),
      JSON.stringify({
        imports: { wsprism: "./wsprism.d.ts", "@src/": pathToFileURL(join(ROOT, "src/")).href },
        compilerOptions: { strict: true, lib: ["es2023", "dom"] },
      }),
    );
    const paths = files.map((file, index) => {
      if (!file.includes("\n")) return file;
      const path = join(folder, `case_${index}.ts`);
      writeFileSync(path, file);
      return path;
    });
    const [program, ...before] = DENO;
    execFileSync(program!, [
      ...before,
      "check",
      "-q",
      "--no-lock",
      "--config",
      join(folder, "deno.json"),
      ...paths,
    ], {
      stdio: "pipe",
      env: { ...process.env, NO_COLOR: "1" },
    });
    return "";
  } catch (error) {
    return String((error as { stderr?: unknown }).stderr ?? error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("The examples compile against the types, in strict mode", () => {
  const folder = join(ROOT, "config/extensions");
  const files = readdirSync(folder).filter((name) => name.endsWith(".ts")).map((name) => join(folder, name));
  assert.equal(files.length, 4);
  assert.equal(check(files), "");
});

test("The types refuse what would be refused", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["onMesage() {},", /onMesage/],
    ["onTick(ctx) { return ctx.session.user; },", /possibly 'null'/],
    ["onTick(ctx) { ctx.join('a'); },", /'join'/],
    ["onIngress() { return { reject: { code: 'NO', msg: '' } }; },", /"NO"/],
    ["onMessage(message, ctx) { message.type = 'x'; },", /read-only/],
    ["onMessage(message, ctx) { return ctx.send('ann', 'x'); },", /Recipient/],
    ["onStart() { throw new ExtensionError('NOPE', ''); },", /"NOPE"/],
  ];
  const good = "onMessage(message, ctx) { return ctx.session.user + message.type; },";
  const told = check(
    [good, ...cases.map(([body]) => body)].map((body) =>
      `import type { Extension } from "wsprism";\nexport default {\n${body}\n} satisfies Extension;\n`
    ),
  );
  for (const [index, [body, why]] of cases.entries()) {
    assert.match(told, new RegExp(`case_${index + 1}\\.ts`), body);
    assert.match(told, why);
  }
  assert.doesNotMatch(told, /case_0\.ts/);
});

test("Hooks, codes and what hooks are given are the gateway's own", () => {
  const hooks = [...HOOKS, "onStart", "onStop"].map((hook) => `"${hook}"`).join(" | ");
  const codes = ERROR_CODES.map((code) => `"${code}"`).join(" | ");
  const same = `
import type * as api from "wsprism";
import type * as own from "@src/program/messages.ts";
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
const hooks: Same<keyof api.Extension, ${hooks}> = true;
const codes: Same<api.ErrorCode, ${codes}> = true;
const given: [
  Same<keyof api.Message, keyof own.MessageInput>,
  Same<keyof api.Session, keyof own.SessionView>,
  Same<keyof api.RoomEvent, keyof own.RoomInput>,
  Same<keyof api.ConnectEvent, keyof own.ConnectInput>,
  Same<keyof api.DisconnectEvent, keyof own.DisconnectInput>,
] = [true, true, true, true, true];
const fits: [
  own.MessageInput extends api.Message ? true : false,
  own.SessionView extends api.Session ? true : false,
  own.RoomInput extends api.RoomEvent ? true : false,
  own.DisconnectInput extends api.DisconnectEvent ? true : false,
] = [true, true, true, true];
console.log(hooks, codes, given, fits);
`;
  assert.equal(check([same]), "");
});
