// Other programs, processes and signals, with the compartment gone.
// expect: held

import { tried } from "../hostile/tried.js";

export default {
  onMessage() {
    const { process } = unwalled;
    const child = unwalled.builtin("node:child_process");
    const ran = (result) => result.error === undefined && result.status === 0;
    const started = (made) =>
      new Promise((resolve, reject) => made.on("spawn", () => resolve(true)).on("error", reject));
    const attempts = {
      spawnSync: () => ran(child.spawnSync("/bin/true")),
      execSync: () => (child.execSync("true"), true),
      spawn: () => started(child.spawn("/bin/true")),
      self: () => ran(child.spawnSync(process.execPath, ["--version"])),
      fork: () => started(child.fork("/tmp/x.js")),
      killParent: () => process.kill(process.ppid, "SIGTERM"),
      probeParent: () => process.kill(process.ppid, 0),
      killInit: () => process.kill(1, 0),
      killGroup: () => process.kill(0, "SIGCONT"),
      setuid: () => (process.setuid(1), true),
      umask: () => (process.setgid(1), true),
      priority: () => (unwalled.builtin("node:os").setPriority(process.ppid, 19), true),
    };
    const { Bun, Deno } = globalThis;
    if (Bun) {
      attempts.bunSpawn = () => Bun.spawnSync(["/bin/true"]).exitCode === 0;
      attempts.shell = () => Bun.$`/bin/true`.quiet().then((r) => r.exitCode === 0);
    }
    if (Deno) {
      attempts.denoRun = () => new Deno.Command("/bin/true").outputSync().success;
      attempts.denoKill = () => (Deno.kill(process.ppid, "SIGTERM"), true);
      attempts.env = () => Deno.env.get("PATH") !== undefined;
      attempts.system = () => Deno.hostname() !== "";
      attempts.ffi = () => Deno.dlopen("libc.so.6", {}) && true;
      attempts.worker = () => new Worker("data:text/javascript,0", { type: "module", deno: { permissions: { read: true } } }) && true;
    }
    return tried(attempts);
  },
};
