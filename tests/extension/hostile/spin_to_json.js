// A loop in what the host calls to write a reply.
// expect: killed

export default {
  onMessage() {
    return { toJSON() { for (;;); } };
  },
};
