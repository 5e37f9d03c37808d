// Not an attack: what attacks have in common. Each attempt that gives something true has got out.

export async function tried(attempts) {
  const got = [];
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      if (await attempt()) got.push(name);
    } catch {
      // it was held
    }
  }
  return { got };
}
