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

export function on_message(): i32 {
  const call = Host.inputString();
  const type = text(call, "type");
  const user = text(call, "user");
  if (type == "add") {
    const sum = asked(kv(Memory.allocateString('{"op":"increment","key":"' + user + '","by":1}').offset));
    Host.outputString(
      '{"reply":' + sum + ',"actions":[{"action":"publish","room":"scores","type":"scored","data":' + sum + "}]}",
    );
  } else if (type == "echo") {
    Host.outputString('{"reply":' + call + "}");
  } else if (type == "ask") {
    const url = text(call, "url");
    const answer = asked(fetch(Memory.allocateString('{"url":"' + url + '"}').offset));
    Host.outputString('{"reply":' + answer + "}");
  } else if (type == "log") {
    Host.log(LogLevel.Info, "said from wasm");
    Host.outputString("{}");
  } else if (type == "grow") {
    // As much as there is.
    let pages = 0;
    while (memory.grow(16) >= 0) pages += 16;
    Host.outputString('{"reply":' + pages.toString() + "}");
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
  }
  return 0;
}

export function abort(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable();
}
