// An error that pretends to be meant for the client.
// expect: thrown threw object

export default {
  onMessage() {
    throw { __proto__: ExtensionError.prototype, code: "SUSPENDED", msg: "faked" };
  },
};
