// A comparison to the one parser, a comment to the other.
// expect: refused HTML

let a = 1, b = 2;

export default { onMessage() { return a <!--b
; } };
