// A reply that is nested more deeply than anybody reads.
// expect: thrown

export default {
  onMessage() {
    let value = [];
    for (let i = 0; i < 1_000_000; i++) value = [value];
    return value;
  },
};
