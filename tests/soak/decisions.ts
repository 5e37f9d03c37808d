// What an administrator decides while gateways are killed: whatever was answered with OK must be so at the next one.

import assert from "node:assert/strict";
import { RawClient } from "../raw_client.ts";
import { Admin, adminConfig } from "../flow/admin_client.ts";
import { target } from "../flow/client.ts";
import type { GatewayProcess } from "../flow/gateway_process.ts";

const ACME = "/v1/tenants/acme";
/** Each decides about a user of its own. */
const DECIDERS = 4;

/** `admin` of the configuration. */
export const ADMIN = adminConfig({ root: { tenants: ["*"], permissions: ["read", "disconnect", "reload"] } });

/** What is known of a user or tenant; null while an answer is missing. */
type Known = boolean | null;

export class Decisions {
  readonly #random: () => number;
  readonly #banned = new Map<string, Known>();
  readonly #revoked = new Set<string>();
  #suspended: Known = false;
  #lastUser = 0;
  /** Answered with OK. */
  answered = 0;
  /** Looked at after a crash. */
  checked = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Decides one thing after the other until the gateway is gone. */
  async go(gateway: GatewayProcess): Promise<void> {
    const admin = await Admin.of(gateway, "root");
    const deciders = Array.from({ length: DECIDERS }, (_, i) => async () => {
      if (i === 0) await this.#suspend(admin);
      else if (i === 1) await this.#revoke(admin);
      else await this.#ban(admin, `mallory-${i}-${Math.floor(this.#random() * 20)}`);
    });
    await Promise.all(deciders.map(async (decide) => {
      try {
        for (;;) {
          await decide();
          await new Promise((resolve) => setTimeout(resolve, this.#random() * 10));
        }
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        // The gateway is gone.
      }
    }));
  }

  /** Fails unless all that was answered with OK is so. */
  async check(gateway: GatewayProcess): Promise<void> {
    const admin = await Admin.of(gateway, "root");
    const listed = new Set((await admin.all(`${ACME}/bans`, "bans", 1000)).map(({ user }) => user));
    for (const [user, known] of this.#banned) {
      if (known !== null) assert.equal(listed.has(user), known, `${user} is ${known ? "" : "not "}banned`);
      this.#banned.set(user, listed.has(user));
    }
    const { tenants } = await admin.good("GET", "/v1/tenants");
    const { suspended } = tenants.find(({ id }: { id: string }) => id === "other");
    if (this.#suspended !== null) assert.equal(suspended, this.#suspended, "the tenant's suspension");
    this.#suspended = suspended;
    const some = [...this.#revoked].filter((_, i) =>
      this.#random() < 3 / (i + 1) || i >= this.#revoked.size - 3
    );
    await this.#knock(gateway, some);
    this.checked += this.#banned.size + 1;
  }

  /** The same, of every revocation. */
  async checkAll(gateway: GatewayProcess): Promise<void> {
    await this.check(gateway);
    await this.#knock(gateway, [...this.#revoked]);
  }

  async #knock(gateway: GatewayProcess, users: readonly string[]): Promise<void> {
    for (const user of users) {
      const client = await RawClient.connect(gateway.port);
      assert.equal((await client.upgrade(target({ user }))).status, 401, `${user}'s tickets are revoked`);
      client.destroy();
    }
    this.checked += users.length;
  }

  async #ban(admin: Admin, user: string): Promise<void> {
    const ban = this.#banned.get(user) !== true;
    this.#banned.set(user, null);
    const { status, text } = await admin.ask(ban ? "POST" : "DELETE", `${ACME}/users/${user}/ban`);
    assert.equal(status, 200, text);
    this.#banned.set(user, ban);
    this.answered++;
  }

  async #revoke(admin: Admin): Promise<void> {
    const user = `revoked-${++this.#lastUser}`;
    const { status, text } = await admin.ask("POST", `${ACME}/tickets/revoke`, { user });
    assert.equal(status, 200, text);
    this.#revoked.add(user);
    this.answered++;
  }

  async #suspend(admin: Admin): Promise<void> {
    const suspend = this.#suspended !== true;
    this.#suspended = null;
    const { status, text } = await admin.ask("POST", `/v1/tenants/other/${suspend ? "suspend" : "resume"}`);
    assert.equal(status, 200, text);
    this.#suspended = suspend;
    this.answered++;
  }
}
