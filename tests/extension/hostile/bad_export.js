// A module without hooks.
// expect: failed default export

export default 1;
