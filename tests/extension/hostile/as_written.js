// Not an attack: texts that look like code of another kind reach whoever reads them as they were written.
// expect: reply {"texts":["<!-- hi -->","import(x)","eval(1)","<!-- ${import.meta} -->","a<!-- evil -->b"],"clean":"ab","found":true,"source":"import\\(x\\)","method":3}

const texts = ["<!-- hi -->", "import(x)", "eval(1)", String.raw`<!-- ${"$"}{import.meta} -->`, "a<!-- evil -->b"];
const object = { "import"(a) { return a + 1; } };
export default {
  onMessage: () => ({
    texts,
    clean: texts[4].replace(/<!--.*?-->/g, ""),
    found: texts[0].includes("-->"),
    source: /import\(x\)/.source,
    method: object.import(2),
  }),
};
