// Which walls stand on this machine, found out by starting an extension host and asking it: nothing else shows what a
// kernel, a container or a runtime really allows.

import { errorText } from "../error_text.ts";
import { arch, platform, release } from "node:os";
import { ChunkReader } from "./chunks.ts";
import { landlockAbi } from "./confine.ts";
import type { LaunchHost } from "./host_process.ts";
import { CHUNK_BYTES_MAX, type HostEvent, type Walls } from "../program/messages.ts";

export interface WallReport {
  /** Whether extensions can run with `confinement: required`. */
  readonly enough: boolean;
  readonly walls: Walls | null;
  /** Why no host came to be; null when one did. */
  readonly failure: string | null;
  /** Landlock's version in the kernel: 0 where it is missing, null where it cannot be asked. */
  readonly landlockAbi: number | null;
  readonly system: string;
  /** What would help, a sentence each. */
  readonly advice: readonly string[];
}

/** Longer than a host takes to start on a machine that is busy. */
const HELLO_MS = 15_000;

/** Starts a host, hears what walls stand around it, and ends it. */
export async function reportWalls(launch: LaunchHost): Promise<WallReport> {
  const abi = await landlockAbi().catch(() => null);
  const heard = await firstEvent(launch);
  const walls = typeof heard !== "string" && heard.kind === "hello" ? heard.walls : null;
  const failure = walls !== null ? null : typeof heard === "string" ? heard : "it said something else first";
  const isUp = (wall: keyof Walls) => walls?.[wall] === "up";
  const enough = isUp("permissions") || (isUp("landlock") && isUp("seccomp"));
  const advice = enough ? [] : adviceFor(walls, failure, abi);
  return { enough, walls, failure, landlockAbi: abi, system: system(), advice };
}

function system(): string {
  const kernel = () => {
    try {
      return ` ${release()}`;
    } catch {
      return ""; // Deno, without the permission
    }
  };
  return `${platform()}${kernel()}, ${arch()}`;
}

function firstEvent(launch: LaunchHost): Promise<HostEvent | string> {
  return new Promise((resolve) => {
    try {
      const host = launch({ confinement: "best_effort" });
      const reader = new ChunkReader(CHUNK_BYTES_MAX);
      let line = "";
      const done = (event: HostEvent | string) => {
        clearTimeout(timer);
        host.kill();
        resolve(event);
      };
      const timer = setTimeout(() => done(`it said nothing for ${HELLO_MS} ms`), HELLO_MS);
      host.onStderr((text) => {
        if (line === "") line = text;
      });
      host.onData((bytes) => {
        for (const { body } of reader.read(bytes) ?? []) {
          const [event] = JSON.parse(new TextDecoder().decode(body)) as readonly HostEvent[];
          if (event !== undefined) done(event);
        }
      });
      host.onExit((why) => done(line === "" ? why : `${why}: ${line}`));
    } catch (error) {
      resolve(errorText(error));
    }
  });
}

function adviceFor(walls: Walls | null, failure: string | null, abi: number | null): string[] {
  const advice: string[] = [];
  if (failure !== null) {
    advice.push(
      "Let this process start itself once more: on Deno with --allow-run=deno, in a container with enough pids.",
    );
  } else if (platform() !== "linux") {
    advice.push("Run on Linux, or with Deno, whose permissions hold everywhere.");
  } else {
    if (abi === 0) {
      advice.push(
        'Use Linux 5.13 or later, with "landlock" among the modules in /sys/kernel/security/lsm (lsm= at boot).',
      );
    } else if (walls?.landlock !== "up") {
      advice.push(
        "Let the container's seccomp profile pass landlock_create_ruleset, _add_rule and _restrict_self.",
      );
    }
    if (walls?.seccomp !== "up") {
      advice.push(
        "Use a kernel with CONFIG_SECCOMP_FILTER, and let the container's profile pass seccomp and prctl.",
      );
    }
  }
  advice.push("Or set extensions.confinement: best_effort, for extensions whose code you trust.");
  return advice;
}
