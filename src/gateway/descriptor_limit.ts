// The limit of file descriptors, which is one of connections.

import { readFileSync } from "node:fs";
import process from "node:process";

/** How many descriptors this process may have open; null where that cannot be known, as on Deno without --allow-all. */
export function descriptorLimit(): number | null {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    if (soft !== undefined) return Number(soft);
  } catch {
    // Not Linux, or not allowed.
  }
  try {
    const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: unknown } } };
    const soft = report.userLimits?.open_files?.soft;
    return typeof soft === "number" ? soft : null;
  } catch {
    return null;
  }
}
