// The console's page on the admin listener: files that are embedded, served to whoever can reach the listener. They show
// nothing by themselves; all that the page knows comes over the admin API, with the key that somebody gives it.

import type { AdminApp } from "../admin/admin_context.ts";
import style from "./page/console.css" with { type: "text" };
import page from "./page/console.html" with { type: "text" };
import script from "./page/console.js" with { type: "text" };

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  "cache-control": "no-store",
};

/** Adds the page. */
export function consoleRoutes(app: AdminApp): void {
  const files = [
    ["/console", page, "text/html"],
    ["/console/console.css", style, "text/css"],
    ["/console/console.js", script, "text/javascript"],
  ] as const;
  for (const [path, text, type] of files) {
    app.get(path, (c) => c.body(text, 200, { ...HEADERS, "content-type": `${type}; charset=utf-8` }));
  }
  app.get("/console/", (c) => c.redirect("/console"));
}
