// The document of the admin API: that it is one, and that the API is as it says, whatever is asked.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import fc from "fast-check";
import * as z from "zod";
import { type AdminHouse, open } from "./admin_house.ts";
import { documentOf, GOOD_BODIES, type Operation, operationsOf, WEBHOOKS } from "./document.ts";
import { fitting, type Schema, spoilt } from "./schema_arbitrary.ts";

/** Requests of each route, and with each kind of body. */
const RUNS = 25;

test("The document is valid OpenAPI 3.1, and every route says what it is for", async () => {
  const document = await documentOf(await open());
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors));
  assert.equal(document["openapi"], "3.1.0");
  const operations = operationsOf(document) as readonly (Operation & { summary?: string; tags?: string[] })[];
  for (const { name, summary, tags, parameters, requestBody } of operations) {
    assert.ok(summary !== undefined && summary.length > 5 && tags?.length === 1, name);
    assert.ok(requestBody === undefined || name.startsWith("POST"), name);
    const inPath = [...name.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
    assert.deepEqual(parameters?.filter((p) => p.in === "path").map((p) => p.name) ?? [], inPath, name);
  }
});

test("The validator that says so does find faults", async () => {
  const document = await documentOf(await open());
  const { valid } = await new Validator().validate({
    ...structuredClone(document),
    paths: { "/x": { get: 1 } },
  });
  assert.equal(valid, false);
});

interface Asked {
  readonly path: string;
  readonly body: unknown;
}

/** What is really there, for each parameter of a path. */
type Real = Readonly<Record<string, readonly string[]>>;

/** What a parameter becomes: often something real, else whatever fits, or anything. */
function valueOf(schema: Schema, real: readonly string[] | undefined): fc.Arbitrary<string> {
  const fits = fitting(schema).map(String);
  const good = real === undefined ? fits : fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...real) }, fits);
  return fc.oneof({ weight: 6, arbitrary: good }, fc.string({ unit: "binary", maxLength: 150 }))
    // A path cannot have these as a part: the URL standard takes them for steps.
    .filter((text) => text.isWellFormed() && !["", ".", ".."].includes(text));
}

function fill(operation: Operation, values: readonly (string | null)[], body: unknown): Asked {
  let path = operation.path;
  const query = new URLSearchParams();
  (operation.parameters ?? []).forEach(({ name, in: place }, i) => {
    const value = values[i] ?? null;
    if (value === null) return;
    if (place === "path") path = path.replace(`{${name}}`, () => encodeURIComponent(value));
    else query.set(name, value);
  });
  return { path: `${path}?${query}`, body };
}

function requests(operation: Operation, real: Real): fc.Arbitrary<Asked> {
  const values = fc.tuple(...(operation.parameters ?? []).map(({ name, in: place, schema }) => {
    const value = valueOf(schema, real[name]);
    return place === "path" ? value : fc.option(value, { nil: null });
  }));
  const schema = operation.requestBody?.content?.["application/json"]?.schema;
  const body = schema === undefined
    ? fc.constant(undefined)
    : fc.oneof(fitting(schema), spoilt(schema), fc.jsonValue());
  return fc.tuple(values, body).map(([values, body]) => fill(operation, values, body));
}

/** A request that is answered with 200. */
function goodRequest(operation: Operation, real: Real): Asked {
  const { parameters = [], name } = operation;
  const values = parameters.map(({ name, in: place }) => place === "path" ? real[name]![0]! : null);
  return fill(operation, values, GOOD_BODIES[name]);
}

/** Fails unless an answer is one that the document has for the route. */
function check({ name, responses }: Operation, status: number, body: unknown, type: string): void {
  const documented = responses[String(status)];
  assert.ok(documented !== undefined, `${name} answered with ${status}, which is not in the document`);
  const [, { schema }] = Object.entries(documented.content ?? {}).find(([known]) => type.startsWith(known)) ??
    assert.fail(`${name} answered with ${type}`);
  if (!type.startsWith("application/json")) return;
  const result = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]).safeParse(body);
  assert.ok(result.success, `${name} answered with ${JSON.stringify(body)}: ${result.error?.message}`);
}

/** Sessions in rooms, and somebody who is banned: what is really there from now on. */
async function populate(house: AdminHouse): Promise<Real> {
  await house.ask("POST", "/v1/tenants/acme/users/eve/ban");
  const session = ["ann", "bob"].map((user) => {
    const { client, session } = house.enterAs(user);
    for (const room of ["lobby", "a/b"]) client.join(room);
    return session;
  });
  const user = ["eve", "ann", "bob"];
  return { tenant: ["acme", "other"], session, room: ["lobby", "a/b"], user, webhook: ["audit"] };
}

test("Whatever is asked, the answer is one of those in the document, and nothing fails inside", async () => {
  const tenant = [
    'policy: { ext_allowlist: ["room:*"], sessions: { max_sessions_per_user: 1000 } }',
    'rooms: [{ match: "*", history: {} }]',
  ];
  for (const operation of operationsOf(await documentOf(await open()))) {
    // Its own house for each: some routes leave nobody in it.
    const webhooks = operation.path.includes("webhooks") ? [WEBHOOKS] : [];
    const house = await open({ tenant: [...tenant, ...webhooks] });
    const real = await populate(house);
    const ask = async ({ path, body }: Asked) => {
      const { status, headers, body: answer } = await house.ask(operation.method, path, { body });
      assert.notEqual(status, 500, JSON.stringify({ path, body, answer }));
      check(operation, status, answer, headers.get("content-type") ?? "");
      house.clock.advance(1);
      return status;
    };
    assert.equal(await ask(goodRequest(operation, real)), 200, operation.name);
    await fc.assert(
      fc.asyncProperty(requests(operation, real), async (asked) => void await ask(asked)),
      { numRuns: RUNS },
    );
    assert.deepEqual(house.logged.filter(({ level }) => level === "error"), []);
    await house.gateway.stop();
  }
});
