// The same behind an asynchronous generator.
// expect: refused import

let leak, x; const g = 1;
x = async function* () {}
/(leak = import("node:fs"))/g
export default { async onMessage() { return Object.keys(await leak).length; } };
