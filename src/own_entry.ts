// Where a module of ours is that a thread of its own starts with.

/**
 * The URL of a module, named by its path below src/. In an executable every module is at the bundle's root, and such
 * entries are where their source was (see compile.sh).
 * @param here `import.meta.url` of the caller
 * @param folder the caller's own, below src/
 */
export function ownEntry(here: string, folder: string, name: string): URL {
  return new URL(here.endsWith(".ts") ? `./${name}` : `./src/${folder}/${name}`, here);
}
