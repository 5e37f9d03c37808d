// An error that pretends to be meant for the client.
// expect: thrown

export default {
  onMessage() {
    throw { __proto__: ExtensionError.prototype, code: "SUSPENDED", msg: "faked" };
  },
};
