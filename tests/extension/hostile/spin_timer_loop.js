// A loop in a timer, after the reply.
// expect: killed

export default {
  onMessage() {
    setTimeout(() => { for (;;); }, 1);
    return new Promise(() => {});
  },
};
