// SPDX-License-Identifier: MIT
// Run /bin/true N times, 16 at a time, and collect what it prints, in Node and in Bun.
// Usage: spawn N WARM
const { spawn } = require("child_process");

// Node's own form: a child's streams and its end are events.
function once() {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/true", [], { stdio: ["ignore", "pipe", "pipe"] });
    const output = [];
    child.stdout.on("data", (data) => output.push(data));
    child.stderr.on("data", (data) => output.push(data));
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(output) : reject(new Error(`${code}`))));
  });
}

async function onceInBun() {
  const child = Bun.spawn(["/bin/true"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [code] = await Promise.all([
    child.exited, new Response(child.stdout).text(), new Response(child.stderr).text(),
  ]);
  if (code !== 0) throw new Error(`${code}`);
}

async function run(n) {
  let i = 0;
  const one = typeof Bun === "undefined" ? once : onceInBun;
  async function worker() {
    while (i < n) {
      i++;
      await one();
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker));
}

(async () => {
  await run(Number(process.argv[3]));
  process.stdout.write("begin\n");
  await run(Number(process.argv[2]));
  process.stdout.write("end\n");
})();
