// SPDX-License-Identifier: MIT
// Spawn, yield, await for Bun and Node: an async function that awaits once, and is awaited. Its
// suspension is a microtask, the cheapest one JavaScript has; it never reaches the event loop.
// Usage: tasks.js N WARM
async function run(n) {
  for (let i = 0; i < n; i++) {
    const t = (async () => {
      await undefined;
    })();
    await t;
  }
}

async function main() {
  const [n, warm] = process.argv.slice(2).map(Number);
  await run(warm);
  console.log("begin");
  await run(n);
  console.log("end");
}

main();
