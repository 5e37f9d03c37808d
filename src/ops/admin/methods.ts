// Which methods a path of the admin API takes, for requests that bring another one.

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { AdminEnv } from "./admin_context.ts";

/** Methods by path, once all routes are there. */
export class Methods {
  readonly #routes: readonly { readonly method: string; readonly path: RegExp }[];

  constructor(app: OpenAPIHono<AdminEnv>) {
    this.#routes = app.openAPIRegistry.definitions.flatMap((definition) => {
      if (definition.type !== "route") return [];
      const { method, path } = definition.route;
      return [{ method: method.toUpperCase(), path: patternOf(path) }];
    });
  }

  /** What a path takes; empty where there is no route. */
  of(path: string): string[] {
    const methods = this.#routes.filter((route) => route.path.test(path)).map(({ method }) => method);
    return methods.includes("GET") ? [...methods, "HEAD"] : methods;
  }
}

/** A path as OpenAPI has it, as a pattern of those that it stands for. */
function patternOf(path: string): RegExp {
  const parts = path.split("/").map((part) => /^\{\w+\}$/.test(part) ? "[^/]+" : part.replaceAll(".", "\\."));
  return new RegExp(`^${parts.join("/")}$`);
}
