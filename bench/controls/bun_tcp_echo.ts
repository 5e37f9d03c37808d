/// <reference path="../bun.d.ts" />
// Control: the least that an echo over TCP can be. What came goes back, whatever it is. Prints its port.

const server = Bun.listen<undefined>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data: (socket, bytes) => {
      socket.write(bytes);
    },
  },
});
process.stdout.write(`${server.port}\n`);
