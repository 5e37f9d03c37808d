// The playground: a page to try the gateway on, served with `--dev` only. Its files are embedded; nothing of it comes from
// elsewhere.

import type { Hono } from "hono";
import clientScript from "./playground/client.js" with { type: "text" };
import style from "./playground/page.css" with { type: "text" };
import page from "./playground/page.html" with { type: "text" };
import pageScript from "./playground/page.js" with { type: "text" };

/** What the page needs to know of the configuration: as much as anybody could find out with a dev ticket. */
export interface PlaygroundFacts {
  /** Tenants that take dev tickets. */
  readonly tenants: readonly {
    readonly id: string;
    /** The name of a chat service; null where there is none. */
    readonly chat: string | null;
    readonly hot: readonly { readonly id: number; readonly kind: string }[];
    /** A room that keeps what is said in it; null where none does. */
    readonly kept: string | null;
  }[];
}

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-store",
};

/** Adds the page, and leads "/" to it. */
export function playgroundRoutes(app: Hono, facts: () => PlaygroundFacts): void {
  const files = [
    ["/playground", page, "text/html"],
    ["/playground/page.css", style, "text/css"],
    ["/playground/page.js", pageScript, "text/javascript"],
    ["/playground/client.js", clientScript, "text/javascript"],
  ] as const;
  for (const [path, text, type] of files) {
    app.get(path, (c) => c.body(text, 200, { ...HEADERS, "content-type": `${type}; charset=utf-8` }));
  }
  app.get("/playground/facts.json", (c) => c.json(facts(), 200, HEADERS));
  app.get("/playground/", (c) => c.redirect("/playground"));
  app.get("/", (c) => c.redirect("/playground"));
}
