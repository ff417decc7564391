// SPDX-License-Identifier: MIT
// As files.lua, with fs/promises.
import { readFile, writeFile } from "node:fs/promises";

const [what, dir, count, size] = process.argv.slice(2);
const names = Array.from({ length: +count }, (_, i) => `${dir}/${i}`);
const block = Buffer.alloc(+size, "0123456789abcdef");
const write = (name) => writeFile(name, block);
const read = async (name) => {
  if ((await readFile(name)).length !== block.length) throw new Error("short");
};

for (const name of names) await write(name);

let late = [];
let ended = false;
const tick = (async () => {
  while (!ended) {
    const before = performance.now();
    await new Promise((resume) => setTimeout(resume, 1));
    late.push(performance.now() - before - 1);
  }
})();
await new Promise((resume) => setTimeout(resume, 50));
late = [];
const begun = performance.now();
await Promise.all(names.map(what === "read" ? read : write));
const seconds = (performance.now() - begun) / 1e3;
ended = true;
await tick;
late.sort((a, b) => a - b);
const at = (share) => late[Math.max(0, Math.ceil(late.length * share) - 1)].toFixed(3);
console.log(`late ${at(0.5)} ${at(0.99)} ${at(1)} rate ${(names.length * block.length / seconds / 1e6).toFixed(0)}`);
