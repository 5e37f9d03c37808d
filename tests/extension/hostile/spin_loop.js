// An endless loop.
// expect: killed

export default {
  onMessage() {
    for (;;);
  },
};
