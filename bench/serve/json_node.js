// SPDX-License-Identifier: MIT
// Answer each request with a small JSON text, by node:http. Usage: json_node.js PORT
const http = require("node:http");

let count = 0;
const server = http.createServer((req, res) => {
  const body = JSON.stringify({ id: ++count, message: "Hello, World!", ok: true });
  res.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  res.end(body);
});
server.keepAliveTimeout = 600e3;
server.listen(Number(process.argv[2]), "127.0.0.1", 511, () => console.log("ready"));
