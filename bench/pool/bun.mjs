// SPDX-License-Identifier: MIT
// As pool.lua, with Bun's workers. They have no pool: one message is one job, workers take turns,
// answers come in order. This file is what the workers run, too.
import { readFileSync } from "node:fs";
import * as jobs from "./jobs.mjs";

if (!Bun.isMainThread) {
  self.onmessage = ({ data: [name, value] }) => postMessage(jobs[name](value));
} else {
  const [mode, ...numbers] = process.argv.slice(2);
  const [n, warm, count = 2] = numbers.map(Number);

  const make = () => {
    const worker = new Worker(import.meta.url);
    const waiting = [];
    let first = 0;
    worker.onmessage = ({ data }) => {
      const resume = waiting[first];
      waiting[first++] = undefined;
      if (first === waiting.length) waiting.length = first = 0;
      resume(data);
    };
    return (name, value) =>
      new Promise((resume) => {
        waiting.push(resume);
        worker.postMessage([name, value]);
      });
  };
  const workers = Array.from({ length: count }, make);
  let turn = 0;
  const run = (name, value) => workers[turn++ % count](name, value);

  const flight = async (name, total, at_once, values = () => undefined) => {
    let next = 0;
    const worker = async () => {
      while (next < total) await run(name, values(next++));
    };
    await Promise.all(Array.from({ length: at_once }, worker));
  };
  const backAndForth = async (value, total) => {
    for (let i = 0; i < total; i++) {
      if ((await run("echo", value)).length !== value.length) process.exit(1);
    }
  };
  const modes = {
    trip: (total) => flight("nothing", total, 1),
    flight: (total) => flight("nothing", total, 1000),
    map: (total) => flight("increment", total, 1000, (i) => i),
    cpu: (total) => flight("compute", total, 2 * count, (i) => i),
    string: (total) => backAndForth("0123456789".repeat(500000), total),
    table: (total) =>
    backAndForth(
      Array.from({ length: 100000 }, (_, i) => i + 1),
      total,
    ),
  };

  const memory = () => {
    const text = readFileSync("/proc/self/smaps_rollup", "utf8");
    const own = (field) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)[1]);
    return (own("Private_Dirty") + own("Private_Clean")) * 1024;
  };

  if (mode === "start") {
    for (let i = 0; i < count; i++) await run("nothing");
    const before = memory();
    const kept = [];
    let ms = 0;
    for (let i = 0; i < n; i++) {
      const begun = performance.now();
      kept[i] = make();
      await kept[i]("nothing");
      ms += performance.now() - begun;
    }
    await Bun.sleep(200);
    console.log(`start ${n} ${(ms / n).toFixed(4)} ${((memory() - before) / n).toFixed(0)}`);
  } else {
    await modes[mode](warm);
    console.log("begin");
    await modes[mode](n);
    console.log("end");
  }
  process.exit(0);
}
