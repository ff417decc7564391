// SPDX-License-Identifier: MIT
// Decodes one JSON document again and again with JSON.parse, in Bun and Node. The text is a string
// already: turning bytes into one is not counted. Usage: decode.js FILE N WARM
const [file, n, warm] = process.argv.slice(2);
const text = require("node:fs").readFileSync(file, "utf8");
let last;

function run(count) {
  for (let i = 0; i < count; i++) last = JSON.parse(text);
}

run(Number(warm));
console.log("begin");
run(Number(n));
console.log("end");
if (typeof last !== "object") process.exit(1);
