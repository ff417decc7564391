// SPDX-License-Identifier: MIT
// WebSocket echo server on Bun.serve. Usage: echo_bun.js PORT
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  fetch(req, server) {
    if (!server.upgrade(req)) return new Response("not a WebSocket", { status: 426 });
  },
  websocket: {
    message(ws, message) {
      ws.send(message);
    },
  },
});
console.log("ready");
