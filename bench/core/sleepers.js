// SPDX-License-Identifier: MIT
// N async functions, all started at once, each sleeps a second; for Bun (its own sleep) and Node (a
// promise around setTimeout: less time and memory than node:timers/promises). Usage: sleepers.js N
const sleep =
  typeof Bun === "undefined"
    ? () => new Promise((resolve) => setTimeout(resolve, 1000))
    : () => Bun.sleep(1000);

async function main() {
  const n = Number(process.argv[2]);
  const all = new Array(n);
  for (let i = 0; i < n; i++) {
    all[i] = (async () => {
      await sleep();
    })();
  }
  await Promise.all(all);
}

main();
