// How the gateway names itself to those whom it asks.

/** As in deno.json; a test compares them. */
const VERSION = "1.0.0";

/** `User-Agent` of all that it sends, unless the configuration or the extension says another. */
export const USER_AGENT = `wsprism/${VERSION}`;
