// A file outside, by its name.
// expect: refused only files of its own

import x from "/etc/passwd";

export default { onMessage: () => x };
