// A WASM extension in AssemblyScript, as a service and as a plugin: keeps scores in kv, and covers a word.

import { Host, LogLevel, Memory } from "@extism/as-pdk";

@external("extism:host/user", "kv")
declare function kv(request: u64): u64;
@external("extism:host/user", "fetch")
declare function fetch(request: u64): u64;

/** Asks the host: JSON in, JSON out. */
function asked(answer: u64): string {
  return new Memory(answer, host_length(answer)).toString();
}

@external("extism:host/env", "length")
declare function host_length(at: u64): u64;

/** A text field's value, "" where there is none; for the flat and well-formed JSON of a host. */
function text(json: string, name: string): string {
  const key = '"' + name + '":"';
  const at = json.indexOf(key);
  if (at < 0) return "";
  const from = at + key.length;
  return json.substring(from, json.indexOf('"', from));
}

/** The value in a host function's answer, as JSON. */
function valueOf(answer: string): string {
  const key = '{"value":';
  return answer.startsWith(key) ? answer.substring(key.length, answer.length - 1) : answer;
}

export function on_message(): i32 {
  const call = Host.inputString();
  const type = text(call, "type");
  const user = text(call, "user");
  if (type == "add") {
    const asking = '{"op":"increment","key":"' + user + '","by":1}';
    const sum = valueOf(asked(kv(Memory.allocateString(asking).offset)));
    const scored = '{"action":"publish","room":"scores","type":"scored","data":' + sum + "}";
    Host.outputString('{"reply":' + sum + ',"actions":[' + scored + "]}");
  } else if (type == "echo") {
    Host.outputString('{"reply":' + call + "}");
  } else if (type == "ask") {
    const asking = '{"url":"' + text(call, "url") + '"}';
    Host.outputString('{"reply":' + asked(fetch(Memory.allocateString(asking).offset)) + "}");
  } else if (type == "log") {
    Host.log(LogLevel.Info, "said from wasm");
  } else if (type == "refuse") {
    Host.outputString('{"error":{"code":"NOT_FOUND","msg":"no such score"}}');
  } else if (type == "grow") {
    // As much as there is.
    while (memory.grow(16) >= 0) {}
    Host.outputString('{"reply":' + memory.size().toString() + "}");
  } else if (type == "spin") {
    while (true) {}
  } else if (type == "trap") {
    unreachable();
  }
  return 0;
}

export function on_ingress(): i32 {
  const call = Host.inputString();
  if (call.includes("poison")) {
    Host.outputString('{"ingress":{"reject":{"code":"NOT_ALLOWED","msg":"not here"}}}');
  } else if (call.includes("darn")) {
    Host.outputString('{"ingress":{"data":{"msg":"****"}}}');
  } else if (call.includes("drop")) {
    Host.outputString('{"ingress":{"drop":true}}');
  }
  return 0;
}

export function abort(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable();
}
