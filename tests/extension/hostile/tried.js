// Not an attack: what attacks have in common. Each attempt that gives something true has got out; one that gives nothing
// for a second has not.

export async function tried(attempts) {
  const got = [];
  for (const [name, attempt] of Object.entries(attempts)) {
    let timer;
    try {
      const late = new Promise((resolve) => {
        timer = setTimeout(() => resolve(false), 1000);
      });
      if (await Promise.race([attempt(), late])) got.push(name);
    } catch {
      // it was held
    }
    clearTimeout(timer);
  }
  return { got };
}
