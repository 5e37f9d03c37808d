// The reference in docs/configuration.md and the JSON Schema for editors, both written from the schema.
// Nothing here runs unless it is asked for: a start of the gateway pays nothing.

import * as z from "zod";
import { configSchema } from "./schema.ts";
import { type MapShape, type Shape, shapeOf } from "./shape.ts";

/** The JSON Schema (draft 2020-12) of the file as an operator writes it: keys with a default may be left out. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, {
    io: "input",
    override: ({ jsonSchema }) => {
      // Our own notes for error messages; no JSON Schema keywords.
      delete jsonSchema["wish"];
      delete jsonSchema["secret"];
    },
  });
  return { ...schema, patternProperties: { "^x-": {} } };
}

/** The text of docs/configuration.md. */
export function configReference(): string {
  const sections: string[] = [];
  section(shapeOf(configSchema), "", sections);
  return `${INTRODUCTION}\n${sections.join("\n")}`;
}

const INTRODUCTION = `# Configuration

<!-- Written by tests/config/write_reference.ts from src/config/schema.ts; change the schema, then run it again. -->

The gateway reads one YAML file. Unless \`--config FILE\` names it, that is \`./wsprism.yaml\` or else \`./config/wsprism.yaml\`.
\`wsprism check\` tells what is wrong with a file without serving it, \`wsprism schema\` prints a JSON Schema for editors:

\`\`\`yaml
# yaml-language-server: $schema=./wsprism.schema.json
version: 1
tenants:
  - id: acme
\`\`\`

Everything not written takes its default, so the four lines above are a complete file for a start with \`--dev\`.

## Rules of the file

- A key that is not listed below, a value outside its range, a key given twice: each stops the start, and all of them are
  reported together with line and column.
- A file of wsPrism v1 loads as it is, as long as its values are within the ranges below.
- The file is YAML 1.2, one document of at most 1 MiB in UTF-8. Anchors and aliases work, merge keys (\`<<\`) do not.
- Examples in these documents that do not begin with \`version: 1\` are parts of a file. \`auth:\`, \`services:\` and
  \`webhooks:\` belong below a tenant, \`rules:\` and \`quotas:\` below a tenant's \`policy:\`.
- Keys of the whole file that begin with \`x-\` are yours: nothing reads them, and anchors in them can be used below.
- A section or list with nothing in it (\`limits:\` with all lines below commented out) is an empty one.
- Text without quotes where text is wanted may look like a number: \`id: 2024\` is the tenant "2024". Where a number is
  wanted, one that no double holds (\`9007199254740993\`) is refused.
- Times are milliseconds, sizes bytes, rates per second. A limit of 0 is no limit, where its meaning says so.

## Environment variables

- \`\${NAME}\` in a value becomes the variable's value; if the variable is not set, the file is refused.
- \`\${NAME:-default}\` takes the default if the variable is not set or empty.
- \`$\${\` is a literal \`\${\`.
- Without quotes around it the result is read as YAML would read it, so \`max_connections: \${MAX}\` can be a number; within
  \`[ ]\` and \`{ }\` YAML needs the quotes. Messages show \`\${NAME}\` and never what it stood for.
- \`WSPRISM_LISTEN\` (\`host:port\`) replaces \`gateway.listen\`; without it, \`PORT\` replaces the port in \`gateway.listen\`.
- With \`--dev\` a gateway that is told no address, by neither of these, listens on 127.0.0.1 only.

## Authentication

Every tenant needs \`auth\`. With \`--dev\` it may be left out, and then whoever can reach the tenant may connect to it under
any name (\`ticket=dev:<name>\`): keep that on networks that you trust; a warning says so at every start and in every check.
Paths of key files start at the configuration file. [authentication.md](authentication.md) is about tickets, and
[security.md](security.md) about what the gateway defends. Values of secrets are in no message and no log.

## Allowlists

Clients may send what the lists name and nothing else, apart from the protocol's own \`sys\` messages. An entry for a service
that the tenant doesn't have lets nothing through, and is warned of. On the ext lane \`"chat:send"\` is one message type and
\`"chat:*"\` every type of a service; on the hot lane \`"1:10"\` is one opcode and \`"1:*"\` all of them.
`;

function section(shape: Shape, path: string, sections: string[]): void {
  if (shape.kind === "list") return section(shape.item, `${path}[]`, sections);
  if (shape.kind !== "map") return;
  const rows = [...shape.keys].map(([key, inner]) => row(key, inner));
  sections.push([
    path === "" ? "## The file" : `## \`${path}\``,
    "",
    shape.description,
    "",
    "| key | type | default | range | meaning |",
    "| --- | --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n"));
  for (const [key, inner] of shape.keys) section(inner, path === "" ? key : `${path}.${key}`, sections);
}

function row(key: string, shape: Shape): string {
  const cells = [`\`${key}\``, type(shape), preset(shape), range(shape), shape.description];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function type(shape: Shape): string {
  switch (shape.kind) {
    case "map":
      return "map";
    case "list":
      return shape.item.kind === "map" ? "list of maps" : "list of texts";
    case "number":
      return "whole number";
    case "flag":
      return "true or false";
    case "choice":
      return "choice";
    case "text":
      return "text";
    case "any":
      return "any";
  }
}

function preset(shape: Shape): string {
  if (shape.required) return "required";
  if (shape.optional) return "none";
  return shape.kind === "map" ? "its keys' defaults" : `\`${flow(shape.preset)}\``;
}

/** A value as YAML in one line. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    return `{ ${Object.entries(value).map(([key, inner]) => `${key}: ${flow(inner)}`).join(", ")} }`;
  }
  return typeof value === "string" && !/^[a-z][a-z_-]*$/.test(value) ? JSON.stringify(value) : String(value);
}

function range(shape: Shape): string {
  if (shape.kind === "map" || shape.kind === "flag" || shape.kind === "any") return "";
  if (shape.kind === "list" && shape.item.kind === "map") return shape.required ? shape.wish : "";
  const wish = shape.kind === "list" ? `each ${shape.item.wish}` : shape.wish;
  return wish.replace(/^one of /, "").replace(/^a whole number of at least (\d+)$/, "$1 or more");
}

/** The shape of the whole file, for tests that visit every key. */
export function configShape(): MapShape {
  return shapeOf(configSchema) as MapShape;
}
