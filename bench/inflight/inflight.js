// SPDX-License-Identifier: MIT
// Many requests in flight at once with fetch, each on a connection of its own, in Bun (which asks
// its environment how many it may) and Node. Usage: inflight.js URL N
const [url, n] = process.argv.slice(2);

async function get() {
  const response = await fetch(url);
  return response.ok && (await response.text()) === "done";
}

async function main() {
  const answers = await Promise.all(Array.from({ length: Number(n) }, get));
  if (!answers.every(Boolean)) throw new Error("not all were answered");
}

main();
