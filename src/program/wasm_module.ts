// A WASM module's sections, read as far as it takes to refuse what it must not import and to cap its own memory, which
// nothing else bounds: a runtime gives a module without a maximum all that it asks for.
// The format: https://webassembly.github.io/spec/core/binary/modules.html

const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const IMPORTS = 2;
const MEMORIES = 5;
const PAGES_A_MEBIBYTE = 16;
const IMPORT_KINDS = ["function", "table", "memory", "global", "tag"];
/** From where an Extism module imports. */
const EXTISM_MODULES = ["extism:host/env", "extism:host/user", "env"];
/** Names that every object has are nobody's functions: whoever links the module may look for imports in objects. */
const EVERYBODYS = new Set(Object.getOwnPropertyNames(Object.prototype));

/** A text is the reason why it is refused. */
class Malformed extends Error {}

/** The module with the maximum of its memory set to what it may have; a text is why it is refused. */
export function capMemory(module: Uint8Array, memoryMb: number): Uint8Array | string {
  try {
    return capped(module, memoryMb * PAGES_A_MEBIBYTE);
  } catch (error) {
    if (error instanceof Malformed) return error.message;
    throw error;
  }
}

function capped(module: Uint8Array, pagesMax: number): Uint8Array {
  if (MAGIC.some((byte, at) => module[at] !== byte)) throw new Malformed("it is not a WebAssembly module");
  const reader = new Reader(module, MAGIC.length);
  const parts: Uint8Array[] = [module.subarray(0, MAGIC.length)];
  while (!reader.atEnd) {
    const start = reader.at;
    const id = reader.byte();
    const length = reader.u32();
    const body = reader.take(length);
    if (id === IMPORTS) checkImports(new Reader(body, 0));
    if (id === MEMORIES) {
      const section = memorySection(new Reader(body, 0), pagesMax);
      parts.push(Uint8Array.of(MEMORIES, ...leb128(section.length)), section);
    } else parts.push(module.subarray(start, reader.at));
  }
  return joined(parts);
}

function checkImports(reader: Reader): void {
  for (let count = reader.u32(); count > 0; count--) {
    const from = reader.name();
    const name = reader.name();
    const kind = IMPORT_KINDS[reader.byte()];
    if (kind === undefined) throw new Malformed("its imports cannot be read");
    if (from.startsWith("wasi")) {
      throw new Malformed(`it imports "${name}" of WASI ("${from}"), which extensions do not have`);
    }
    if (kind !== "function") {
      throw new Malformed(`it imports a ${kind} ("${from}" "${name}"); only functions can be imported`);
    }
    if (!EXTISM_MODULES.includes(from) || EVERYBODYS.has(name)) {
      throw new Malformed(`it imports "${name}" from "${from}", which does not exist here`);
    }
    reader.u32(); // the function's type
  }
}

/** The section anew, each memory with a maximum. */
function memorySection(reader: Reader, pagesMax: number): Uint8Array {
  const count = reader.u32();
  if (count > 1) throw new Malformed("it has more than one memory");
  const bytes: number[] = [...leb128(count)];
  for (let i = 0; i < count; i++) {
    const flags = reader.byte();
    // 1 says that there is a maximum; shared (2) and 64-bit (4) memories are not for a single thread's module.
    if (flags > 1) throw new Malformed("its memory is shared or of 64 bits, which is not supported");
    const least = reader.u32();
    const most = flags === 1 ? Math.min(reader.u32(), pagesMax) : pagesMax;
    if (least > pagesMax) {
      const mebibytes = (pages: number) => Math.ceil(pages / PAGES_A_MEBIBYTE);
      throw new Malformed(
        `it wants ${mebibytes(least)} MiB of memory from the start, and memory_mb is ${mebibytes(pagesMax)}`,
      );
    }
    bytes.push(1, ...leb128(least), ...leb128(most));
  }
  return Uint8Array.from(bytes);
}

class Reader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.at++];
    if (byte === undefined) throw new Malformed("it ends too early");
    return byte;
  }

  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw new Malformed("it has a number that is too large");
  }

  take(length: number): Uint8Array {
    if (this.at + length > this.#bytes.length) throw new Malformed("it ends too early");
    const part = this.#bytes.subarray(this.at, this.at + length);
    this.at += length;
    return part;
  }

  name(): string {
    return new TextDecoder().decode(this.take(this.u32()));
  }
}

function leb128(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value;; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
