// The same behind a generator: what stands after its body is a division.
// expect: refused import

let leak, x; const g = 1;
x = function* () {}
/(leak = import.source("node:fs"))/g
export default { async onMessage() { return Object.keys(await leak).length; } };
