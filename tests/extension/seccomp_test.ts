// The seccomp filter, run through a small machine for classic BPF: what it answers to calls on both kinds of machine.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Machine, seccompFilter } from "../../src/extension/seccomp.ts";

const PID = 4321;
const ARCH: Readonly<Record<Machine, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };
const ALLOWED = 0x7fff0000;
const REFUSED = 0x00050001;
const UNKNOWN = 0x00050026;

const NO_ACCESS = 0x0005000d;

function answer(machine: Machine, number: number, { args = [], arch = ARCH[machine], looks = false }: {
  readonly args?: readonly number[];
  readonly arch?: number;
  readonly looks?: boolean;
} = {}): number {
  const filter = seccompFilter(machine, PID, looks);
  const program = new DataView(filter.buffer);
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, arch, true);
  for (const [i, value] of args.entries()) {
    data.setBigUint64(16 + 8 * i, BigInt.asUintN(64, BigInt(value)), true);
  }
  let accumulator = 0;
  for (let at = 0; at < filter.length / 8; at++) {
    const code = program.getUint16(at * 8, true);
    const k = program.getUint32(at * 8 + 4, true);
    const jump = (is: boolean) => at += program.getUint8(at * 8 + (is ? 2 : 3));
    if (code === 0x20) accumulator = data.getUint32(k, true);
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else if (code === 0x06) return k;
    else assert.fail(`instruction ${code}`);
  }
  return assert.fail("it ran over its end");
}

test("Calls that reach out are refused on both machines, and those of every day are allowed", () => {
  const refused: Readonly<Record<Machine, readonly number[]>> = {
    x64: [41, 42, 49, 50, 53, 56, 57, 58, 59, 62, 101, 165, 200, 288, 310, 311, 319, 321, 322, 425, 434],
    arm64: [198, 203, 200, 201, 199, 220, 221, 129, 117, 40, 130, 242, 270, 271, 279, 280, 281, 425, 434],
  };
  // read, write, mmap, munmap, futex, epoll_ctl, openat (Landlock's), clock_gettime, exit_group
  const allowed: Readonly<Record<Machine, readonly number[]>> = {
    x64: [0, 1, 9, 11, 202, 233, 257, 228, 231],
    arm64: [63, 64, 222, 215, 98, 21, 56, 113, 94],
  };
  for (const machine of ["x64", "arm64"] as const) {
    for (const number of refused[machine]) {
      assert.equal(answer(machine, number), REFUSED, `${machine} ${number}`);
    }
    for (const number of allowed[machine]) {
      assert.equal(answer(machine, number), ALLOWED, `${machine} ${number}`);
    }
  }
});

test("Threads may be made and stopped, processes may not", () => {
  for (const [machine, clone, tgkill] of [["x64", 56, 234], ["arm64", 220, 131]] as const) {
    assert.equal(answer(machine, clone, { args: [0x3d0f00] }), ALLOWED);
    assert.equal(answer(machine, clone, { args: [17] }), REFUSED);
    assert.equal(answer(machine, 435), UNKNOWN, "clone3, whose flags cannot be seen");
    assert.equal(answer(machine, tgkill, { args: [PID] }), ALLOWED);
    assert.equal(answer(machine, tgkill, { args: [1] }), REFUSED);
  }
});

test("Limits of other processes, keys typed into a terminal and signals from descriptors are refused", () => {
  assert.equal(answer("x64", 302, { args: [0] }), ALLOWED);
  assert.equal(answer("x64", 302, { args: [1] }), REFUSED);
  assert.equal(answer("x64", 16, { args: [0, 0x5412] }), REFUSED);
  assert.equal(answer("x64", 16, { args: [0, 0x5401] }), ALLOWED);
  assert.equal(answer("x64", 72, { args: [0, 8] }), REFUSED);
  assert.equal(answer("x64", 72, { args: [0, 3] }), ALLOWED);
});

test("Another table of calls ends the process, or is not there", () => {
  assert.equal(answer("x64", 0, { arch: 0x40000003 }), 0x80000000);
  assert.equal(answer("arm64", 0, { arch: 0x40000028 }), 0x80000000);
  assert.equal(answer("x64", 0x40000000 + 41), UNKNOWN);
});

