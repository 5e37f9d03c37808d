// Timers that keep what they see.
// expect: killed

const kept = [];

export default {
  onMessage() {
    const grow = () => {
      const mine = new Uint8Array(4_000_000).fill(1);
      setTimeout(() => { grow(); void mine; }, 1);
      kept.push(mine);
    };
    grow();
    return new Promise(() => {});
  },
};
