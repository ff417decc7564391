// SPDX-License-Identifier: MIT
// Frames of WebSocket against libwslay: what is written here is read there, and the other way
// round, for all lengths around which the head changes, in pieces of any size; and both refuse the
// same heads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <wslay/wslay.h>

#include "http/websocket_frame.h"

static const size_t sizes[] = {0, 1, 3, 8, 125, 126, 127, 4096, 65535, 65536, 70001};

#define SIZES (sizeof sizes / sizeof *sizes)
#define MOST 70001

// Bytes on their way from one side to the other.
typedef struct wire {
  unsigned char bytes[WEBSOCKET_HEAD + MOST];
  size_t n, at, piece;
} wire;

static ssize_t on_recv(uint8_t *buf, size_t n, int flags, void *data) {
  wire *w = data;
  (void)flags;
  if (n > w->piece) n = w->piece;
  if (n > w->n - w->at) n = w->n - w->at;
  if (!n) return -1;
  memcpy(buf, w->bytes + w->at, n);
  w->at += n;
  return (ssize_t)n;
}

static ssize_t on_send(const uint8_t *p, size_t n, int flags, void *data) {
  wire *w = data;
  (void)flags;
  if (n > w->piece) n = w->piece;
  memcpy(w->bytes + w->n, p, n);
  w->n += n;
  return (ssize_t)n;
}

static int on_mask(uint8_t *buf, size_t n, void *data) {
  (void)data;
  for (size_t i = 0; i < n; i++) buf[i] = (uint8_t)(0x5A + 37 * i);
  return 0;
}

static const struct wslay_frame_callbacks callbacks = {on_send, on_recv, on_mask};

static void fill(unsigned char *p, size_t n) {
  for (size_t i = 0; i < n; i++) p[i] = (unsigned char)(i * 31 + (i >> 8));
}

static void write_frame(wire *w, websocket_head *h, const unsigned char *payload) {
  size_t head = websocket_head_write(h, w->bytes);
  memcpy(w->bytes + head, payload, (size_t)h->length);
  if (h->masked) websocket_mask(w->bytes + head, payload, (size_t)h->length, h->mask, 0);
  w->n = head + (size_t)h->length;
  w->at = 0;
}

// Receive by wslay what is there: it asks again for each piece of a head.
static ssize_t receive(wslay_frame_context_ptr c, wire *w, struct wslay_frame_iocb *io) {
  ssize_t n;
  do n = wslay_frame_recv(c, io);
  while (n == WSLAY_ERR_WANT_READ && w->at < w->n);
  return n;
}

// Read the frame by wslay and compare.
static void check_by_wslay(wire *w, const websocket_head *h, const unsigned char *payload) {
  wslay_frame_context_ptr c;
  size_t got = 0;
  assert_int_equal(wslay_frame_context_init(&c, &callbacks, w), 0);
  do {
    struct wslay_frame_iocb io = {0};
    ssize_t n = receive(c, w, &io);
    assert_true(n >= 0);
    assert_int_equal(io.fin, h->fin);
    assert_int_equal(io.rsv, h->reserved);
    assert_int_equal(io.opcode, h->opcode);
    assert_int_equal(io.mask, h->masked);
    assert_int_equal(io.payload_length, h->length);
    assert_memory_equal(io.data, payload + got, io.data_length);
    got += io.data_length;
  } while (got < h->length);
  assert_int_equal(w->at, w->n);
  wslay_frame_context_free(c);
}

static void frames_are_read_by_wslay(void **state) {
  static unsigned char payload[MOST];
  static const size_t pieces[] = {1, 7, sizeof(wire)};
  wire *w = *state;
  fill(payload, sizeof payload);
  for (size_t i = 0; i < SIZES * 3 * 4; i++) {
    websocket_head h = {.length = sizes[i % SIZES], .mask = {1, 0, 255, 77}};
    h.opcode = i % 2 ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
    h.masked = i / SIZES % 2;
    h.fin = i / SIZES / 2 % 2;
    h.reserved = h.fin ? WEBSOCKET_RSV1 : 0;
    w->piece = pieces[i / SIZES / 4];
    write_frame(w, &h, payload);
    check_by_wslay(w, &h, payload);
  }
}

static void frames_of_wslay_are_read(void **state) {
  static unsigned char payload[MOST];
  wire *w = *state;
  fill(payload, sizeof payload);
  for (size_t i = 0; i < SIZES * 2; i++) {
    size_t size = sizes[i % SIZES], sent = 0;
    struct wslay_frame_iocb io = {.fin = 1, .opcode = WSLAY_BINARY_FRAME, .payload_length = size};
    wslay_frame_context_ptr c;
    websocket_head h;
    io.mask = i >= SIZES;
    w->n = 0;
    w->piece = sizeof *w;
    assert_int_equal(wslay_frame_context_init(&c, &callbacks, w), 0);
    do {
      io.data = payload + sent;
      io.data_length = size - sent;
      ssize_t n = wslay_frame_send(c, &io);
      assert_true(n >= 0);
      sent += (size_t)n;
    } while (sent < size);
    wslay_frame_context_free(c);

    int head = websocket_head_read(&h, w->bytes, w->n);
    assert_true(head > 0);
    for (int k = 0; k < head; k++) {
      websocket_head part;
      assert_int_equal(websocket_head_read(&part, w->bytes, (size_t)k), 0);
    }
    assert_int_equal(h.length, size);
    assert_int_equal(w->n, (size_t)head + size);
    assert_int_equal(h.masked, io.mask);
    if (h.masked) websocket_mask(w->bytes + head, w->bytes + head, size, h.mask, 0);
    assert_memory_equal(w->bytes + head, payload, size);
  }
}

// A length may be written in one way alone, and has 63 bits at most.
static void both_refuse_the_same_lengths(void **state) {
  static const uint64_t lengths[] = {
    0, 1, 125, 126, 65535, 65536, 1 << 20, UINT64_C(1) << 62, UINT64_C(1) << 63, UINT64_MAX};
  wire *w = *state;
  for (size_t i = 0; i < 2 * sizeof lengths / sizeof *lengths; i++) {
    uint64_t length = lengths[i / 2];
    int bytes = i % 2 ? 8 : 2;
    if (bytes == 2 && length > 65535) continue;
    w->bytes[0] = 0x82;
    w->bytes[1] = bytes == 8 ? 127 : 126;
    for (int k = 0; k < bytes; k++)
      w->bytes[2 + k] = (unsigned char)(length >> 8 * (bytes - 1 - k));
    w->n = 2 + (size_t)bytes;
    w->at = 0;
    w->piece = 1;
    wslay_frame_context_ptr c;
    struct wslay_frame_iocb io;
    websocket_head h;
    assert_int_equal(wslay_frame_context_init(&c, &callbacks, w), 0);
    int is_refused = receive(c, w, &io) == WSLAY_ERR_PROTO;
    wslay_frame_context_free(c);
    assert_int_equal(websocket_head_read(&h, w->bytes, w->n) < 0, is_refused);
  }
}

static int set_up(void **state) {
  *state = malloc(sizeof(wire));
  return *state ? 0 : -1;
}

static int tear_down(void **state) {
  free(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(frames_are_read_by_wslay),
    cmocka_unit_test(frames_of_wslay_are_read),
    cmocka_unit_test(both_refuse_the_same_lengths),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
