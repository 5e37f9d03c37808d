// Whether this process may keep its state in `gateway.state_dir`, in words that say who may not do what, and where: the
// system and the database say no more than "permission denied" and "unable to open database file".

import { accessSync, constants, type Stats, statSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";

/** The database's name in `state_dir`. */
export const STATE_FILE = "wsprism.db";

/** What stands in the way of a state in this folder; null when nothing does, or this process may not know. */
export function stateFolderFault(folder: string): string | null {
  try {
    const found = stat(folder);
    if (found === null) return missing(folder);
    if (!found.isDirectory()) return "is a file; name a folder";
    const denied = refusal(folder, found);
    if (denied !== null) return `cannot be used: ${denied}`;
    const file = join(folder, STATE_FILE), database = stat(file);
    if (database === null) return null;
    if (!database.isFile()) return `cannot be used: ${STATE_FILE} in it is no file`;
    const why = refusal(file, database);
    return why === null ? null : `cannot be used: ${STATE_FILE} in it: ${why}`;
  } catch {
    return null; // Deno, without the permission to look; the database will say.
  }
}

/** A folder that is to be made: by whoever may write to the nearest one above that is there. */
function missing(folder: string): string | null {
  for (let above = dirname(folder);; above = dirname(above)) {
    const found = stat(above);
    if (found === null) {
      if (above === dirname(above)) return null;
      continue;
    }
    if (!found.isDirectory()) return `cannot be made: "${above}" is a file`;
    const denied = refusal(above, found);
    return denied === null ? null : `cannot be made: in "${above}" ${denied}`;
  }
}

/** Why this user may not write there. */
function refusal(path: string, found: Stats): string | null {
  const wanted = found.isDirectory()
    ? constants.W_OK | constants.X_OK | constants.R_OK
    : constants.W_OK | constants.R_OK;
  try {
    accessSync(path, wanted);
    return null;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EROFS") return "the file system is read-only";
    if (code !== "EACCES" && code !== "EPERM") return null;
    const mode = (found.mode & 0o7777).toString(8).padStart(3, "0");
    return `${me()} may not write there (it is ${ownerName(found.uid)}'s, mode ${mode})`;
  }
}

function stat(path: string): Stats | null {
  try {
    return statSync(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  }
}

function me(): string {
  const user = currentUser();
  return user === null ? "this process's user" : `user ${user.username}`;
}

function ownerName(uid: number): string {
  const user = currentUser();
  if (uid === 0) return "root";
  return user?.uid === uid ? user.username : `user ${uid}`;
}

function currentUser(): { readonly username: string; readonly uid: number } | null {
  try {
    return userInfo();
  } catch {
    return null; // no entry for it, or on Deno no --allow-sys
  }
}
