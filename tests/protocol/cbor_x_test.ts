// What cbor-x would do with bytes and values that it is not given: each is a reason for a line of our own. One that fails
// says that cbor-x does better now, and that the line may go.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { Decoder } from "cbor-x/decode";
import { Encoder } from "cbor-x/encode";
import { unhex } from "./naive.ts";

const options = { useRecords: false, bundleStrings: false, structuredClone: false };
const decoder = new Decoder({ ...options, mapsAsObjects: true, int64AsNumber: true } as object);
const encoder = new Encoder({ ...options, mapsAsObjects: false } as object);
const read = (hex: string): unknown => decoder.decode(unhex(hex));
const written = (value: unknown): string => Buffer.from(encoder.encode(value)).toString("hex");

test("cbor-x reads a negative integer of eight bytes by its lowest 32 bits", () => {
  assert.equal(read("3b001ffffffffffffe"), 1);
});

test("cbor-x does not read texts of indefinite length", () => {
  assert.throws(() => read("7f61616162ff"), /Indefinite length not supported/);
});

test("cbor-x drops a byte order mark from a text of more than 64 bytes, and keeps it in a shorter one", () => {
  assert.equal((read(`7841efbbbf${"61".repeat(62)}`) as string).length, 62);
  assert.equal((read(`7840efbbbf${"61".repeat(61)}`) as string).length, 62);
});

test("cbor-x renames a key __proto__, and takes numbers and the last of two keys for keys", () => {
  assert.deepEqual(Object.keys(read("a1695f5f70726f746f5f5f01") as object), ["__proto_"]);
  assert.deepEqual(read("a2010161610a"), { 1: 1, a: 10 });
  assert.deepEqual(read("a2616101616102"), { a: 2 });
});

test("cbor-x reads what is broken UTF-8, undefined, dates and bignums", () => {
  assert.equal(typeof read("62c328"), "string");
  assert.equal(read("f7"), undefined);
  assert.ok(read("c11a514b67b0") instanceof Date);
  assert.equal(read("c249010000000000000000"), 18446744073709551616n);
});

test("cbor-x writes integers from 2^32 on as floats, and -0 as 0", () => {
  assert.equal(written(2 ** 32), "fb41f0000000000000");
  assert.equal(written(-0), "00");
});

test("cbor-x writes a lone surrogate as what is no UTF-8", () => {
  assert.equal(written("\ud83c"), "63eda0bc");
});

test("cbor-x asks an object for its iterator's and extensions' classes; of a Map it takes what it holds", () => {
  assert.equal(written(new Map([["toJSON", 1]])), "a166746f4a534f4e01");
});
