// An endless loop that says it has yielded, with the compartment gone.
// expect: killed

export default {
  onMessage() {
    for (;;);
  },
};
