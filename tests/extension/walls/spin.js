// An endless loop, with the compartment gone.
// expect: killed

export default {
  onMessage() {
    for (;;);
  },
};
