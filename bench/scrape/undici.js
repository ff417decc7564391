// SPDX-License-Identifier: MIT
// 64 workers get and decode one JSON resource with undici's pool (faster than Node's fetch on the
// same parser). Usage: undici.js URL N WARM
const { Pool } = require("undici");

const [url, n, warm] = process.argv.slice(2);
const { origin, pathname } = new URL(url);
const pool = new Pool(origin, { connections: 64 });

async function run(count) {
  let left = count;
  let sum = 0;
  async function worker() {
    while (left > 0) {
      left--;
      const { statusCode, body } = await pool.request({ path: pathname, method: "GET" });
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
      sum += (await body.json()).id;
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
  await pool.close();
}

main();
