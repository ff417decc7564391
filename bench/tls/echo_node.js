// SPDX-License-Identifier: MIT
// TLS echo server on Node's tls. Usage: echo_node.js PORT CERT KEY
const tls = require("node:tls");
const fs = require("node:fs");

const [port, cert, key] = process.argv.slice(2);
tls
  .createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), noDelay: true }, (socket) => {
    socket.on("data", (data) => {
      if (!socket.write(data)) socket.pause();
    });
    socket.on("drain", () => socket.resume());
    socket.on("error", () => socket.destroy());
  })
  .listen({ host: "127.0.0.1", port: Number(port), backlog: 511 }, () => console.log("ready"));
