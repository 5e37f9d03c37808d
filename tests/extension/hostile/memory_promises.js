// Promises that wait for each other.
// expect: killed

export default {
  onMessage() {
    const all = [];
    for (;;) all.push(new Promise((resolve) => all.push(resolve)));
  },
};
