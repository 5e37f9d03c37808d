// The text of a module as the engine is given it, and the last word on whether it imports at run time. Where a regular
// expression, a template or a comment begins is something on which a parser and an engine can differ, so no parser is asked:
// the engine itself is, the one that runs the text. It reads the text once more with every `import` that could be a call
// blotted out by a character that no code may have, and texts, expressions and comments may: what it then still reads has
// none of them in code. Nothing is run for that. Code that is honest runs as it was written.

import { Script } from "node:vm";

/** An import in code. */
export interface FoundImport {
  /** Of the module's own text, from 1. */
  readonly line: number;
}

/** No token of the language has it; strings, templates, regular expressions and comments may. */
const BLOT = "\0";
/** Imports that are looked at one by one to tell the line; of more, the first one's is told. */
const LINES_MAX = 64;

/** The keyword in every spelling that an identifier could have, as the beginning of a call or a property of it. */
const IMPORT = new RegExp(
  // `a.import` and `#import` are names of properties. After `...` it is none.
  "(?<![\\w$#])(?<!(?<!\\.)\\.)" +
    [..."import"].map((letter) => {
      const hex = letter.charCodeAt(0).toString(16);
      const digits = [...hex].map((digit) => `[${digit}${digit.toUpperCase()}]`).join("");
      return `(?:${letter}|\\\\u00${digits}|\\\\u\\{0*${digits}\\})`;
    }).join("") +
    "(?=\\s*(?:[(.]|/[/*]|<!--|-->))",
  "g",
);

/**
 * A module's code as the function that the engine makes of it, on the lines where it was written.
 * @param index the module's place in its program; what else is known of the module was written by others, and stays out
 */
export function runningText(code: string, index: number): string {
  return `(function (exports, require) {"use strict";${code}\n})\n//# sourceURL=${moduleLabel(index)}`;
}

/** What stands for a module's path in stacks. */
export function moduleLabel(index: number): string {
  return `extension-module-${index}`;
}

/** Finds what imports at run time in a text made by `runningText`; null where nothing does. */
export function findImport(text: string): FoundImport | null {
  const found = [...text.matchAll(IMPORT)].map(({ index, 0: { length } }) => ({ index, length }));
  if (found.length === 0 || isRead(blotted(text, found))) return null;
  const single = found.slice(0, LINES_MAX).find((place) => !isRead(blotted(text, [place])));
  const { index } = single ?? found[0]!;
  return { line: text.slice(0, index).split(/\r\n|[\n\r\u2028\u2029]/).length };
}

function blotted(
  text: string,
  places: readonly { readonly index: number; readonly length: number }[],
): string {
  const parts: string[] = [];
  let at = 0;
  for (const { index, length } of places) {
    parts.push(text.slice(at, index), BLOT.repeat(length));
    at = index + length;
  }
  return parts.join("") + text.slice(at);
}

/** Whether the engine takes it for a program. */
function isRead(text: string): boolean {
  try {
    // Strict, as it will run: some words are names elsewhere.
    new Script(`"use strict";${text}`);
    return true;
  } catch {
    return false;
  }
}
