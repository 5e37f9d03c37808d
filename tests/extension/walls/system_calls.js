// The kernel asked straight, where the runtime can call C, with the compartment gone.
// expect: held

import { tried } from "../hostile/tried.js";

export default {
  async onMessage({ data }) {
    if (!globalThis.Bun) return { got: [] };
    const { dlopen, ptr } = await unwalled.builtin("bun:ffi");
    const args = ["i64", "i64", "i64", "i64", "i64", "i64"];
    const { syscall } = dlopen("libc.so.6", { syscall: { args, returns: "i64" } }).symbols;
    const text = (value) => ptr(new TextEncoder().encode(`${value}\0`));
    const arm = unwalled.process.arch === "arm64";
    const call = (x64, arm64, ...rest) => Number(syscall(arm ? arm64 : x64, ...[...rest, 0, 0, 0, 0, 0].slice(0, 5))) >= 0;
    const parent = unwalled.process.ppid;
    const space = new BigUint64Array(8);
    return await tried({
      openat: () => call(257, 56, -100, text(data.secret), 0),
      openWrite: () => call(257, 56, -100, text(`${data.outside}/made`), 0o102, 0o600),
      socket: () => call(41, 198, 2, 1, 0),
      socketpair: () => call(53, 199, 1, 1, 0, ptr(space)),
      execve: () => call(59, 221, text("/bin/true"), 0, 0),
      kill: () => call(62, 129, parent, 0),
      tgkill: () => call(234, 131, parent, parent, 0),
      sigqueue: () => call(129, 138, parent, 0, ptr(space)),
      pidfd: () => call(434, 434, parent, 0),
      ptrace: () => call(101, 117, 16, parent, 0, 0),
      readOther: () => call(310, 270, parent, ptr(space), 1, ptr(space), 1),
      uring: () => call(425, 425, 1, ptr(space)),
      bpf: () => call(321, 280, 0, ptr(space), 8),
      memfd: () => call(319, 279, text("x"), 0),
      shm: () => call(29, 194, 0, 4096, 0o1600),
      userfault: () => call(323, 282, 0),
      unshare: () => call(272, 97, 0x10000000),
      clone3: () => call(435, 435, ptr(space), 64),
      cloneProcess: () => call(56, 220, 17, 0, 0, 0),
      setuid: () => call(105, 146, 0),
      chmod: () => call(268, 53, -100, text(data.secret), 0o777),
      chdir: () => call(80, 49, text("/")),
      inotify: () => call(294, 26, 0),
      keyctl: () => call(250, 219, 0, -3, 1),
      limits: () => call(302, 261, parent, 7, 0, ptr(space)),
      affinity: () => call(203, 122, parent, 8, ptr(space)),
      mount: () => call(165, 40, text("none"), text("/mnt"), text("tmpfs"), 0),
      reboot: () => call(169, 142, 0, 0, 0),
      x32: () => !arm && call(0x40000000 + 41, 0, 2, 1, 0),
      unlock: () => call(446, 446, -1, 0),
      sendmsg: () => call(46, 211, 1, ptr(space), 0),
      sync: () => call(162, 81),
      syncfs: () => call(306, 267, 1),
      fsync: () => call(74, 82, 1),
      mlock: () => call(149, 228, ptr(space), 8),
      msgget: () => call(68, 186, 0, 0o1600),
      semget: () => call(64, 190, 0, 1, 0o1600),
      memfdSecret: () => call(447, 447, 0),
      setpgid: () => call(109, 154, 0, 0),
      setsid: () => call(112, 157),
      vmsplice: () => call(278, 75, 1, ptr(space), 0, 0),
      pathHandle: () => call(303, 264, -100, text("/"), ptr(space), ptr(space), 0),
      // To its own process, which would sleep in a handler.
      signalItself: () => call(234, 131, unwalled.process.pid, unwalled.process.pid, 10),
      raiseLimits: () => call(302, 261, 0, 7, ptr(space), 0),
      signalsFromPipes: () => call(72, 25, 1, 8, unwalled.process.pid),
      // From source, a host has to find its workers' files: there these are Landlock's part.
      stat: () => !data.fromSource && call(262, 79, -100, text("/etc/passwd"), ptr(new Uint8Array(256)), 0),
      access: () => !data.fromSource && call(269, 48, -100, text("/etc/passwd"), 0, 0),
      path: () => !data.fromSource && call(257, 56, -100, text("/etc/passwd"), 0x200000),
      readlink: () => !data.fromSource && call(267, 78, -100, text("/proc/self/exe"), ptr(space), 8),
    });
  },
};
