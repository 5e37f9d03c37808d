// A seccomp filter for an extension host: which system calls it cannot make, by machine, and the program of classic BPF
// that says so to the kernel. A list of what is refused and not of what is allowed, as a JavaScript runtime needs more than
// anybody would list; files are Landlock's part, and calls that change a file without opening it are this one's.
// Numbers: the kernel's asm/unistd_64.h (x86-64) and asm-generic/unistd.h (arm64).

export type Machine = "x64" | "arm64";

/** [x86-64, arm64]; null where a machine does not have the call. */
type Numbers = readonly [number | null, number | null];

/** Refused whatever their arguments are. */
export const REFUSED: Readonly<Record<string, Numbers>> = {
  // Sockets of every kind. What is open already, such as a pipe that is a socket, goes on.
  socket: [41, 198],
  socketpair: [53, 199],
  connect: [42, 203],
  bind: [49, 200],
  listen: [50, 201],
  accept: [43, 202],
  accept4: [288, 242],
  // Messages that carry descriptors; what is a socket among the pipes is written and read like any other.
  sendmsg: [46, 211],
  sendmmsg: [307, 269],
  recvmsg: [47, 212],
  recvmmsg: [299, 243],
  // Other programs and processes.
  execve: [59, 221],
  execveat: [322, 281],
  fork: [57, null],
  vfork: [58, null],
  kill: [62, 129],
  tkill: [200, 130],
  rt_sigqueueinfo: [129, 138],
  rt_tgsigqueueinfo: [297, 240],
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  process_madvise: [440, 440],
  process_mrelease: [448, 448],
  pidfd_open: [434, 434],
  pidfd_getfd: [438, 438],
  pidfd_send_signal: [424, 424],
  kcmp: [312, 272],
  setpgid: [109, 154],
  setsid: [112, 157],
  sched_setscheduler: [144, 119],
  sched_setparam: [142, 118],
  sched_setattr: [314, 274],
  ioprio_set: [251, 30],
  // Files, where Landlock does not look: their owner, mode, times and attributes, the current folder, notices of change.
  chmod: [90, null],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
  chown: [92, null],
  fchown: [93, 55],
  lchown: [94, null],
  fchownat: [260, 54],
  utime: [132, null],
  utimes: [235, null],
  futimesat: [261, null],
  utimensat: [280, 88],
  setxattr: [188, 5],
  lsetxattr: [189, 6],
  fsetxattr: [190, 7],
  setxattrat: [463, 463],
  removexattr: [197, 14],
  lremovexattr: [198, 15],
  fremovexattr: [199, 16],
  removexattrat: [466, 466],
  file_setattr: [469, 469],
  getxattr: [191, 8],
  lgetxattr: [192, 9],
  listxattr: [194, 11],
  llistxattr: [195, 12],
  chdir: [80, 49],
  fchdir: [81, 50],
  inotify_init: [253, null],
  inotify_init1: [294, 26],
  fanotify_init: [300, 262],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  // Everybody's disks, made to write at once.
  sync: [162, 81],
  syncfs: [306, 267],
  fsync: [74, 82],
  fdatasync: [75, 83],
  sync_file_range: [277, 84],
  fallocate: [285, 47],
  // … and where it does: a second lock on the same door.
  truncate: [76, 45],
  rename: [82, null],
  renameat: [264, 38],
  renameat2: [316, 276],
  mkdir: [83, null],
  mkdirat: [258, 34],
  rmdir: [84, null],
  link: [86, null],
  linkat: [265, 37],
  unlink: [87, null],
  unlinkat: [263, 35],
  symlink: [88, null],
  symlinkat: [266, 36],
  mknod: [133, null],
  mknodat: [259, 33],
  creat: [85, null],
  ftruncate: [77, 46],
  // Limits that were set to stay.
  setrlimit: [160, 164],
  // Memory that a look at the process does not count.
  memfd_create: [319, 279],
  memfd_secret: [447, 447],
  shmget: [29, 194],
  shmat: [30, 196],
  shmctl: [31, 195],
  msgget: [68, 186],
  semget: [64, 190],
  mq_open: [240, 180],
  mlock: [149, 228],
  mlock2: [325, 284],
  mlockall: [151, 230],
  swapon: [167, 224],
  swapoff: [168, 225],
  // The kernel's doors that hardly anybody needs and much has come through.
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_setup: [206, 0],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  keyctl: [250, 219],
  add_key: [248, 217],
  request_key: [249, 218],
  personality: [135, 92],
  modify_ldt: [154, null],
  uselib: [134, null],
  ustat: [136, null],
  sysfs: [139, null],
  lookup_dcookie: [212, 18],
  vmsplice: [278, 75],
  syslog: [103, 116],
  acct: [163, 89],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  // The system itself, should it run as root.
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  unshare: [272, 97],
  setns: [308, 268],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  setuid: [105, 146],
  setgid: [106, 144],
  setreuid: [113, 145],
  setregid: [114, 143],
  setresuid: [117, 147],
  setresgid: [119, 149],
  setfsuid: [122, 151],
  setfsgid: [123, 152],
  setgroups: [116, 159],
  capset: [126, 91],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  clock_adjtime: [305, 266],
  adjtimex: [159, 171],
  reboot: [169, 142],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  iopl: [172, null],
  ioperm: [173, null],
  vhangup: [153, 58],
  nfsservctl: [180, 42],
};

