/// <reference path="../bun.d.ts" />
// Control: the least that a room over TCP can be. What came in a turn of the loop goes to everybody in one write. It relies
// on messages that arrive whole, which the load generator's do. Prints its port.

const members = new Set<BunTcpSocket<undefined>>();
let gathered: Uint8Array[] = [];

function flush(): void {
  let length = 0;
  for (const part of gathered) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of gathered) {
    all.set(part, at);
    at += part.length;
  }
  gathered = [];
  for (const member of members) member.write(all);
}

const server = Bun.listen<undefined>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open: (socket) => void members.add(socket),
    close: (socket) => void members.delete(socket),
    data: (_socket, bytes) => {
      if (gathered.push(bytes.slice()) === 1) setImmediate(flush);
    },
  },
});
process.stdout.write(`${server.port}\n`);
