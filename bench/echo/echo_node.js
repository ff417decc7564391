// SPDX-License-Identifier: MIT
// TCP echo server on Node's net. Usage: echo_node.js PORT
const net = require("node:net");

net
  .createServer({ noDelay: true }, (socket) => {
    socket.on("data", (data) => {
      if (!socket.write(data)) socket.pause();
    });
    socket.on("drain", () => socket.resume());
    socket.on("error", () => socket.destroy());
  })
  .listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 511 }, () =>
    console.log("ready"),
  );
