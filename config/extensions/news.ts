// A service that announces: every tick it asks a feed, and tells a room what is new there. Clients ask it for the latest
// with news:latest. The feed answers [{ "id": 7, "title": "…" }, …], ids going up.
// Options: { feed: string (a URL in permissions.net), room: string }.

import type { Context, Extension, Message } from "wsprism";

interface Item {
  readonly id: number;
  readonly title: string;
}

let latest: Item | null = null;

function itemsOf(feed: unknown): Item[] {
  if (!Array.isArray(feed)) return [];
  return feed.filter(({ id, title }) => Number.isInteger(id) && typeof title === "string")
    .map(({ id, title }) => ({ id, title }));
}

export default {
  async onTick(ctx: Context) {
    const { feed, room } = ctx.options;
    const answer = await ctx.fetch(feed, { headers: { accept: "application/json" }, timeout_ms: 900 });
    if (answer.status !== 200) return ctx.log.warn("the feed answers", answer.status);
    // Kept, so that a restart does not announce everything again.
    const told = await ctx.kv.get<number>("told") ?? 0;
    const news = itemsOf(answer.json()).filter(({ id }) => id > told).sort((a, b) => a.id - b.id);
    for (const item of news) {
      latest = item;
      await ctx.publish(room, "item", item);
      await ctx.kv.set("told", item.id);
    }
  },

  onMessage({ type }: Message) {
    if (type !== "latest") throw new ExtensionError("NOT_FOUND", "there is latest");
    return latest;
  },
} satisfies Extension;