/**
 * Whether a path is there, how large and how old it is, and where it leads: Landlock tells that to everybody. A runtime that
 * loads its workers from source needs it; one that has them in itself does not.
 */
export const LOOKS: Readonly<Record<string, Numbers>> = {
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
/** Opened so, a path is looked at only. Behind a pointer, the flags of the last one cannot be seen. */
const OPEN: Numbers = [2, null];
const OPENAT: Numbers = [257, 56];
const OPENAT2: Numbers = [437, 437];
const O_PATH = 0x20_0000;

/** Answered "there is no such call": the C library then makes a thread with `clone`, whose flags can be looked at. */
const CLONE3: Numbers = [435, 435];
const CLONE: Numbers = [56, 220];
const CLONE_THREAD = 0x0001_0000;
/** Allowed to the process's own threads, with the signal that stops them for its garbage collector, or none. */
const TGKILL: Numbers = [234, 131];
const SIGPWR = 30;
/** A process may read its own limits. */
const PRLIMIT64: Numbers = [302, 261];
const SETPRIORITY: Numbers = [141, 140];
const SCHED_SETAFFINITY: Numbers = [203, 122];
/** Of terminals, the one that types for their user; and the one that makes a descriptor send signals. */
const IOCTL: Numbers = [16, 29];
const TIOCSTI = 0x5412;
const FIOSETOWN = 0x8901;
const SIOCSPGRP = 0x8902;
const TIOCLINUX = 0x541c;
/** Descriptors that send signals. */
const FCNTL: Numbers = [72, 25];
const F_SETOWN = 8;
const F_SETSIG = 10;
const F_SETOWN_EX = 15;

const AUDIT_ARCH: Readonly<Record<Machine, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };
/** Calls with this bit are x86-64's other table, which reaches the same calls by other numbers. */
const X32_BIT = 0x4000_0000;

const EPERM = 1;
const EACCES = 13;
const ENOSYS = 38;
const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;
const KILL_PROCESS = 0x8000_0000;

// linux/bpf_common.h
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;

// struct seccomp_data
const AT_NUMBER = 0;
const AT_ARCH = 4;
const atArgument = (index: number): number => 16 + 8 * index;

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];

const load = (offset: number): Instruction => [LOAD, 0, 0, offset];
const answer = (value: number): Instruction => [RETURN, 0, 0, value];
/** Goes on with the next one when equal, and jumps over `over` otherwise. */
const unlessEqual = (value: number, over: number): Instruction => [JUMP_EQUAL, 0, over, value];

