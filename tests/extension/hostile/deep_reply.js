// A reply that is nested more deeply than anybody reads.
// expect: bounded

export default {
  onMessage() {
    let value = [];
    for (let i = 0; i < 100_000; i++) value = [value];
    return value;
  },
};
