// What `tenants[].auth` must satisfy beyond each key's own range: the mode's section is there and no other, keys
// are what the algorithms need, addresses are safe to ask. Key files are read here, so that a loaded configuration
// is complete and a bad key stops the start, not the first ticket.

import { configuredFile } from "./configured_file.ts";
import { kindFor, kindName, type PemKey, readPem, readSecret, SECRET_BYTES_MIN } from "./jwt_key.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import { checkOutbound, checkUrl, type Findings } from "./outbound.ts";
import { type AuthConfig, configSchema, type JwtConfig, type JwtKeyConfig } from "./schema.ts";
import type { Tree } from "./tree.ts";

const authSchema = configSchema.shape.tenants.element.shape.auth;

/** Warn this long before a key's `not_after`. */
const NOTICE_MS = 14 * 86_400_000;
/** Largest key file, in bytes. */
const FILE_BYTES_MAX = 65_536;
/** What somebody can do who stands between the gateway and whom it asks. */
const RISK = "let anybody in";
const MODES = ["jwt", "static", "http"] as const;

export interface AuthCircumstances {
  readonly dev: boolean;
  /** A file's bytes, by its path as the configuration has it; throws the file system's error. */
  readonly read: (path: string) => Uint8Array;
  /** Unix time in milliseconds. */
  readonly nowMs: number;
}

export interface CheckedAuth {
  readonly failures: ConfigIssue[];
  /** What is unwise, worth telling when the file loads. */
  readonly warnings: ConfigIssue[];
  /** Per tenant: its `auth` with the contents of its key files; undefined where it has none or a faulty one. */
  readonly auths: (AuthConfig | undefined)[];
}

/** Checks the `auth` of every tenant. */
export function checkAuth(tree: Tree, circumstances: AuthCircumstances): CheckedAuth {
  const check = new AuthCheck(tree, circumstances);
  const tenants = tree.at(["tenants"]);
  if (Array.isArray(tenants)) tenants.forEach((_, index) => check.tenant(index));
  return check;
}

