// A file outside, as a URL.
// expect: refused only files of its own

import x from "file:///etc/passwd";

export default { onMessage: () => x };
