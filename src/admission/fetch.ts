// One question over HTTP with bounds on time and on what comes back. No redirects: whoever is asked answers itself.

/** `globalThis.fetch`, or a test's. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface FetchBounds {
  readonly timeoutMs: number;
  readonly bytesMax: number;
}

export interface FetchedText {
  readonly status: number;
  readonly text: string;
}

/** @throws when there is no answer in time, it is too large, or no UTF-8 */
export async function fetchText(
  fetch: Fetch,
  url: string,
  init: RequestInit,
  { timeoutMs, bytesMax }: FetchBounds,
): Promise<FetchedText> {
  const abort = new AbortController();
  const late = new Error(`no answer within ${timeoutMs} ms`);
  let timer: ReturnType<typeof setTimeout> | undefined;
  // Raced as well: not every runtime lets go of a body that hangs.
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(late);
      abort.abort(late);
    }, timeoutMs);
  });
  const asking = (async () => {
    const response = await fetch(url, { ...init, redirect: "manual", signal: abort.signal });
    return { status: response.status, text: await boundedText(response, bytesMax) };
  })();
  asking.catch(() => {}); // told through the race
  try {
    return await Promise.race([asking, deadline]);
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

async function boundedText(response: Response, bytesMax: number): Promise<string> {
  if (response.body === null) return "";
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`answer is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(all);
}