class AuthCheck implements CheckedAuth {
  readonly failures: ConfigIssue[] = [];
  readonly warnings: ConfigIssue[] = [];
  readonly auths: (AuthConfig | undefined)[] = [];
  readonly #tree: Tree;
  readonly #circumstances: AuthCircumstances;
  readonly #findings: Findings = {
    fail: (path, message) => this.#fail(path, message),
    warn: (path, message) => this.#warn(path, message),
  };

  constructor(tree: Tree, circumstances: AuthCircumstances) {
    this.#tree = tree;
    this.#circumstances = circumstances;
  }

  tenant(index: number): void {
    const path = ["tenants", index, "auth"];
    if (!this.#tree.has(path)) {
      if (!this.#circumstances.dev) this.#missing(index);
      return;
    }
    const parsed = authSchema.safeParse(this.#tree.at(path));
    // Faulty by itself: that is told elsewhere.
    if (!parsed.success || parsed.data === undefined) return;
    const auth = parsed.data;
    this.#mode(auth, path);
    if (auth.mode === "jwt" && auth.jwt !== undefined) this.#jwt(auth.jwt, [...path, "jwt"]);
    if (auth.mode === "static" && auth.static !== undefined) this.#static(auth.static, [...path, "static"]);
    if (auth.mode === "http" && auth.http !== undefined) {
      checkOutbound(auth.http, [...path, "http"], this.#findings, RISK);
    }
    this.auths[index] = auth;
  }

  #missing(index: number): void {
    const id = this.#tree.show(["tenants", index, "id"]);
    const message =
      `needs auth, so that tenant ${id} can tell who connects; or start with --dev, on trusted ` +
      "networks only, where tenants without it accept anybody";
    this.failures.push(this.#tree.issue(["tenants", index], message, "key"));
  }

  #mode(auth: AuthConfig, path: Path): void {
    if (auth.mode === "dev" && !this.#circumstances.dev) {
      this.#fail([...path, "mode"], '"dev" accepts anybody and needs --dev');
    }
    for (const mode of MODES) {
      if (auth.mode === mode && auth[mode] === undefined) {
        this.#fail([...path, mode], `is missing with mode "${mode}"`);
      }
      if (auth.mode !== mode && auth[mode] !== undefined) {
        const message = `does not go with mode "${auth.mode}"`;
        this.failures.push(this.#tree.issue([...path, mode], message, "key"));
      }
    }
    if (auth.max_pending_per_ip > auth.max_pending && this.#tree.has([...path, "max_pending_per_ip"])) {
      this.#warn([...path, "max_pending_per_ip"], "is more than max_pending, which is reached first");
    }
  }

  #static(fixed: NonNullable<AuthConfig["static"]>, path: Path): void {
    const first = new Map<string, number>();
    fixed.tickets.forEach(({ ticket }, index) => {
      const at = [...path, "tickets", index, "ticket"];
      const before = first.get(ticket);
      if (before !== undefined) this.#fail(at, `must be unique, but is also tickets[${before}].ticket`);
      else first.set(ticket, index);
      if (!/^[\x21-\x7e]{1,8192}$/.test(ticket)) {
        this.#fail(at, "must be 1–8192 printable ASCII characters without spaces");
      } else if (ticket.length < 16) this.#warn(at, "is short enough to be guessed");
    });
  }

  #jwt(jwt: JwtConfig, path: Path): void {
    const { nowMs } = this.#circumstances;
    if (jwt.jwks_url !== undefined) checkUrl(jwt.jwks_url, [...path, "jwks_url"], this.#findings, RISK);
    const kids = new Map<string, number>();
    const usable = new Set<string>();
    let expired = 0, faulty = false;
    jwt.keys.forEach((key, index) => {
      const at = [...path, "keys", index];
      if (key.kid !== undefined) {
        const before = kids.get(key.kid);
        if (before !== undefined) {
          this.#fail([...at, "kid"], `must be unique, but is also keys[${before}].kid`);
        } else kids.set(key.kid, index);
      }
      const kind = this.#key(jwt, key, at);
      if (kind === null) {
        faulty = true;
        return;
      }
      if (key.not_after !== undefined) {
        const left = Date.parse(key.not_after) - nowMs;
        if (left <= 0) {
          expired++;
          this.#warn([...at, "not_after"], "has passed: no ticket signed with this key is accepted");
          return;
        }
        if (left < NOTICE_MS) {
          this.#warn([...at, "not_after"], `comes soon, in ${Math.ceil(left / 86_400_000)} days`);
        }
      }
      usable.add(kind);
    });
    if (faulty || jwt.jwks_url !== undefined) return;
    if (jwt.keys.length === 0) return this.#fail(path, "needs keys or jwks_url");
    if (expired === jwt.keys.length) {
      this.#fail([...path, "keys"], "must have a key whose not_after has not passed");
      return;
    }
    jwt.algorithms.forEach((algorithm, index) => {
      if (usable.has(kindFor(algorithm))) return;
      const message = `${algorithm} has no key that is valid now: it needs ${kindName(kindFor(algorithm))}`;
      this.#fail([...path, "algorithms", index], message);
    });
  }

  /** Checks a key and completes it from its files. @returns its kind, null when it is faulty */
  #key(jwt: JwtConfig, key: JwtKeyConfig, path: Path): PemKey["kind"] | null {
    const halves = ["public_key", "private_key"] as const;
    const pem = halves.some((half) => key[half] !== undefined || key[`${half}_file`] !== undefined);
    if (pem === (key.secret !== undefined)) {
      this.#fail(path, "must have either a secret or a public_key(_file)");
      return null;
    }
    if (key.secret !== undefined) return this.#secret(jwt, key, [...path, "secret"]);
    let at: Path = path;
    for (const half of halves) {
      const file = `${half}_file` as const;
      if (key[half] !== undefined) at = [...path, half];
      const name = key[file];
      if (name === undefined) continue;
      at = [...path, file];
      if (key[half] !== undefined) {
        this.#fail(at, `does not go with ${half}, which says the same`);
        return null;
      }
      const text = this.#file(name, at);
      if (text === null) return null;
      key[half] = text;
    }
    const read = readPem(key.public_key, key.private_key);
    if (typeof read === "string") {
      this.#fail(at, read);
      return null;
    }
    key.public_key = read.publicPem;
    if (read.privatePem !== null) key.private_key = read.privatePem;
    if (!jwt.algorithms.some((algorithm) => kindFor(algorithm) === read.kind)) {
      this.#fail(at, `is ${kindName(read.kind)}, which none of the algorithms can use`);
      return null;
    }
    return read.kind;
  }

  #secret(jwt: JwtConfig, key: JwtKeyConfig, path: Path): "secret" | null {
    const bytes = readSecret(key.secret!, key.secret_encoding);
    if (typeof bytes === "string") {
      this.#fail(path, bytes);
      return null;
    }
    const lengths = jwt.algorithms.map((algorithm) => [algorithm, SECRET_BYTES_MIN[algorithm] ?? 0] as const);
    const [strictest, least] = lengths.reduce((a, b) => b[1] > a[1] ? b : a);
    if (least === 0) {
      this.#fail(path, "is a secret, which none of the algorithms can use");
      return null;
    }
    if (bytes.length < least) {
      this.#fail(path, `must be at least ${least} bytes for ${strictest}, got ${bytes.length}`);
      return null;
    }
    if (new Set(bytes).size < 10) this.#warn(path, "repeats itself: take random bytes");
    return "secret";
  }

  #file(name: string, path: Path): string | null {
    const content = configuredFile((file) => this.#circumstances.read(file), name, FILE_BYTES_MAX);
    if (typeof content === "string") return content;
    this.#fail(path, content.fault);
    return null;
  }

  #fail(path: Path, message: string): void {
    this.failures.push(this.#tree.issue(path, message));
  }

  #warn(path: Path, message: string): void {
    this.warnings.push(this.#tree.issue(path, message));
  }
}
