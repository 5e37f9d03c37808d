// Keys that change prototypes where they are copied without care.
// expect: reply {"__proto__":{"polluted":true}}

export default { onMessage: () => JSON.parse('{"__proto__":{"polluted":true}}') };
