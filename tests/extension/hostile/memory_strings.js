// Texts that double.
// expect: killed

export default {
  onMessage() {
    const all = [];
    for (let text = "x".repeat(1000); ; text += text) all.push([...text].join("-"));
  },
};
