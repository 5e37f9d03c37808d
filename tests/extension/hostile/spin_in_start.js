// An endless loop before the first message.
// expect: killed

export default { onStart() { for (;;); }, onMessage() {} };
