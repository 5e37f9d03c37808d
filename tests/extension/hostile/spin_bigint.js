// A number that grows.
// expect: killed

export default {
  onMessage() {
    let n = 3n;
    for (;;) n = (n * n) % (2n ** 400_000n);
  },
};
