// How the gateway names itself to those whom it asks.

import build from "../../deno.json" with { type: "json" };

/** `User-Agent` of all that it sends, unless the configuration or the extension says another. */
export const USER_AGENT = `wsprism/${build.version}`;
