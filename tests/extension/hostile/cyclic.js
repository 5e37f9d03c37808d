// A reply that leads back to itself.
// expect: thrown JSON

const a = {};
a.a = a;

export default { onMessage: () => a };
