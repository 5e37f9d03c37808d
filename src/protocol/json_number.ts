// Numbers of foreign JSON, as texts. JavaScript reads each into a double, which changes some: what decides by a number
// asks here first whether a double holds it, and compares by what is written.

/** A number that JavaScript would change, kept as it is written; `JSON.stringify` writes it so. */
export class WideNumber {
  /** As in JSON. */
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }

  toJSON(): unknown {
    return rawJson(this.text);
  }
}

/** The texts of numbers in JSON (RFC 8259, section 6). */
const NUMBER = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** What a number says: its digits without zeros around them, times ten to the power of `exponent`. */
interface Decimal {
  readonly negative: boolean;
  /** "" for zero. */
  readonly digits: string;
  readonly exponent: bigint;
}

/** The same number in one way of writing it; null for a text that is no number of JSON. */
export function sameNumber(text: string): string | null {
  const decimal = decimalOf(text);
  if (decimal === null) return null;
  const { negative, digits, exponent } = decimal;
  return digits === "" ? "0" : `${negative ? "-" : ""}${digits}e${exponent}`;
}

/**
 * Whether the double that JavaScript reads stands for this number and for no other whole one. Fractions may have the 17
 * digits that C and Java write of a double.
 */
export function isHeld(text: string): boolean {
  const value = Number(text);
  if (!Number.isFinite(value)) return false;
  const same = sameNumber(text);
  return same === sameNumber(String(value)) ||
    /[.eE]/.test(text) && !Number.isInteger(value) && same === sameNumber(value.toPrecision(17));
}

/** A number as the integer that it is; null where it has a fraction or is written with an exponent. */
export function integerOf(text: string): bigint | null {
  return /^-?\d+$/.test(text) ? BigInt(text) : null;
}

/** A number as an integer times a power of ten. */
export function scaled(text: string): { readonly mantissa: bigint; readonly exponent: bigint } {
  const { negative, digits, exponent } = decimalOf(text)!;
  const mantissa = BigInt(digits === "" ? "0" : digits);
  return { mantissa: negative ? -mantissa : mantissa, exponent };
}

function decimalOf(text: string): Decimal | null {
  const match = NUMBER.exec(text);
  if (match === null) return null;
  const [, sign, whole = "", fraction = "", power = "0"] = match;
  const all = (whole + fraction).replace(/^0+/, "");
  let end = all.length;
  while (end > 0 && all.charCodeAt(end - 1) === 0x30) end--;
  const exponent = BigInt(power.replace("+", "")) + BigInt(all.length - end - fraction.length);
  return { negative: sign === "-", digits: all.slice(0, end), exponent };
}

/** `JSON.rawJSON`, which TypeScript's library does not have yet: both runtimes do. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown };
