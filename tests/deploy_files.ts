// The files of config/deploy, and the tools that read them, where these are installed.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

/** The text of a file of config/deploy. */
export function deployFile(name: string): string {
  return readFileSync(new URL(`../config/deploy/${name}`, import.meta.url), "utf8");
}

/** Its path. */
export function deployPath(name: string): string {
  return fileURLToPath(new URL(`../config/deploy/${name}`, import.meta.url));
}

/** Whether a program is installed, and runs. */
export function isInstalled(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, [...args], { stdio: "ignore" }).status === 0;
}

/** What became of a program that reads a file. */
export function ran(program: string, ...args: readonly string[]): { code: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(program, [...args], { encoding: "utf8" });
  return { code: status, output: stdout + stderr };
}

/** Where a proxy listens, on 127.0.0.1 and [::1], and the gateways that it is for. */
export interface ProxyPlaces {
  readonly port: number;
  readonly gateways: readonly number[];
  /** A folder for its files. */
  readonly folder: string;
  /** Files of a certificate; without TLS when absent. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
}

const places = (gateways: readonly number[]) => gateways.map((port) => `127.0.0.1:${port}`);

/** All of nginx's configuration, with nginx.conf of config/deploy in it at these places. */
export function nginxConfig({ port, gateways, folder, tls }: ProxyPlaces): string {
  const ssl = tls === undefined ? "" : " ssl";
  const server = replaced(deployFile("nginx.conf"), [
    [/^\t*server 127\.0\.0\.1:8080;$/gm, places(gateways).map((place) => `server ${place};`).join("\n")],
    [/listen 443 ssl;/, `listen 127.0.0.1:${port}${ssl};`],
    [/listen \[::\]:443 ssl;/, `listen [::1]:${port}${ssl};`],
    [/ssl_certificate .*;/, tls === undefined ? "" : `ssl_certificate ${tls.certFile};`],
    [/ssl_certificate_key .*;/, tls === undefined ? "" : `ssl_certificate_key ${tls.keyFile};`],
  ]);
  return nginxAround(server, folder);
}

/** What nginx needs around a server of its own, without a word of its own on proxies. */
export function nginxAround(server: string, folder: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(" ");
  return `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr;
events { worker_connections 1000; }
http { access_log off; ${temporary}
${server}
}
`;
}

/** Caddyfile of config/deploy at these places. */
export function caddyConfig({ port, gateways, tls }: ProxyPlaces): string {
  const scheme = tls === undefined ? "http" : "https";
  const bind = "bind 127.0.0.1 [::1]";
  const certificate = tls === undefined ? "" : `tls ${tls.certFile} ${tls.keyFile}`;
  const site = replaced(deployFile("Caddyfile"), [
    [/^ws\.example\.com \{$/m, `${scheme}://:${port} {\n\t${bind}\n\t${certificate}`],
    [/127\.0\.0\.1:8080/g, places(gateways).join(" ")],
  ]);
  return `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${site}`;
}

function replaced(text: string, changes: readonly (readonly [RegExp, string])[]): string {
  return changes.reduce((before, [pattern, by]) => {
    const after = before.replace(pattern, by);
    if (after === before) throw new Error(`Cannot find ${pattern} in the file`);
    return after;
  }, text);
}

/** A port of 127.0.0.1 that nobody listened on a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