test("Messages with descriptors, disks made to write, limits and memory that nobody counts are refused", () => {
  const refused: Readonly<Record<string, readonly [x64: number | null, arm64: number | null]>> = {
    sendmsg: [46, 211],
    sendmmsg: [307, 269],
    recvmsg: [47, 212],
    recvmmsg: [299, 243],
    sync: [162, 81],
    syncfs: [306, 267],
    fsync: [74, 82],
    fdatasync: [75, 83],
    sync_file_range: [277, 84],
    fallocate: [285, 47],
    setrlimit: [160, 164],
    memfd_secret: [447, 447],
    msgget: [68, 186],
    semget: [64, 190],
    mq_open: [240, 180],
    mlock: [149, 228],
    mlockall: [151, 230],
    process_madvise: [440, 440],
    sched_setscheduler: [144, 119],
    setpgid: [109, 154],
    setsid: [112, 157],
    ustat: [136, null],
    vmsplice: [278, 75],
    name_to_handle_at: [303, 264],
  };
  for (const [name, numbers] of Object.entries(refused)) {
    for (const [at, machine] of (["x64", "arm64"] as const).entries()) {
      const number = numbers[at]!;
      if (number !== null) assert.equal(answer(machine, number), REFUSED, `${machine} ${name}`);
    }
  }
});

test("Paths are not looked at, in any way, where the host needs none; elsewhere they are Landlock's", () => {
  const looks: Readonly<Record<string, readonly [x64: number | null, arm64: number | null]>> = {
    stat: [4, null],
    lstat: [6, null],
    newfstatat: [262, 79],
    statx: [332, 291],
    access: [21, null],
    faccessat: [269, 48],
    faccessat2: [439, 439],
    readlink: [89, null],
    readlinkat: [267, 78],
    statfs: [137, 43],
    statmount: [457, 457],
    listmount: [458, 458],
  };
  for (const [name, numbers] of Object.entries(looks)) {
    for (const [at, machine] of (["x64", "arm64"] as const).entries()) {
      const number = numbers[at]!;
      if (number === null) continue;
      assert.equal(answer(machine, number), NO_ACCESS, `${machine} ${name}`);
      assert.equal(answer(machine, number, { looks: true }), ALLOWED, `${machine} ${name}`);
    }
  }
  const path = 0x20_0000;
  for (const [machine, openat, openat2] of [["x64", 257, 437], ["arm64", 56, 437]] as const) {
    assert.equal(answer(machine, openat, { args: [0, 0, path] }), NO_ACCESS);
    assert.equal(answer(machine, openat, { args: [0, 0, path | 0x8_0000] }), NO_ACCESS);
    assert.equal(answer(machine, openat, { args: [0, 0, 0x8_0000] }), ALLOWED);
    assert.equal(answer(machine, openat2), UNKNOWN, "its flags cannot be seen");
  }
  assert.equal(answer("x64", 2, { args: [0, path] }), NO_ACCESS);
  assert.equal(answer("x64", 2, { args: [0, 0] }), ALLOWED);
});

test("A thread is sent the garbage collector's signal, and no other; limits are read, and not set", () => {
  for (const [machine, tgkill, prlimit] of [["x64", 234, 302], ["arm64", 131, 261]] as const) {
    assert.equal(answer(machine, tgkill, { args: [PID, 5, 30] }), ALLOWED);
    for (const signal of [1, 9, 10, 12, 15, 17, 34, 62]) {
      assert.equal(answer(machine, tgkill, { args: [PID, 5, signal] }), REFUSED, `signal ${signal}`);
    }
    assert.equal(answer(machine, prlimit, { args: [0, 7, 0] }), ALLOWED);
    assert.equal(answer(machine, prlimit, { args: [PID, 7, 0] }), ALLOWED);
    assert.equal(answer(machine, prlimit, { args: [0, 7, 0x7f00_0000] }), REFUSED);
    assert.equal(
      answer(machine, prlimit, { args: [0, 7, 2 ** 40] }),
      REFUSED,
      "the upper half of an address",
    );
  }
  for (const [machine, ioctl, fcntl] of [["x64", 16, 72], ["arm64", 29, 25]] as const) {
    for (const request of [0x5412, 0x541c, 0x8901, 0x8902]) {
      assert.equal(answer(machine, ioctl, { args: [0, request] }), REFUSED);
    }
    for (const command of [8, 10, 15]) assert.equal(answer(machine, fcntl, { args: [0, command] }), REFUSED);
  }
});
