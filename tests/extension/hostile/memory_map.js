// Entries of a map.
// expect: killed

export default {
  onMessage() {
    const map = new Map();
    for (let i = 0; ; i++) map.set(i, `entry ${i}`);
  },
};
