// The header lines of an HTTP/1.1 response, read in linear time.

/** What cannot be read. The connection is of no use any more. */
export class UnreadableResponse extends Error {}

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const UNFIT_VALUE = /[\r\n\0]/;
const TAB = 9, SPACE = 32;

/** Headers by name in lower case; what came several times is joined by ", ". @throws {UnreadableResponse} */
export function readHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    if (!HEADER_NAME.test(name) || UNFIT_VALUE.test(line)) {
      throw new UnreadableResponse("the answer has a header that cannot be read");
    }
    const key = name.toLowerCase(), before = headers.get(key), value = trimmed(line, colon + 1);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}

/** The text behind `from`, without spaces and tabs around it. A regular expression would look at each space again and again. */
function trimmed(line: string, from: number): string {
  let start = from, end = line.length;
  while (start < end && isBlank(line, start)) start++;
  while (end > start && isBlank(line, end - 1)) end--;
  return line.slice(start, end);
}

function isBlank(line: string, at: number): boolean {
  const code = line.charCodeAt(at);
  return code === SPACE || code === TAB;
}
