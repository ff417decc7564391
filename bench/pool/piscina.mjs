// SPDX-License-Identifier: MIT
// As pool.lua, with piscina in Node. Its defaults, but for the number of workers, that none ends,
// and `start`, where each worker is a pool of its own.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const { Piscina } = createRequire(`${process.env.NODE_PATH}/`)("piscina");
const [mode, ...numbers] = process.argv.slice(2);
const [n, warm, workers = 2] = numbers.map(Number);
const filename = fileURLToPath(new URL("jobs.mjs", import.meta.url));

const make = (count) =>
  new Piscina({ filename, minThreads: count, maxThreads: count, idleTimeout: 1e9 });
const pool = make(workers);
const run = (name, value) => pool.run(value, { name });

async function flight(name, count, values = () => undefined) {
  let next = 0;
  const worker = async () => {
    while (next < count) await run(name, values(next++));
  };
  await Promise.all(Array.from({ length: 1000 }, worker));
}

const backAndForth = async (value, count) => {
  for (let i = 0; i < count; i++) {
    if ((await run("echo", value)).length !== value.length) process.exit(1);
  }
};

const modes = {
  trip: async (count) => {
    for (let i = 0; i < count; i++) await run("nothing");
  },
  flight: (count) => flight("nothing", count),
  map: (count) => flight("increment", count, (i) => i),
  cpu: (count) => flight("compute", count, (i) => i),
  string: (count) => backAndForth("0123456789".repeat(500000), count),
  table: (count) =>
    backAndForth(
      Array.from({ length: 100000 }, (_, i) => i + 1),
      count,
    ),
};

function memory() {
  const text = readFileSync("/proc/self/smaps_rollup", "utf8");
  const own = (field) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)[1]);
  return (own("Private_Dirty") + own("Private_Clean")) * 1024;
}

if (mode === "start") {
  await run("nothing");
  const before = memory();
  let ms = 0;
  const pools = [];
  for (let i = 0; i < n; i++) {
    const begun = performance.now();
    pools[i] = make(1);
    await pools[i].run(undefined, { name: "nothing" });
    ms += performance.now() - begun;
  }
  await new Promise((resume) => setTimeout(resume, 200));
  console.log(`start ${n} ${(ms / n).toFixed(4)} ${((memory() - before) / n).toFixed(0)}`);
} else {
  await modes[mode](warm);
  console.log("begin");
  await modes[mode](n);
  console.log("end");
}
process.exit(0);
