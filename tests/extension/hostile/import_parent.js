// A file outside, by its way.
// expect: refused not below

import x from "../../../../../../../../etc/passwd";

export default { onMessage: () => x };
