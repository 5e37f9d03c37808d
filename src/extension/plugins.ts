// Plugins see a message between policy and its service: each in its turn passes it, changes its data, drops it or rejects
// it. A tenant without plugins does not have this; a message that no plugin matches costs a look into a map.

import type { Envelope } from "../protocol/envelope.ts";
import { Json } from "../protocol/json.ts";
import { Patterns } from "../protocol/patterns.ts";
import { foreignRefusal, type Refusal, refusal } from "../protocol/codes.ts";
import type { AnyDispatcher } from "../service/dispatcher.ts";
import { isData } from "../service/action.ts";
import { type Answer, type Context, SILENCE } from "../service/service.ts";
import type { Outcome } from "./calls.ts";
import type { Extension } from "./extension.ts";
import { messageInput, refusalOf } from "./extension_service.ts";

/** A plugin and what it sees. */
export interface Plugin {
  readonly extension: Extension;
  /** "svc:type", either of which may be "*". */
  readonly service: string;
  /** Only messages to such rooms; null for all. */
  readonly room: string | null;
  /** Whether messages pass when it fails. */
  readonly open: boolean;
}

interface Compiled {
  readonly extension: Extension;
  /** Null for any. */
  readonly svc: string | null;
  readonly type: string | null;
  readonly rooms: Patterns | null;
  readonly open: boolean;
}

const BAD_VERDICT = refusal("INTERNAL", "a plugin failed on this message");

export class Plugins {
  readonly #all: readonly Compiled[];
  /** Those that may see messages of a service, by its name. */
  readonly #bySvc = new Map<string, readonly Compiled[]>();
  /** Those that see messages of every service. */
  readonly #anySvc: readonly Compiled[];

  /** @param plugins in the order in which they see a message */
  constructor(plugins: readonly Plugin[]) {
    this.#all = plugins.map(({ extension, service, room, open }) => {
      const [svc = null, type = null] = service.split(":").map((part) => part === "*" ? null : part);
      return { extension, svc, type, rooms: room === null ? null : new Patterns([room]), open };
    });
    this.#anySvc = this.#all.filter(({ svc }) => svc === null);
    for (const { svc } of this.#all) {
      if (svc !== null) {
        this.#bySvc.set(
          svc,
          this.#all.filter((plugin) => plugin.svc === null || plugin.svc === svc),
        );
      }
    }
  }

  /** A dispatcher to whom ext messages come by way of these; the hot lane is its own. */
  before(next: AnyDispatcher): AnyDispatcher {
    return {
      ext: (context, message) => this.ext(context, message, next),
      hot: (context, frame) => next.hot(context, frame),
      resumed: (membership) => next.resumed(membership),
    };
  }

  /** Has a message looked at and, unless it ends with that, answered. */
  ext(context: Context, message: Envelope, next: AnyDispatcher): Answer | Promise<Answer> {
    const plugins = (this.#bySvc.get(message.svc) ?? this.#anySvc).filter((plugin) =>
      concerns(plugin, message)
    );
    return plugins.length === 0
      ? next.ext(context, message)
      : this.#pass(context, message, { plugins, next });
  }

  async #pass(
    context: Context,
    message: Envelope,
    { plugins, next }: { readonly plugins: readonly Compiled[]; readonly next: AnyDispatcher },
  ): Promise<Answer> {
    let current = message;
    for (const { extension, open } of plugins) {
      const verdict = readVerdict(await ask(extension, context, current));
      if (verdict === "pass") continue;
      if ("data" in verdict) current = { ...current, data: Json.of(verdict.data) };
      else if (!("failed" in verdict)) return verdict;
      else if (!open) return verdict.failed;
    }
    return await next.ext(context, current);
  }
}

function concerns({ type, rooms }: Compiled, message: Envelope): boolean {
  if (type !== null && type !== message.type) return false;
  return rooms === null || message.room !== null && rooms.allows(message.room);
}

function ask(extension: Extension, context: Context, message: Envelope): Promise<Outcome> {
  return new Promise((resolve) => {
    const input = messageInput(message);
    const now = typeof input !== "string"
      ? { kind: "thrown", code: input.code, msg: input.msg } as const
      : extension.call("onIngress", input, context, resolve);
    if (now !== null) resolve(now);
  });
}

type Verdict = "pass" | { readonly data: unknown } | Answer | { readonly failed: Refusal };

/** What a plugin wants done with a message. */
function readVerdict(outcome: Outcome): Verdict {
  if (outcome.kind === "none") return "pass";
  if (outcome.kind === "thrown" && outcome.code !== undefined) {
    return foreignRefusal(outcome.code, outcome.msg) ?? { failed: BAD_VERDICT };
  }
  if (outcome.kind !== "value") return { failed: refusalOf(outcome) };
  const { value } = outcome;
  if (value === undefined || value === null) return "pass";
  if (typeof value !== "object" || Array.isArray(value)) return { failed: BAD_VERDICT };
  const { data, drop, reject } = value as Readonly<Record<string, unknown>>;
  const [key, ...others] = Object.keys(value);
  if (others.length > 0) return { failed: BAD_VERDICT };
  if (key === "drop" && drop === true) return SILENCE;
  if (key === "data" && isData(data)) return { data };
  if (key === "reject" && typeof reject === "object" && reject !== null) {
    const { code, msg } = reject as Readonly<Record<string, unknown>>;
    return foreignRefusal(code, msg) ?? { failed: BAD_VERDICT };
  }
  return { failed: BAD_VERDICT };
}
