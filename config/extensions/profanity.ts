// A plugin: bad words in chat messages are covered with stars, and the worst keep a message from being sent at all.
// Options: { masked: string[], rejected: string[] }, words in any spelling of upper and lower case.

import type { Context, Extension, Message } from "wsprism";

/** Letters, digits and what stands in their place, so that "sh1t" is no way around. */
const LOOKALIKES: Readonly<Record<string, string>> = {
  "0": "o",
  "1": "i",
  "3": "e",
  "4": "a",
  "5": "s",
  "@": "a",
  "$": "s",
};

let masked: ReadonlySet<string> = new Set();
let rejected: ReadonlySet<string> = new Set();

function plain(word: string): string {
  return [...word.toLowerCase()].map((letter) => LOOKALIKES[letter] ?? letter).join("");
}

export default {
  onStart(ctx: Context) {
    masked = new Set((ctx.options.masked as string[]).map(plain));
    rejected = new Set((ctx.options.rejected as string[]).map(plain));
  },

  onIngress(message: Message) {
    const text: unknown = message.data?.msg;
    // What is no chat message is the chat service's to refuse.
    if (typeof text !== "string") return;
    let isWorst = false;
    const clean = text.replace(/[\p{L}\p{N}@$]+/gu, (word) => {
      if (rejected.has(plain(word))) isWorst = true;
      return masked.has(plain(word)) ? "*".repeat(word.length) : word;
    });
    if (isWorst) return { reject: { code: "NOT_ALLOWED", msg: "not in this chat" } };
    if (clean !== text) return { data: { ...message.data, msg: clean } };
  },
} satisfies Extension;
