// Asks the admin API with the key that somebody typed in. The key is in this object only: a reload of the page forgets it.

/** Why a request was refused. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.msg ?? `answered ${status}`);
    this.status = status;
    this.failures = body?.failures ?? [];
  }
}

export class Api {
  #key;

  constructor(key) {
    this.#key = key;
  }

  get(path) {
    return this.#ask("GET", path);
  }

  post(path, body = {}) {
    return this.#ask("POST", path, body);
  }

  delete(path) {
    return this.#ask("DELETE", path);
  }

  /** Reads an endless answer until the signal ends it. @returns why it has ended */
  async stream(path, onEvent, signal) {
    const response = await fetch(path, { headers: this.#headers(), signal, cache: "no-store" });
    if (!response.ok) throw new ApiError(response.status, await response.json().catch(() => null));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const data = /^data: (.*)$/m.exec(text.slice(0, end));
        text = text.slice(end + 2);
        if (data !== null) onEvent(JSON.parse(data[1]));
      }
    }
  }

  #headers() {
    return { authorization: `Bearer ${this.#key}` };
  }

  async #ask(method, path, body) {
    let response;
    try {
      response = await fetch(path, {
        method,
        cache: "no-store",
        headers: body === undefined
          ? this.#headers()
          : { ...this.#headers(), "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch {
      throw new ApiError(0, { msg: "the gateway cannot be reached" });
    }
    const read = await response.json().catch(() => null);
    if (!response.ok) throw new ApiError(response.status, read);
    return read;
  }
}

/** A path with its parts as they have to be written. */
export function path(strings, ...parts) {
  return strings.reduce((text, piece, i) => text + encodeURIComponent(parts[i - 1]) + piece);
}
