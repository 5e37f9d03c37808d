import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { SecretIndex } from "../../src/collections/secret_index.ts";

test("Each secret finds what belongs to it, and nothing else does", () => {
  fc.assert(fc.property(fc.uniqueArray(fc.string({ unit: "grapheme" })), fc.string(), (secrets, other) => {
    const index = new SecretIndex(secrets.map((secret, i) => [secret, i]));
    for (const [i, secret] of secrets.entries()) {
      assert.equal(index.find(secret), i);
      for (const near of [`${secret} `, secret.slice(1), secret.toUpperCase()]) {
        assert.equal(index.find(near), secrets.includes(near) ? secrets.indexOf(near) : undefined);
      }
    }
    assert.equal(index.find(other), secrets.includes(other) ? secrets.indexOf(other) : undefined);
  }));
});
