// What a WASM module imports is looked up in objects, and a plain object has more than was put there: `constructor` is a
// function of every one. Extism makes the objects and takes no others, so they are made bare on their way to the engine.

const instantiate = WebAssembly.instantiate;

/** From now on, modules of this worker link to what the objects have themselves. */
export function linkOwnImportsOnly(): void {
  WebAssembly.instantiate =
    ((module: WebAssembly.Module, imports: WebAssembly.Imports = {}) =>
      instantiate(module, bareImports(imports))) as typeof WebAssembly.instantiate;
}

/** The same imports in objects without prototypes. */
export function bareImports(imports: WebAssembly.Imports): WebAssembly.Imports {
  const bare: WebAssembly.Imports = Object.create(null);
  for (const [name, functions] of Object.entries(imports)) {
    bare[name] = Object.assign(Object.create(null), functions);
  }
  return bare;
}
