// Places that no list of permissions names: for a gateway to refuse, each with NOT_ALLOWED or BAD_REQUEST.
// expect: flow

import { tried } from "./tried.js";

const places = [
  "http://127.0.0.1/",
  "http://127.1/",
  "http://2130706433/",
  "http://0x7f000001/",
  "http://0177.0.0.1/",
  "http://[::1]/",
  "http://[::ffff:127.0.0.1]/",
  "http://[64:ff9b::7f00:1]/",
  "http://localhost/",
  "http://localhost./",
  "http://LOCALHOST:80/",
  "http://0.0.0.0/",
  "http://169.254.169.254/latest/meta-data/",
  "http://[fd00:ec2::254]/",
  "http://metadata.google.internal/",
  "http://10.0.0.1/",
  "http://192.168.0.1/",
  "http://user:pass@127.0.0.1/",
  "http://127.0.0.1%2f@example.com/",
  "file:///etc/passwd",
  "data:text/plain,x",
  "blob:x",
  "ws://127.0.0.1/",
  "gopher://127.0.0.1/",
  "//127.0.0.1/",
  "",
];

export default {
  onMessage(_message, ctx) {
    const attempts = {};
    for (const place of places) attempts[place] = () => ctx.fetch(place).then(() => true);
    return tried(attempts);
  },
};
