// SPDX-License-Identifier: MIT
// The load generator of the WebSocket benchmark: each client sends a text of SIZE bytes. The masked
// frame is made once, and so is the one that must come back.
#include <string.h>
#include <unistd.h>

#include "../closed_loop.h"

typedef struct frame {
  char *p;
  size_t n;
} frame;

typedef struct clients {
  closed_loop base;
  frame message, echo;
} clients;

// Make both frames, of texts up to 64 KiB.
static void start(closed_loop *l) {
  static const char mask[] = {0x12, 0x34, 0x56, 0x78};
  clients *k = (clients *)l;
  size_t size = l->size, head = size > 125 ? 4 : 2;
  k->message.n = head + 4 + size;
  k->echo.n = head + size;
  char *message = k->message.p = closed_loop_alloc(k->message.n);
  char *echo = k->echo.p = closed_loop_alloc(k->echo.n);
  message[0] = echo[0] = (char)0x81;
  echo[1] = (char)(size > 125 ? 126 : size);
  message[1] = (char)(echo[1] | 0x80);
  if (size > 125) {
    message[2] = echo[2] = (char)(size >> 8);
    message[3] = echo[3] = (char)size;
  }
  memcpy(message + head, mask, sizeof mask);
  for (size_t i = 0; i < size; i++) {
    echo[head + i] = (char)('a' + i % 26);
    message[head + 4 + i] = (char)(echo[head + i] ^ mask[i % 4]);
  }
}

static void greet(closed_loop *l, connection *c, int number) {
  static const char request[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const clients *k = (clients *)l;
  char answer[1024];
  size_t n = 0;
  (void)number;
  if (write(c->fd, request, sizeof request - 1) != (ssize_t)sizeof request - 1)
    closed_loop_die("write");
  do {
    ssize_t got = n < sizeof answer - 1 ? read(c->fd, answer + n, 1) : 0;
    if (got <= 0) closed_loop_die("handshake");
    answer[n += (size_t)got] = 0;
  } while (n < 4 || memcmp(answer + n - 4, "\r\n\r\n", 4) != 0);
  if (!strstr(answer, " 101 ")) closed_loop_die("handshake");
  c->message = k->message.p;
  c->message_size = k->message.n;
  c->echo = k->echo.p;
  c->echo_size = k->echo.n;
}

int main(int argc, char **argv) {
  clients k = {.base = {.start = start,
                        .greet = greet,
                        .read = closed_loop_read,
                        .write = closed_loop_write,
                        .is_drained = 1}};
  return closed_loop_run(&k.base, argc, argv);
}
