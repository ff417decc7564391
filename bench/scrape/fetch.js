// SPDX-License-Identifier: MIT
// 64 workers get and decode one JSON resource with fetch, in Bun and Node.
// Usage: fetch.js URL N WARM
const [url, n, warm] = process.argv.slice(2);

async function run(count) {
  let left = count;
  let sum = 0;
  async function worker() {
    while (left > 0) {
      left--;
      const response = await fetch(url);
      if (!response.ok) throw new Error(`status ${response.status}`);
      sum += (await response.json()).id;
    }
  }
  await Promise.all(Array.from({ length: 64 }, worker));
  return sum;
}

async function main() {
  await run(Number(warm));
  console.log("begin");
  const sum = await run(Number(n));
  console.log("end");
  if (sum !== 20413186 * Number(n)) throw new Error("wrong sum");
}

main();
