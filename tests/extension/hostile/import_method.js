// A method of that name cannot be told from a call, and is refused where it stands.
// expect: refused import

const object = { import(a) { return a; } };
export default { onMessage: () => object.import(1) };
