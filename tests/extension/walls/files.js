// Files read and written by every way that a runtime has, with the compartment gone.
// expect: held

import { tried } from "../hostile/tried.js";

export default {
  onMessage({ data }) {
    const fs = unwalled.builtin("node:fs");
    const { outside, secret } = data;
    const text = (value) => String(value).length > 0;
    const attempts = {
      read: () => text(fs.readFileSync(secret)),
      readAsync: () => fs.promises.readFile(secret).then(text),
      callback: () => new Promise((resolve, reject) => fs.readFile(secret, (e, v) => e ? reject(e) : resolve(text(v)))),
      open: () => fs.openSync(secret, "r") > 0,
      stream: () => new Promise((resolve, reject) => fs.createReadStream(secret).on("data", resolve).on("error", reject)),
      list: () => fs.readdirSync("/etc").length > 0,
      listAsync: () => fs.promises.readdir("/etc").then((names) => names.length > 0),
      proc: () => text(fs.readFileSync("/proc/self/environ")),
      mem: () => fs.openSync("/proc/self/mem", "r+") > 0,
      parent: () => text(fs.readFileSync(`/proc/${unwalled.process.ppid}/cmdline`)),
      fds: () => fs.readdirSync("/proc/self/fd").length > 0,
      device: () => fs.openSync("/dev/sda", "r") > 0,
      write: () => (fs.writeFileSync(`${outside}/made`, "x"), true),
      writeAsync: () => fs.promises.writeFile(`${outside}/made`, "x").then(() => true),
      append: () => (fs.appendFileSync(secret, "x"), true),
      truncate: () => (fs.truncateSync(secret), true),
      mkdir: () => (fs.mkdirSync(`${outside}/folder`), true),
      rename: () => (fs.renameSync(secret, `${secret}2`), true),
      link: () => (fs.linkSync(secret, `${outside}/link`), true),
      symlink: () => (fs.symlinkSync(secret, `${outside}/symlink`), true),
      unlink: () => (fs.unlinkSync(secret), true),
      chmod: () => (fs.chmodSync(secret, 0o777), true),
      chown: () => (fs.chownSync(secret, 1, 1), true),
      utimes: () => (fs.utimesSync(secret, 0, 0), true),
      copy: () => (fs.copyFileSync(secret, `${outside}/copy`), true),
      chdir: () => (unwalled.process.chdir(outside), true),
      watch: () => fs.watch(outside) && true,
      dynamic: () => unwalled.load(`file://${secret}`).then(() => true),
      sqlite: () => new (unwalled.builtin("node:sqlite").DatabaseSync)(`${outside}/db`) && true,
    };
    const { Bun, Deno } = globalThis;
    if (Bun) {
      attempts.bunRead = () => Bun.file(secret).text().then(text);
      attempts.bunWrite = () => Bun.write(`${outside}/made`, "x").then(() => true);
      attempts.fetch = () => fetch(`file://${secret}`).then((r) => r.text()).then(text);
      attempts.mmap = () => Bun.mmap(secret).length > 0;
    }
    if (Deno) {
      // It throws where nobody catches, and the worker is gone.
      delete attempts.watch;
      attempts.denoRead = () => text(Deno.readTextFileSync(secret));
      attempts.denoWrite = () => (Deno.writeTextFileSync(`${outside}/made`, "x"), true);
      attempts.denoOpen = () => Deno.openSync(secret) && true;
      attempts.denoRequest = () => Deno.permissions.requestSync({ name: "read" }).state === "granted";
    }
    for (let i = 0; i < 64; i++) attempts[`pool ${i}`] = () => fs.promises.readFile(secret).then(text);
    return tried(attempts);
  },
};
