// Where the browser of the tests is.

import { existsSync } from "node:fs";
import process from "node:process";

/** Where browsers made of Chromium usually are; `WSPRISM_BROWSER` names another. */
export const PLACES: readonly string[] = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** The browser's path, null when there is none. */
export function findBrowser(): string | null {
  return process.env["WSPRISM_BROWSER"] ?? PLACES.find((path) => existsSync(path)) ?? null;
}
