// Text made flat.
// expect: killed

export default {
  onMessage() {
    const all = [];
    for (let i = 0; ; i++) all.push(`${i}${"y".repeat(4_000_000)}`.split(""));
  },
};
