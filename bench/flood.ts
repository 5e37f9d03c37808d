// One session that sends all it can: hot echoes without a pause, and whenever it is shown out, it comes back at once. Of
// the least priority, so that what it takes from the load generator's CPU is not mistaken for what it does to the
// gateway. Arguments: the port and the tenant; it runs until it is ended.

import { connect } from "node:net";
import { constants, setPriority } from "node:os";
import process from "node:process";
import { clientFrame, OPCODE } from "./frames.ts";

const [port, tenant] = process.argv.slice(2);
const PAYLOAD_BYTES = 64;
const COPIES = 512;

const frame = clientFrame(OPCODE.binary, new Uint8Array(4 + PAYLOAD_BYTES).fill(0).with(0, 1).with(1, 1));
const burst = new Uint8Array(frame.length * COPIES);
for (let copy = 0; copy < COPIES; copy++) burst.set(frame, copy * frame.length);

setPriority(constants.priority.PRIORITY_LOW);
come();

/** Connects, floods until the end, and starts again. */
function come(): void {
  const socket = connect(Number(port), "127.0.0.1");
  const pour = () => {
    while (!socket.destroyed && socket.write(burst));
  };
  socket.once("connect", () => {
    socket.write(
      `GET /v1/ws?tenant=${tenant}&ticket=dev:flood HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\n` +
        "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
  });
  socket.once("data", () => {
    socket.on("drain", pour);
    pour();
  });
  // What the gateway says ends with its close, opcode 8; what follows it is nobody's to read.
  socket.on("data", (bytes: Uint8Array) => {
    if (bytes.includes(0x80 | OPCODE.close)) socket.destroy();
  });
  socket.on("error", () => socket.destroy());
  socket.once("close", () => setTimeout(come, 1));
}
