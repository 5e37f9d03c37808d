// All of it in one file, for a page that loads one script and for the playground.

export * from "./mod.ts";
export { sse, type SseOptions } from "./sse.ts";
export { cbor } from "./cbor.ts";
export { type HotHandler, type HotLane, hotLane } from "./hot.ts";
