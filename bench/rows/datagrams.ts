// Hot echoes as datagrams of WebTransport, against a bare Deno that sends datagrams back.

import { readFileSync } from "node:fs";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { DatagramLoad } from "../generator/datagrams.ts";
import type { Lab } from "../lab.ts";
import { familyCpuSeconds } from "../proc.ts";
import { info, line, type Measure, per, type Row, type Sample } from "../row.ts";

const SESSIONS = 20;

async function freeUdpPort(): Promise<number> {
  const probe = createSocket("udp4").bind(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

async function pairOf(lab: Lab): Promise<{ folder: string; cert: string; key: string }> {
  const folder = lab.folder();
  await lab.run([...lab.command(), "webtransport-cert", "--out", folder]);
  const read = (name: string) => readFileSync(`${folder}/${name}.pem`, "utf8");
  return { folder, cert: read("cert"), key: read("key") };
}

async function measured(lab: Lab, pid: number, load: DatagramLoad): Promise<Sample> {
  const program = await lab.denoProgram("bench/generator/datagrams.ts", load);
  const before = familyCpuSeconds(pid);
  const sample = await program.ask<Sample>(lab.seconds());
  return { ...sample, serverCpuSeconds: familyCpuSeconds(pid) - before };
}

const onGateway: Measure = async (lab) => {
  const { folder, cert } = await pairOf(lab);
  const port = await freeUdpPort();
  const tls = { cert_file: `${folder}/cert.pem`, key_file: `${folder}/key.pem` };
  const { pid } = await lab.gateway({
    runtime: "deno",
    change: ({ gateway }) => void (gateway["webtransport"] = { listen: `127.0.0.1:${port}`, tls }),
  });
  const path = "/v1/wt?tenant=bench&ticket=dev:u%d";
  return await measured(lab, pid, {
    port,
    certificate: cert,
    sessions: SESSIONS,
    path,
    prefix: [1, 1, 0, 0],
  });
};

const onControl: Measure = async (lab) => {
  const { cert, key } = await pairOf(lab);
  const { pid, port } = await lab.denoQuicControl("deno_wt_echo", { cert, key });
  return await measured(lab, pid, { port, certificate: cert, sessions: SESSIONS, path: "/", prefix: [] });
};

export const datagrams: readonly Row[] = [{
  name: "wt-datagrams",
  about:
    "hot echo as datagrams of WebTransport on Deno, 20 sessions with one on its way, against a bare Deno",
  ours: onGateway,
  control: onControl,
  lines: [
    line("round trips", "/s", per("received", "seconds"), { better: "higher" }),
    line("p99", "µs", "p99Micros"),
    line("p50", "µs", "p50Micros"),
    line("server CPU per message", "µs", per("serverCpuSeconds", "received", 1e6)),
    info("lost", "", "lost"),
  ],
}];
