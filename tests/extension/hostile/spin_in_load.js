// An endless loop while the module is loaded.
// expect: killed

for (;;);

export default { onMessage() {} };
