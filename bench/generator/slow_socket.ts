// A TCP client that reads only as much as it is told to: a client on a slow link, or one that has stopped reading.
// `Bun.connect` reads half a megabyte at a time or nothing, and knows no socket options; so this goes to the C
// library through bun:ffi. Linux and Bun only. Reading is polled, writing is meant for small messages.

/** What is called of the C library; -1 says failure, and with MSG_DONTWAIT also "not now". */
interface CLibrary {
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array | Int32Array, size: number): number;
  connect(fd: number, address: Uint8Array, size: number): number;
  getsockname(fd: number, address: Uint8Array, size: Int32Array): number;
  recv(fd: number, into: Uint8Array, size: number, flags: number): number | bigint;
  send(fd: number, from: Uint8Array, size: number, flags: number): number | bigint;
  close(fd: number): number;
}

const AF_INET = 2;
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const TCP_NODELAY = 1;
const TCP_MAXSEG = 2;
const MSG_DONTWAIT_NOSIGNAL = 0x4040;

/** Read at a time, at most. */
const CHUNK_BYTES = 65_536;
/** What was read last, by whichever socket. */
const CHUNK = new Uint8Array(CHUNK_BYTES);

/** The C library, opened at the first use. @throws where there is none of that name */
async function openC(): Promise<CLibrary> {
  // Not a literal: Deno checks this file too, and knows no such module.
  const name: string = "bun:ffi";
  const { dlopen } = await import(name);
  const [word, size, buffer] = ["i32", "u64", "buffer"];
  return dlopen("libc.so.6", {
    socket: { args: [word, word, word], returns: word },
    setsockopt: { args: [word, word, word, buffer, "u32"], returns: word },
    connect: { args: [word, buffer, "u32"], returns: word },
    getsockname: { args: [word, buffer, buffer], returns: word },
    recv: { args: [word, buffer, size, word], returns: "i64_fast" },
    send: { args: [word, buffer, size, word], returns: "i64_fast" },
    close: { args: [word], returns: word },
  }).symbols;
}

let c: CLibrary | null = null;

/** A connection to 127.0.0.1. */
export class SlowSocket {
  readonly #c: CLibrary;
  /** Its own port, by which /proc/net/tcp names it. */
  readonly port: number;
  #fd: number;

  private constructor(library: CLibrary, fd: number) {
    this.#c = library;
    this.#fd = fd;
    const address = new Uint8Array(16);
    library.getsockname(fd, address, new Int32Array([address.length]));
    this.port = address[2]! << 8 | address[3]!;
  }

  /**
   * Both options decide how much waits in the kernel: loopback's segments of 64 KiB make it give the sender a
   * buffer of 4 MB at once, with 1460 bytes as over Ethernet that begins at some 100 KB and grows.
   * @throws when it cannot connect
   */
  static async connect(
    port: number,
    options: { readonly segmentBytes: number; readonly receiveBytes: number },
  ): Promise<SlowSocket> {
    c ??= await openC();
    const fd = c.socket(AF_INET, SOCK_STREAM, 0);
    const set = (level: number, name: number, value: number) =>
      value === 0 || c?.setsockopt(fd, level, name, new Int32Array([value]), 4) === 0;
    const isSet = set(IPPROTO_TCP, TCP_NODELAY, 1) && set(IPPROTO_TCP, TCP_MAXSEG, options.segmentBytes) &&
      set(SOL_SOCKET, SO_RCVBUF, options.receiveBytes);
    const address = new Uint8Array(16);
    address.set([AF_INET, 0, port >> 8, port & 255, 127, 0, 0, 1]);
    if (fd < 0 || !isSet || c.connect(fd, address, address.length) !== 0) {
      c.close(fd);
      throw new Error(`Cannot connect a slow reader to port ${port}, ${JSON.stringify(options)}`);
    }
    return new SlowSocket(c, fd);
  }

  /** Reads at most `bytes`, which is not 0. @returns a view, valid until the next read; null when the server has closed */
  read(bytes: number): Uint8Array | null {
    const wanted = Math.min(bytes, CHUNK_BYTES);
    const size = Number(this.#c.recv(this.#fd, CHUNK, wanted, MSG_DONTWAIT_NOSIGNAL));
    return size === 0 ? null : CHUNK.subarray(0, Math.max(0, size));
  }

  /** @returns the bytes taken */
  write(bytes: Uint8Array): number {
    return Math.max(0, Number(this.#c.send(this.#fd, bytes, bytes.length, MSG_DONTWAIT_NOSIGNAL)));
  }

  end(): void {
    this.#c.close(this.#fd);
    this.#fd = -1;
  }
}
