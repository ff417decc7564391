// SPDX-License-Identifier: MIT
// TLS echo server on Bun's own sockets. What write() did not take is kept and written on drain.
// Usage: echo_bun.js PORT CERT KEY
function send(socket, data) {
  const n = socket.write(data);
  if (n < data.length) socket.data = data.slice(Math.max(n, 0));
}

const [port, cert, key] = process.argv.slice(2);
Bun.listen({
  hostname: "127.0.0.1",
  port: Number(port),
  tls: { cert: Bun.file(cert), key: Bun.file(key) },
  socket: {
    open(socket) {
      socket.setNoDelay(true);
    },
    data(socket, data) {
      if (socket.data) {
        socket.data = Buffer.concat([socket.data, data]);
      } else {
        send(socket, data);
      }
    },
    drain(socket) {
      const rest = socket.data;
      if (!rest) return;
      socket.data = undefined;
      send(socket, rest);
    },
  },
});
console.log("ready");
