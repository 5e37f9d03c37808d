// A value that JSON does not have.
// expect: thrown JSON

export default { onMessage: () => ({ n: 1n }) };
