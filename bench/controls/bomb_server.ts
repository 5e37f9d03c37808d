// A backend that answers with bombs: bytes that cost their reader more than their sender. Prints its port. `/chunks` is
// chunks of one byte with long extensions, `/trailers` a trailer without end, `/headers` many headers, `/informational` 1xx
// answers without end, `/deep` nested JSON, `/large` a body of 8 MiB; anything else is small and honest.

import { type AddressInfo, createServer } from "node:net";
import process from "node:process";

const OK = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`;
const MIB = 2 ** 20;

function sized(body: string): string {
  return `${OK}content-length: ${body.length}\r\n\r\n${body}`;
}

const BOMBS: Readonly<Record<string, string>> = {
  chunks: CHUNKED + `1;${"x".repeat(60)}\r\n \r\n`.repeat(100_000) + "0\r\n\r\n",
  trailers: `${CHUNKED}2\r\n{}\r\n0\r\n` + "x-trailer: y\r\n".repeat(200_000) + "\r\n",
  headers: OK + "x-header: y\r\n".repeat(200_000) + "content-length: 2\r\n\r\n{}",
  informational: "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(100_000) + sized("{}"),
  deep: sized(`{"reply":${"[".repeat(400_000)}${"]".repeat(400_000)}}`),
  large: sized(JSON.stringify({ reply: "x".repeat(8 * MIB) })),
};
const HONEST = sized('{"reply":1}');

const server = createServer((socket) => {
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (chunk) => {
    text += chunk;
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
    if (text.length < end + 4 + length) return;
    const name = /^[A-Z]+ \/(\w*)/.exec(text)?.[1] ?? "";
    text = "";
    socket.write(BOMBS[name] ?? HONEST);
  });
  socket.on("error", () => socket.destroy());
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
