// A regular expression to the parser, two divisions to the engine, and an import between them.
// expect: refused import

let leak, x; const g = 1;
x = async function () {}
/(leak = import.defer("node:fs"))/g
export default { async onMessage() { return Object.keys(await leak).length; } };
