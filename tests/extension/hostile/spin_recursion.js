// Recursion that starts anew whenever the stack is used up.
// expect: killed

export default {
  onMessage() {
    const deep = () => { try { deep(); } finally { deep(); } };
    deep();
  },
};
