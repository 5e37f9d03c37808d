// What adapters cannot do without the C library: bounds on what the kernel keeps for each socket that a listener accepts,
// which accepted sockets inherit. TCP_NOTSENT_LOWAT is for what is not sent yet: without it a socket whose peer does not read
// takes megabytes before it says no, and all of them stand before whatever the lanes would rather send. SO_RCVBUF is for what
// has come: without it whoever pours has megabytes read in one turn of the loop, while all others wait. Bun has no option for
// either, but can call the C library; a descriptor of the listener is found by its address.
// https://man7.org/linux/man-pages/man7/tcp.7.html

import { readdirSync } from "node:fs";
import process from "node:process";

type Libc = Readonly<Record<string, (...args: readonly (number | ArrayBufferView)[]) => number>>;

/** What `bun:ffi` has that is needed here. */
interface Ffi {
  dlopen(
    library: string,
    symbols: Readonly<Record<string, { readonly args: readonly string[]; readonly returns: string }>>,
  ): { readonly symbols: Libc };
}

/** How a system names its sockets' options, where its C library is, and where a process finds its descriptors. */
interface System {
  readonly libraries: readonly string[];
  readonly descriptors: string;
  readonly solSocket: number;
  readonly soAcceptConn: number;
  readonly soRcvBuf: number;
  readonly tcpNotSentLowat: number;
}

const SYSTEMS: Readonly<Record<string, System>> = {
  linux: {
    libraries: ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
    descriptors: "/proc/self/fd",
    solSocket: 1,
    soAcceptConn: 30,
    soRcvBuf: 8,
    tcpNotSentLowat: 25,
  },
  darwin: {
    libraries: ["libSystem.B.dylib"],
    descriptors: "/dev/fd",
    solSocket: 0xffff,
    soAcceptConn: 2,
    soRcvBuf: 0x1002,
    tcpNotSentLowat: 0x201,
  },
};

/**
 * What the kernel may hold of a connection that was not read yet, about: Bun reads all of that in one turn of the loop, and
 * what comes meanwhile. 10,000 frames of six bytes are read in some tenths of a millisecond. On a link with a round trip of
 * 100 ms it lets 650 kB/s in.
 */
export const UNREAD_BYTES = 65_536;

const IPPROTO_TCP = 6;
const SYMBOLS = {
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
} as const;
/** `struct tcp_info` of linux/tcp.h: bytes received are its 64-bit field here (since 4.1). */
const TCP_INFO = 11;
const TCP_INFO_BYTES = 192;
const BYTES_RECEIVED_AT = 128;
/** Of Linux: bytes that wait to be read. */
const FIONREAD = 0x541b;
const AF_INET = 2;
/** Of `sockaddr_storage`; the port is in bytes 2 and 3 of either family, in network order. */
const ADDRESS_BYTES = 128;

/** The C library's calls on sockets; null where they cannot be had. */
export async function socketCalls(): Promise<SocketCalls | null> {
  const system = SYSTEMS[process.platform];
  if (process.versions["bun"] === undefined || system === undefined) return null;
  const name = "bun:ffi"; // Not a literal: other runtimes and the type checker do not know the module.
  const ffi = await import(name) as Ffi;
  for (const library of system.libraries) {
    try {
      return new SocketCalls(system, ffi.dlopen(library, SYMBOLS).symbols);
    } catch { // the next name
    }
  }
  return null;
}

export class SocketCalls {
  readonly #system: System;
  readonly #libc: Libc;

  constructor(system: System, libc: Libc) {
    this.#system = system;
    this.#libc = libc;
  }

  /**
   * Bounds what the kernel keeps for every socket that is accepted on a port from now on, about.
   * @param bytes not sent yet, and received and not read yet; 0: as the system says
   * @returns whether a listener was found there that took it
   */
  bound(port: number, { unsent, unread }: { readonly unsent: number; readonly unread: number }): boolean {
    const { descriptors, solSocket, soRcvBuf, tcpNotSentLowat } = this.#system;
    const set = (fd: number, level: number, option: number, bytes: number) =>
      bytes === 0 || this.#libc["setsockopt"]!(fd, level, option, Int32Array.of(bytes), 4) === 0;
    let bounded = false;
    for (const entry of readdirSync(descriptors)) {
      const fd = Number(entry);
      if (!this.#listens(fd, port)) continue;
      set(fd, solSocket, soRcvBuf, unread);
      const taken = set(fd, IPPROTO_TCP, tcpNotSentLowat, unsent);
      bounded ||= taken;
    }
    return bounded;
  }

  /**
   * Bytes that were read from each TCP socket of this process, by its peer: "port address", the address's bytes joined by
   * dots, four of them for IPv4. None where the system does not tell.
   */
  *read(): Generator<readonly [peer: string, bytes: number]> {
    if (process.platform !== "linux") return;
    const info = new DataView(new ArrayBuffer(TCP_INFO_BYTES)), address = new Uint8Array(ADDRESS_BYTES);
    const length = new Uint32Array(1), waiting = new Int32Array(1);
    for (const entry of readdirSync(this.#system.descriptors)) {
      const fd = Number(entry);
      length[0] = TCP_INFO_BYTES;
      if (this.#libc["getsockopt"]!(fd, IPPROTO_TCP, TCP_INFO, info, length) !== 0) continue;
      if (length[0] < BYTES_RECEIVED_AT + 8) continue;
      length[0] = ADDRESS_BYTES;
      if (this.#libc["getpeername"]!(fd, address, length) !== 0) continue; // it listens
      if (this.#libc["ioctl"]!(fd, FIONREAD, waiting) !== 0) continue;
      const bytes = Number(info.getBigUint64(BYTES_RECEIVED_AT, true)) - waiting[0]!;
      yield [`${address[2]! << 8 | address[3]!} ${addressOf(address)}`, bytes];
    }
  }

  #listens(fd: number, port: number): boolean {
    const { solSocket, soAcceptConn } = this.#system;
    const listens = new Int32Array(1);
    if (this.#libc["getsockopt"]!(fd, solSocket, soAcceptConn, listens, Uint32Array.of(4)) !== 0) {
      return false;
    }
    if (listens[0] === 0) return false;
    const address = new Uint8Array(ADDRESS_BYTES);
    if (this.#libc["getsockname"]!(fd, address, Uint32Array.of(ADDRESS_BYTES)) !== 0) return false;
    return (address[2]! << 8 | address[3]!) === port;
  }
}

/** A `sockaddr`'s address; IPv4 in IPv6 is written as IPv4. */
function addressOf(sockaddr: Uint8Array): string {
  if ((sockaddr[0]! | sockaddr[1]! << 8) === AF_INET) return sockaddr.subarray(4, 8).join(".");
  const bytes = sockaddr.subarray(8, 24);
  const mapped = bytes[10] === 0xff && bytes[11] === 0xff &&
    bytes.subarray(0, 10).every((byte) => byte === 0);
  return (mapped ? bytes.subarray(12) : bytes).join(".");
}
