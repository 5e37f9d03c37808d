// A function.
// expect: thrown JSON

export default { onMessage: () => () => {} };
