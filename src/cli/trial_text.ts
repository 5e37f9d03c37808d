// What `wsprism run-extension` prints of a call.

import type { TrialEnd, TrialReport, TrialRequest } from "../extension/trial.ts";

const MIB = 1_048_576;

/** For people. */
export function trialText(report: TrialReport): string {
  const lines = [`${endText(report.end)}`];
  for (const asked of report.requests) lines.push(`asked   ${requestText(asked)}`);
  for (const { level, text } of report.lines) lines.push(`log     ${level}: ${text}`);
  lines.push(`took    ${costText(report)}`);
  return `${lines.join("\n")}\n`;
}

/** For programs: one object. */
export function trialJson({ end, requests, lines, startMs, callMs, memoryBytes }: TrialReport): string {
  const report = {
    end,
    requests: requests.map(({ request, outcome, msg }) => ({ ...request, outcome, msg })),
    log: lines,
    start_ms: startMs,
    call_ms: callMs,
    memory_bytes: memoryBytes,
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}

function endText(end: TrialEnd): string {
  switch (end.kind) {
    case "value":
      return `reply   ${"value" in end ? JSON.stringify(end.value) : "none"}`;
    case "refused":
      return `refused ${end.code}: ${end.msg}`;
    case "thrown":
      return `failed  ${end.error}`;
    case "timeout":
      return "failed  no answer within limits.timeout_ms";
    case "no_hook":
      return `failed  it has no such hook; it has ${end.hooks.join(", ") || "none"}`;
    case "not_started":
      return `failed  it does not start: ${end.error}`;
    case "killed":
      return `killed  ${end.cause}: ${end.detail}`;
  }
}

function requestText({ request, outcome, msg }: TrialRequest): string {
  const { op, ...fields } = request;
  return `${op} ${JSON.stringify(fields)} -> ${outcome}${msg === undefined ? "" : `: ${msg}`}`;
}

function costText({ startMs, callMs, memoryBytes }: TrialReport): string {
  const parts = [
    startMs === null ? null : `${startMs.toFixed(0)} ms to start`,
    callMs === null ? null : `${callMs.toFixed(2)} ms to answer`,
    memoryBytes === 0 ? null : `${(memoryBytes / MIB).toFixed(0)} MiB in its process`,
  ];
  return parts.filter((part) => part !== null).join(", ") || "nothing";
}
