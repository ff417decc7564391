// SPDX-License-Identifier: MIT
// Answer each request with a small JSON text, by Bun.serve. Usage: json_bun.js PORT
let count = 0;
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  idleTimeout: 0,
  fetch: () => Response.json({ id: ++count, message: "Hello, World!", ok: true }),
});
console.log("ready");
