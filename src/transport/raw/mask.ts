// Masking of RFC 6455, section 5.3: what a browser XORs, so that no proxy takes it for anything that it knows.

/**
 * Copies `count` bytes and takes their mask off.
 * @param mask its four bytes in one number, the first in the lowest byte
 * @param phase where in the mask the first of them stands, 0..3
 */
export function unmask(
  from: Uint8Array,
  at: number,
  count: number,
  to: Uint8Array,
  toAt: number,
  mask: number,
  phase: number,
): void {
  // The mask as it meets the bytes, turned by the phase.
  const turned = phase === 0 ? mask : mask >>> (8 * phase) | mask << (32 - 8 * phase);
  const m0 = turned & 0xff, m1 = turned >>> 8 & 0xff, m2 = turned >>> 16 & 0xff, m3 = turned >>> 24;
  let i = 0;
  for (const whole = count & ~3; i < whole; i += 4) {
    to[toAt + i] = from[at + i]! ^ m0;
    to[toAt + i + 1] = from[at + i + 1]! ^ m1;
    to[toAt + i + 2] = from[at + i + 2]! ^ m2;
    to[toAt + i + 3] = from[at + i + 3]! ^ m3;
  }
  if (i < count) to[toAt + i] = from[at + i]! ^ m0, i++;
  if (i < count) to[toAt + i] = from[at + i]! ^ m1, i++;
  if (i < count) to[toAt + i] = from[at + i]! ^ m2;
}
