// Not an attack: honest code that looks like one.
// expect: reply "honest"

// import("node:fs") in a comment, and import.meta
const text = 'import("node:fs")';
const template = `import.defer("x") ${"import("}`;
const pattern = /import\(|<!--|-->/;
const object = { import: { y: 1 }, eval: 2, require: 3 };
const separator = "\u2028 \u2029";
const negative = (a, b) => a < -(-b);
let n = 3;
while (n-- > 0) void n;
//# sourceMappingURL=file:///etc/passwd
//# sourceURL=/etc/passwd

export default {
  onMessage() {
    const all = [text, template, pattern.test(text), object.import.y, separator.length, negative(1, 2)];
    return all.length === 6 ? "honest" : "no";
  },
};
