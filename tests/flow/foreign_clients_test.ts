// Clients that nobody here wrote: standard libraries and common tools, which need no more than docs/protocol.md says.
// Browsers are in tests/browser.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFile, spawn } from "node:child_process";
import { test } from "node:test";
import { isInstalled } from "../deploy_files.ts";
import { within } from "../raw_client.ts";
import { tcpBytes } from "../transport/tcp_client.ts";
import { Folder, lastly, sharedGateway, until } from "./gateway_process.ts";

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0, tcp: { listen: "127.0.0.1:0" } },
  tenants: [{ id: "acme", policy: { ext_allowlist: ["room:*", "chat:*"] } }],
});
const port = (await gateway.logged("listening for TCP"))["port"] as number;

/** What a test says that needs this program. */
function needs(program: string, ...args: readonly string[]): { readonly skip?: string } {
  return isInstalled(program, ...args) ? {} : { skip: `there is no ${program}` };
}

/** Runs a program to its end. @returns what it prints */
function said(program: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) =>
    execFile(
      program,
      args,
      { timeout: 120_000 },
      (error, stdout, stderr) => error === null ? resolve(stdout) : reject(new Error(`${error} ${stderr}`)),
    )
  );
}

test("curl is enough for a stream of events and what is said to it", needs("curl", "-V"), async () => {
  const curl = (...args: readonly string[]) => spawn("curl", ["-sN", ...args]);
  const stream = curl(`${gateway.origin}/v1/sse?tenant=acme&ticket=dev:curl`);
  let heard = "";
  stream.stdout.on("data", (chunk) => heard += chunk);
  const opened = await until(
    "the first event",
    () => /^event: open\ndata: (.*)\n\n/m.exec(heard)?.[1] ?? null,
  );
  const { post, key } = JSON.parse(opened) as { post: string; key: string };
  const posting = curl(
    "-H",
    `authorization: Bearer ${key}`,
    "-d",
    '{"v":1,"svc":"sys","type":"ping"}',
    `${gateway.origin}${post}`,
  );
  let answer = "";
  posting.stdout.on("data", (chunk) => answer += chunk);
  await until("the pong", () => heard.includes('"pong"') || null);
  assert.deepEqual(JSON.parse(await until("the answer", () => answer || null)), { taken: 1 });
  stream.kill();
});

const SPOKEN = Buffer.concat([
  tcpBytes(1, '{"v":1,"svc":"sys","type":"hello","data":{"tenant":"acme","ticket":"dev:pipe"}}'),
  tcpBytes(1, '{"v":1,"svc":"room","type":"join","room":"pipes"}'),
  tcpBytes(1, '{"v":1,"svc":"chat","type":"send","room":"pipes","data":{"msg":"grüße"}}'),
  tcpBytes(3, Uint8Array.of(0xe8, 3)),
]);

for (
  const [tool, probe, args] of [
    ["socat", "-V", ["-", `TCP:127.0.0.1:${port}`]],
    ["nc", "-h", ["127.0.0.1", String(port)]],
  ] as const
) {
  test(`${tool} is enough for plain TCP: bytes in, bytes out`, needs(tool, probe), async () => {
    const child = spawn(tool, args);
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.stdin.write(SPOKEN); // stays open: some end with their input
    await within(ended, `the end of ${tool}`);
    const all = Buffer.concat(chunks);
    const frames: [number, string][] = [];
    for (let at = 0; at < all.length; at += 4 + all.readUInt32LE(at)) {
      frames.push([all[at + 4]!, all.subarray(at + 5, at + 4 + all.readUInt32LE(at)).toString("latin1")]);
    }
    const types = frames.slice(0, -1).map(([kind, body]) => [kind, JSON.parse(body).type]);
    assert.deepEqual(types, [[1, "authed"], [1, "joined"], [1, "msg"]]);
    assert.deepEqual(frames.at(-1), [3, "\xe8\x03"]);
  });
}

test("Python's standard library is enough for plain TCP", needs("python3", "--version"), async () => {
  const script = `
import json, socket, struct
s = socket.create_connection(("127.0.0.1", ${port}), 10); f = s.makefile("rb")
def send(kind, body): s.sendall(struct.pack("<IB", len(body) + 1, kind) + body)
def receive():
    length, kind = struct.unpack("<IB", f.read(5)); return kind, f.read(length - 1)
send(1, json.dumps({"v": 1, "svc": "sys", "type": "hello", "data": {"tenant": "acme", "ticket": "dev:py"}}).encode())
print(json.loads(receive()[1])["data"]["user"])
send(4, b"hi"); print(receive())
send(3, struct.pack("<H", 1000)); print(struct.unpack("<H", receive()[1])[0])
`;
  assert.equal(await said("python3", "-c", script), "py\n(5, b'hi')\n1000\n");
});

const GO = `package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
)

func main() {
	conn, err := net.Dial("tcp", "127.0.0.1:${port}")
	if err != nil {
		panic(err)
	}
	from := bufio.NewReader(conn)
	send := func(kind byte, body []byte) {
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)+1))
		conn.Write(append(append(head, kind), body...))
	}
	receive := func() (byte, []byte) {
		var length uint32
		if err := binary.Read(from, binary.LittleEndian, &length); err != nil {
			panic(err)
		}
		frame := make([]byte, length)
		if _, err := io.ReadFull(from, frame); err != nil {
			panic(err)
		}
		return frame[0], frame[1:]
	}
	send(1, []byte(\`{"v":1,"svc":"sys","type":"hello","data":{"tenant":"acme","ticket":"dev:gopher"}}\`))
	_, body := receive()
	var authed struct{ Data struct{ User, Transport string } }
	if err := json.Unmarshal(body, &authed); err != nil {
		panic(err)
	}
	fmt.Println(authed.Data.User, authed.Data.Transport)
	send(4, []byte("hi"))
	kind, body := receive()
	fmt.Println(kind, string(body))
	send(3, binary.LittleEndian.AppendUint16(nil, 1000))
	_, body = receive()
	fmt.Println(binary.LittleEndian.Uint16(body))
}
`;

test("Go's standard library is enough for plain TCP", needs("go", "version"), async () => {
  using folder = new Folder();
  assert.equal(await said("go", "run", folder.write("main.go", GO)), "gopher tcp\n5 hi\n1000\n");
});

lastly(gateway);