/**
 * The filter, as `struct sock_filter[]`.
 * @param pid the process that it is for
 * @param looks whether it may look at paths, as far as Landlock lets it
 */
export function seccompFilter(machine: Machine, pid: number, looks = false): Uint8Array {
  const at = machine === "x64" ? 0 : 1;
  const program: Instruction[] = [
    load(AT_ARCH),
    [JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]],
    answer(KILL_PROCESS),
    load(AT_NUMBER),
  ];
  if (machine === "x64") program.push([JUMP_AT_LEAST, 0, 1, X32_BIT], answer(ERRNO | ENOSYS));
  const refuse = (numbers: Numbers, error: number) => {
    const number = numbers[at]!;
    if (number !== null) program.push(unlessEqual(number, 1), answer(ERRNO | error));
  };
  /** Decides a call by the lower half of one of its arguments, and leaves the number in place for what follows. */
  const decide = (numbers: Numbers, tests: readonly Instruction[]) => {
    program.push(unlessEqual(numbers[at]!, tests.length), ...tests);
  };
  for (const numbers of Object.values(REFUSED)) refuse(numbers, EPERM);
  if (!looks) {
    for (const numbers of Object.values(LOOKS)) refuse(numbers, EACCES);
    refuse(OPENAT2, ENOSYS);
    for (const [numbers, flags] of [[OPEN, 1], [OPENAT, 2]] as const) {
      if (numbers[at] === null) continue;
      decide(numbers, [
        load(atArgument(flags)),
        [JUMP_ANY_BIT, 0, 1, O_PATH],
        answer(ERRNO | EACCES),
        answer(ALLOW),
      ]);
    }
  }
  refuse(CLONE3, ENOSYS);
  decide(CLONE, [
    load(atArgument(0)),
    [JUMP_ANY_BIT, 0, 1, CLONE_THREAD],
    answer(ALLOW),
    answer(ERRNO | EPERM),
  ]);
  decide(TGKILL, [
    load(atArgument(0)),
    unlessEqual(pid, 5),
    load(atArgument(2)),
    unlessEqual(0, 1),
    answer(ALLOW),
    unlessEqual(SIGPWR, 1),
    answer(ALLOW),
    answer(ERRNO | EPERM),
  ]);
  // With an address of new limits, of which both halves count, it is no reading.
  decide(PRLIMIT64, [
    load(atArgument(2)),
    unlessEqual(0, 7),
    load(atArgument(2) + 4),
    unlessEqual(0, 5),
    load(atArgument(0)),
    unlessEqual(0, 1),
    answer(ALLOW),
    unlessEqual(pid, 1),
    answer(ALLOW),
    answer(ERRNO | EPERM),
  ]);
  // Of a thread of its own, or the caller's: whose the number is cannot be told, so only the caller's.
  decide(SCHED_SETAFFINITY, [
    load(atArgument(0)),
    unlessEqual(0, 1),
    answer(ALLOW),
    answer(ERRNO | EPERM),
  ]);
  decide(SETPRIORITY, [load(atArgument(1)), unlessEqual(0, 1), answer(ALLOW), answer(ERRNO | EPERM)]);
  for (
    const [numbers, values] of [
      [IOCTL, [TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP]],
      [FCNTL, [F_SETOWN, F_SETSIG, F_SETOWN_EX]],
    ] as const
  ) {
    const bad = values.flatMap((value) => [unlessEqual(value, 1), answer(ERRNO | EPERM)]);
    decide(numbers, [load(atArgument(1)), ...bad, answer(ALLOW)]);
  }
  program.push(answer(ALLOW));
  return encoded(program);
}

function encoded(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, [code, ifTrue, ifFalse, k]] of program.entries()) {
    view.setUint16(i * 8, code, true);
    view.setUint8(i * 8 + 2, ifTrue);
    view.setUint8(i * 8 + 3, ifFalse);
    view.setUint32(i * 8 + 4, k >>> 0, true);
  }
  return bytes;
}
