// What the sections that speak of your backend must satisfy beyond each key's own range: each service is of one kind,
// addresses are safe to ask, secrets are long enough.

import { httpServiceSchema, webhookSchema } from "./backend_schema.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import { checkOutbound, type Findings } from "./outbound.ts";
import type { Tree } from "./tree.ts";

/** Keys by which a service says what it is. */
const KINDS = ["builtin", "http", "worker", "wasm"] as const;

const RISK = "read and change what is said";

/** Checks what all tenants say of their backends. */
export function checkBackend(
  tree: Tree,
): { readonly failures: readonly ConfigIssue[]; readonly warnings: readonly ConfigIssue[] } {
  const failures: ConfigIssue[] = [], warnings: ConfigIssue[] = [];
  const findings: Findings = {
    fail: (path, message) => void failures.push(tree.issue(path, message)),
    warn: (path, message) => void warnings.push(tree.issue(path, message)),
  };
  list(tree.at(["tenants"])).forEach((_, tenant) => {
    list(tree.at(["tenants", tenant, "services"])).forEach((_, service) => {
      checkService(tree, ["tenants", tenant, "services", service], findings);
    });
    checkWebhooks(tree, ["tenants", tenant, "webhooks"], findings);
  });
  return { failures, warnings };
}

function checkService(tree: Tree, path: Path, findings: Findings): void {
  const kinds = KINDS.filter((kind) => tree.has([...path, kind]));
  if (kinds.length === 0) findings.fail(path, `needs one of ${KINDS.join(", ")}`);
  for (const kind of kinds.slice(1)) findings.fail([...path, kind], `does not go with ${kinds[0]}`);
  const http = httpServiceSchema.safeParse(tree.at([...path, "http"]));
  if (http.success) checkOutbound(http.data, [...path, "http"], findings, RISK);
}

function checkWebhooks(tree: Tree, path: Path, findings: Findings): void {
  const ids = new Map<string, number>();
  list(tree.at(path)).forEach((value, index) => {
    const at = [...path, index];
    const parsed = webhookSchema.safeParse(value);
    if (!parsed.success) return;
    const { id, durable, events } = parsed.data;
    checkOutbound(parsed.data, at, findings, RISK);
    const before = ids.get(id);
    if (before === undefined) ids.set(id, index);
    else findings.fail([...at, "id"], `must be unique, but is also webhooks[${before}].id`);
    const kept = tree.has(["gateway", "state_dir"]);
    if (durable && !kept) {
      const message =
        "needs gateway.state_dir, so that no event is lost; or say durable: false, and a restart may lose some";
      findings.fail(at, message);
    }
    events.forEach((event, i) => {
      if (events.indexOf(event) < i) findings.warn([...at, "events", i], "is there already");
    });
  });
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
