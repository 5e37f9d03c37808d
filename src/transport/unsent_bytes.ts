// What adapters cannot do without the C library: it bounds what the kernel keeps unsent for each socket that a listener accepts: TCP_NOTSENT_LOWAT, which accepted sockets
// inherit. Without it a socket whose peer does not read takes megabytes before it says no, and all of them stand before
// whatever the lanes would rather send. Bun has no option for it, but can call the C library; a descriptor of the listener
// is found by its address. https://man7.org/linux/man-pages/man7/tcp.7.html

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
  readonly tcpNotSentLowat: number;
}

const SYSTEMS: Readonly<Record<string, System>> = {
  linux: {
    libraries: ["libc.so.6", "libc.so", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
    descriptors: "/proc/self/fd",
    solSocket: 1,
    soAcceptConn: 30,
    tcpNotSentLowat: 25,
  },
  darwin: {
    libraries: ["libSystem.B.dylib"],
    descriptors: "/dev/fd",
    solSocket: 0xffff,
    soAcceptConn: 2,
    tcpNotSentLowat: 0x201,
  },
};

const IPPROTO_TCP = 6;
const SYMBOLS = {
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
} as const;
/** `struct tcp_info` of linux/tcp.h: bytes received are its 64-bit field here (since 4.1). */
const TCP_INFO = 11;
const TCP_INFO_BYTES = 192;
const BYTES_RECEIVED_AT = 128;
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
   * Has every socket that is accepted on a port from now on keep at most about so many bytes unsent in the kernel.
   * @returns whether a listener was found there that took it
   */
  boundUnsent(port: number, bytes: number): boolean {
    const { descriptors, tcpNotSentLowat } = this.#system;
    let bounded = false;
    for (const entry of readdirSync(descriptors)) {
      const fd = Number(entry);
      if (!this.#listens(fd, port)) continue;
      const taken =
        this.#libc["setsockopt"]!(fd, IPPROTO_TCP, tcpNotSentLowat, Int32Array.of(bytes), 4) === 0;
      bounded ||= taken;
    }
    return bounded;
  }

  /**
   * Bytes that each TCP socket of this process has received, by its peer: "port address", the address's bytes joined by
   * dots, four of them for IPv4. Empty where the system does not tell.
   */
  received(): Map<string, number> {
    const received = new Map<string, number>();
    if (process.platform !== "linux") return received;
    const info = new DataView(new ArrayBuffer(TCP_INFO_BYTES)), address = new Uint8Array(ADDRESS_BYTES);
    const length = new Uint32Array(1);
    for (const entry of readdirSync(this.#system.descriptors)) {
      const fd = Number(entry);
      length[0] = TCP_INFO_BYTES;
      if (this.#libc["getsockopt"]!(fd, IPPROTO_TCP, TCP_INFO, info, length) !== 0) continue;
      if (length[0] < BYTES_RECEIVED_AT + 8) continue;
      length[0] = ADDRESS_BYTES;
      if (this.#libc["getpeername"]!(fd, address, length) !== 0) continue; // it listens
      const bytes = Number(info.getBigUint64(BYTES_RECEIVED_AT, true));
      received.set(`${address[2]! << 8 | address[3]!} ${addressOf(address)}`, bytes);
    }
    return received;
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
