// Answers that are made to cost the gateway much, and who gives them: a server that speaks no more HTTP than it has to.

import { Buffer } from "node:buffer";
import { type AddressInfo, createServer, type Socket } from "node:net";

export const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
export const SIZED = (length: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`;

/** What comes first, and what comes again and again until the connection is dropped, in pieces. */
export interface Attack {
  readonly first: string;
  readonly then: string;
  /** What is said of it. */
  readonly why: RegExp;
}

const many = (text: string) => text.repeat(Math.ceil(65_536 / text.length));

export const ATTACKS: Readonly<Record<string, Attack>> = {
  "one-byte chunks": { first: CHUNKED, then: many("1\r\nx\r\n"), why: /less in its body than around it/ },
  "one-byte chunks, their sizes padded": {
    first: CHUNKED,
    then: many("000000000001\r\nx\r\n"),
    why: /less in its body than around it/,
  },
  "chunk extensions of 1,000 bytes": {
    first: CHUNKED,
    then: many(`1;${"e".repeat(1000)}\r\nx\r\n`),
    why: /less in its body than around it/,
  },
  "a chunk extension without end": {
    first: `${CHUNKED}1;`,
    then: many("e"),
    why: /size of a chunk is too long/,
  },
  "a size without end": { first: CHUNKED, then: many("0"), why: /no number/ },
  "a size and blanks without end": { first: `${CHUNKED}1`, then: many(" "), why: /too long/ },
  "100 Continue without end": {
    first: "",
    then: many("HTTP/1.1 100 Continue\r\n\r\n"),
    why: /more than 16 informational/,
  },
  "early hints without end": {
    first: "",
    then: many(`HTTP/1.1 103 Early Hints\r\nlink: ${"x".repeat(8000)}\r\n\r\n`),
    why: /less in its body than around it|more than 16 informational/,
  },
  "headers without end": { first: "HTTP/1.1 200 OK\r\n", then: many("x: y\r\n"), why: /head is larger/ },
  "a header without end": { first: "HTTP/1.1 200 OK\r\nx: ", then: many("y"), why: /head is larger/ },
  "a status line without end": { first: "HTTP/1.1 200 ", then: many("O"), why: /head is larger/ },
  "many headers": {
    first: `HTTP/1.1 200 OK\r\n${"a:b\r\n".repeat(300)}\r\n`,
    then: "",
    why: /more than 256 lines/,
  },
  "a trailer without end": { first: `${CHUNKED}0\r\n`, then: many("x: y\r\n"), why: /trailer is larger/ },
  "a trailer of one line without end": {
    first: `${CHUNKED}0\r\n`,
    then: many("x"),
    why: /trailer is larger/,
  },
  "a negative length": { first: SIZED("-1"), then: "", why: /length is no number/ },
  "a huge length": { first: SIZED("999999999999999"), then: many("x"), why: /larger than/ },
  "a length beyond numbers": { first: SIZED("9".repeat(40)), then: many("x"), why: /length is no number/ },
  "two lengths": { first: SIZED("5\r\ncontent-length: 6"), then: many("x"), why: /length is no number/ },
  "a length and a coding": {
    first: SIZED("5\r\ntransfer-encoding: chunked"),
    then: many("x"),
    why: /two lengths/,
  },
  "a negative chunk": { first: `${CHUNKED}-1\r\n`, then: many("x"), why: /no number/ },
  "a huge chunk": { first: `${CHUNKED}ffffffffffff\r\n`, then: many("x"), why: /larger than/ },
  "a chunk that does not end": { first: `${CHUNKED}5\r\nhello`, then: many("x"), why: /ends too late/ },
  "a body without end": { first: "HTTP/1.1 200 OK\r\n\r\n", then: many("x"), why: /larger than/ },
  "chunks without end": {
    first: CHUNKED,
    then: many("ff\r\n" + "x".repeat(255) + "\r\n"),
    why: /larger than/,
  },
  "another protocol": { first: "", then: many("SSH-2.0-x\r\n\r\n"), why: /not HTTP\/1.1/ },
};

/** Answers every request with `first`, and `then` until the connection is dropped. @param attackOf by a request's path */
export async function hostileServer(
  attackOf: (path: string) => Pick<Attack, "first" | "then">,
): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", (head) => {
      const { first, then } = attackOf(head.toString("latin1").split(" ", 2)[1] ?? "");
      socket.write(first);
      const piece = Buffer.from(then);
      const more = () => {
        if (then !== "" && !socket.destroyed) socket.write(piece, () => setImmediate(more));
      };
      more();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
