import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isSigned, signature } from "../../src/outbound/signing.ts";

const KEY = { id: "2026-01", secret: "a secret of the backend and of nobody else" };
const AT = 1_767_225_600_999;
const BODY = '{"tenant":"acme","ticket":"é"}';

test("A signature is the HMAC of time, dot and body, in hexadecimal", () => {
  // Made with: printf '%s' '1767225600.{"tenant":"acme","ticket":"é"}' | openssl dgst -sha256 -hmac "$SECRET"
  assert.equal(
    signature(BODY, [KEY], AT),
    "t=1767225600,kid=2026-01,v1=ef8d0922816b7b37f91dad1d76fba8e3d37a12ff99edd467770a2bdc20fb3c40",
  );
});

test("It holds for its body, key and time, and for no other", () => {
  const header = signature(BODY, [KEY], AT);
  const check = { keys: [{ id: "old", secret: "x" }, KEY], unixMs: AT, toleranceMs: 300_000 };
  assert.ok(isSigned(BODY, header, check));
  assert.ok(isSigned(BODY, header, { ...check, unixMs: AT + 299_000 }));
  assert.ok(!isSigned(BODY, header, { ...check, unixMs: AT + 301_000 }), "an old recording");
  assert.ok(!isSigned(BODY, header, { ...check, unixMs: AT - 301_000 }), "from the future");
  assert.ok(!isSigned(`${BODY} `, header, check), "another body");
  assert.ok(!isSigned(BODY, header, { ...check, keys: [{ ...KEY, secret: "other" }] }), "another secret");
  assert.ok(!isSigned(BODY, header, { ...check, keys: [{ ...KEY, id: "other" }] }), "another key's name");
  assert.ok(!isSigned(BODY, header.replace("t=1767225600", "t=1767225601"), check), "another time");
  for (const bad of ["", "v1=00", header.slice(0, -1), `${header}0`, header.toUpperCase(), ` ${header}`]) {
    assert.ok(!isSigned(BODY, bad, check), bad);
  }
});

test("While a secret is changed two keys sign, and each of them is enough", () => {
  const old = { id: "2025-12", secret: "the secret that goes" };
  const header = signature(BODY, [KEY, old], AT);
  assert.match(header, /^t=1767225600,kid=2026-01,v1=[0-9a-f]{64},kid=2025-12,v1=[0-9a-f]{64}$/);
  const check = (keys: (typeof KEY)[]) => isSigned(BODY, header, { keys, unixMs: AT, toleranceMs: 300_000 });
  assert.deepEqual([check([KEY]), check([old]), check([{ ...old, id: KEY.id }]), check([])], [
    true,
    true,
    false,
    false,
  ]);
});
