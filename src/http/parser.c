// SPDX-License-Identifier: MIT
// The phases of a message: head (llhttp, then head.c), body by length or to the end of the stream
// (counted here), chunks and trailers (llhttp, stopped at each chunk header). Owns the block and
// the field array; runs on the thread of the parser's owner. Invariant: llhttp is never given more
// bytes than the limit in force allows, and all decisions hang on byte positions, so that input cut
// anywhere gives the same events.
#include "http/parser.h"

#include <stdlib.h>
#include <string.h>

#include "http/head.h"
#include "http/headers.h"

enum { BLOCK_MIN = 512, FIELDS_MIN = 16, BLANK_LINES = 4, CHUNK_ALLOWANCE = 16 };

// What a step answers when the next step can go on at once.
enum { GO_ON = -1 };

enum phase {
  PH_START,     // between messages, empty lines are skipped
  PH_START_CR,  // after the CR of an empty line
  PH_HEAD,
  PH_NO_BODY,  // the end is still to be told
  PH_LENGTH,   // `remaining` bytes to go
  PH_CLOSE,    // until the end of the stream
  PH_FRAME,    // chunk framing
  PH_CHUNK,    // `remaining` bytes of a chunk to go
  PH_TRAILERS,
  PH_TOLD,     // complete; the next byte begins a message
  PH_UPGRADE,  // a 101 whose end is still to be told
  PH_UPGRADED,
  PH_FAILED,
};

typedef struct error_info {
  const char *code;
  const char *sentence;
  int status;
} error_info;

#define ERROR_INFO(name, code, status, sentence) {code, sentence, status},
static const error_info ERRORS[] = {HTTP_ERRORS(ERROR_INFO)};
#undef ERROR_INFO

static http_event fail(http_parser *p, http_error e) {
  p->error = (uint8_t)e;
  p->phase = PH_FAILED;
  return HTTP_EV_ERROR;
}

static size_t at_most(size_t len, uint64_t most) {
  return len < most ? len : (size_t)most;
}

// --- storage -------------------------------------------------------------------------------------

static bool store(http_parser *p, const char *data, size_t len) {
  if (len > p->block_cap - p->block_len) {
    size_t cap = p->block_cap ? p->block_cap : BLOCK_MIN;
    while (cap < p->block_len + len) cap *= 2;
    char *block = realloc(p->block, cap);
    if (!block) return false;
    p->block = block;
    p->block_cap = (uint32_t)cap;
  }
  memcpy(p->block + p->block_len, data, len);
  p->block_len += (uint32_t)len;
  return true;
}

// The head is complete, and its names are in the case in which they came.
static bool store_raw(http_parser *p) {
  char *raw = realloc(p->raw, p->block_len);
  if (!raw) return false;
  memcpy(raw, p->block, p->block_len);
  p->raw = raw;
  p->raw_len = p->block_len;
  return true;
}

static bool grow_fields(http_parser *p) {
  uint32_t cap = p->fields_cap ? p->fields_cap * 2 : FIELDS_MIN;
  http_field *fields = realloc(p->fields, cap * sizeof *fields);
  if (!fields) return false;
  p->fields = fields;
  p->fields_cap = cap;
  return true;
}

// --- callbacks of llhttp: they record and never leave the parser ---------------------------------

static int refuse(http_parser *p, http_error e) {
  p->error = (uint8_t)e;
  return HPE_USER;
}

static uint32_t offset_of(const http_parser *p, const char *at) {
  return p->block_len + (uint32_t)(at - p->chunk);
}

static int on_target_complete(llhttp_t *ll) {
  http_parser *p = ll->data;
  p->target_done = true;
  return HPE_OK;
}

static int on_field(llhttp_t *ll, const char *at, size_t len) {
  http_parser *p = ll->data;
  if (!p->in_name) {
    if (p->nfields == p->fields_cap && !grow_fields(p)) return refuse(p, HTTP_E_NO_MEMORY);
    p->fields[p->nfields] = (http_field){.name = offset_of(p, at)};
    p->in_name = true;
  }
  p->fields[p->nfields].name_len += (uint32_t)len;
  return HPE_OK;
}

static int on_field_complete(llhttp_t *ll) {
  http_parser *p = ll->data;
  if (p->fields[p->nfields].name_len == 0) return refuse(p, HTTP_E_EMPTY_NAME);
  if (p->nfields == p->limits.headers) return refuse(p, HTTP_E_HEADER_COUNT);
  p->nfields++;
  p->in_name = false;
  p->in_value = true;
  return HPE_OK;
}

static int on_value(llhttp_t *ll, const char *at, size_t len) {
  http_parser *p = ll->data;
  http_field *f = &p->fields[p->nfields - 1];
  uint32_t off = offset_of(p, at);
  if (f->value_len == 0)
    f->value = off;
  else if (f->value + f->value_len != off)
    p->folded = true;
  f->value_len = off + (uint32_t)len - f->value;
  return HPE_OK;
}

static int on_value_complete(llhttp_t *ll) {
  http_parser *p = ll->data;
  p->in_value = false;
  return HPE_OK;
}

static int on_pause(llhttp_t *ll) {
  (void)ll;
  return HPE_PAUSED;
}

static int on_chunk_complete(llhttp_t *ll) {
  http_parser *p = ll->data;
  p->data_ended = false;
  return HPE_OK;
}

static const llhttp_settings_t SETTINGS = {
  .on_url_complete = on_target_complete,
  .on_header_field = on_field,
  .on_header_field_complete = on_field_complete,
  .on_header_value = on_value,
  .on_header_value_complete = on_value_complete,
  .on_headers_complete = on_pause,
  .on_chunk_header = on_pause,
  .on_chunk_complete = on_chunk_complete,
  .on_message_complete = on_pause,
};

// --- llhttp --------------------------------------------------------------------------------------

// The first byte tells a method that llhttp does not know from what is no HTTP at all.
static http_error method_error(const http_parser *p) {
  const char *first = p->block_len > 0 ? p->block : p->chunk;
  return http_token_valid(first, 1) ? HTTP_E_METHOD : HTTP_E_REQUEST_LINE;
}

static http_error head_error(const http_parser *p, int rc) {
  bool request = p->kind == HTTP_KIND_REQUEST;
  switch (rc) {
    case HPE_INVALID_METHOD: return method_error(p);
    case HPE_INVALID_URL: return HTTP_E_TARGET;
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE:
      if (p->ll.http_major != 1 || p->ll.http_minor > 1) return HTTP_E_VERSION;
      return request ? HTTP_E_REQUEST_LINE : HTTP_E_STATUS_LINE;
    case HPE_INVALID_CONSTANT:
    case HPE_INVALID_STATUS: return request ? HTTP_E_REQUEST_LINE : HTTP_E_STATUS_LINE;
    case HPE_STRICT:
    case HPE_CR_EXPECTED:
    case HPE_LF_EXPECTED: return HTTP_E_LINE_END;
    case HPE_INVALID_HEADER_TOKEN: return p->in_value ? HTTP_E_HEADER_VALUE : HTTP_E_HEADER_NAME;
    case HPE_UNEXPECTED_SPACE: return HTTP_E_FOLD;
    case HPE_INVALID_CONTENT_LENGTH: return HTTP_E_LENGTH;
    case HPE_UNEXPECTED_CONTENT_LENGTH:
      return (p->ll.flags & F_TRANSFER_ENCODING) ? HTTP_E_LENGTH_AND_CODING : HTTP_E_TWO_LENGTHS;
    case HPE_INVALID_TRANSFER_ENCODING: return HTTP_E_CODING;
    default: return HTTP_E_HEADER_LINE;
  }
}

// Give llhttp `len` bytes, more than none. Answers HTTP_E_NONE with the bytes it took in `*took`,
// and whether it paused; else the error.
static http_error execute(http_parser *p, const char *data, size_t len, size_t *took,
                          bool *paused) {
  p->ll.data = p;
  p->chunk = data;
  int rc = llhttp_execute(&p->ll, data, len);
  *paused = rc == HPE_PAUSED;
  *took = len;
  if (rc == HPE_OK) return HTTP_E_NONE;
  if (rc == HPE_PAUSED) {
    *took = (size_t)(llhttp_get_error_pos(&p->ll) - data);
    llhttp_resume(&p->ll);
    return HTTP_E_NONE;
  }
  if (p->error != HTTP_E_NONE) return (http_error)p->error;
  if (p->phase == PH_FRAME) return p->data_ended ? HTTP_E_CHUNK_END : HTTP_E_CHUNK_SIZE;
  return head_error(p, rc);
}

// --- phases --------------------------------------------------------------------------------------

static void begin(http_parser *p) {
  llhttp_init(&p->ll, p->kind == HTTP_KIND_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &SETTINGS);
  p->block_len = p->nfields = 0;
  p->received = 0;
  p->overhead = 0;
  p->target_done = p->in_name = p->in_value = p->folded = p->data_ended = false;
  p->phase = PH_HEAD;
}

// Skip the empty lines that RFC 9112 2.2 asks a server to ignore, but not without end.
static int step_start(http_parser *p, const char *data, size_t len, size_t *used) {
  if (len == 0) return HTTP_EV_MORE;
  if (!p->started) {
    p->started = true;
    p->interim = 0;
    p->go_on = false;
    p->blank = 0;
  }
  if (p->phase == PH_START && *data != '\r' && *data != '\n') {
    begin(p);
    return GO_ON;
  }
  if (*data != (p->phase == PH_START ? '\r' : '\n') || p->blank >= 2 * BLANK_LINES)
    return fail(p, HTTP_E_LINE_END);
  p->blank++;
  p->phase = p->phase == PH_START ? PH_START_CR : PH_START;
  *used = 1;
  return GO_ON;
}

static int enter_body(http_parser *p) {
  static const uint8_t phases[] = {PH_NO_BODY, PH_LENGTH, PH_FRAME, PH_CLOSE};
  const http_head *h = &p->head;
  p->phase = h->status == 101 ? PH_UPGRADE : phases[h->framing];
  p->remaining = h->length;
  // llhttp would end an upgrade or CONNECT request here; whether it is one is the owner's decision.
  p->ll.upgrade = 0;
  if (p->phase == PH_LENGTH && p->limits.body && h->length > p->limits.body)
    return fail(p, HTTP_E_BODY_SIZE);
  return HTTP_EV_HEAD;
}

static int step_head(http_parser *p, const char *data, size_t len, size_t *used) {
  bool paused;
  size_t n = at_most(len, p->limits.head - p->block_len);
  if (len == 0) return HTTP_EV_MORE;
  if (n == 0 && p->kind == HTTP_KIND_REQUEST && !p->target_done)
    return fail(p, HTTP_E_TARGET_LENGTH);
  if (n == 0) return fail(p, HTTP_E_HEAD_SIZE);

  http_error e = execute(p, data, n, used, &paused);
  if (e == HTTP_E_NONE && !store(p, data, *used)) e = HTTP_E_NO_MEMORY;
  if (e == HTTP_E_NONE && paused && p->keep_raw && !store_raw(p)) e = HTTP_E_NO_MEMORY;
  if (e == HTTP_E_NONE && paused) e = http_head_check(p);
  if (e != HTTP_E_NONE) return fail(p, e);
  if (!paused) return GO_ON;

  if (p->head.status != 0 && p->head.status < 200 && p->head.status != 101) {
    if (p->interim++ == p->limits.interim) return fail(p, HTTP_E_INTERIM);
    p->go_on |= p->head.status == 100;
    p->phase = PH_START;
    return GO_ON;
  }
  return enter_body(p);
}

static int step_length(http_parser *p, const char *data, size_t len, size_t *used) {
  if (p->remaining == 0) {
    p->phase = PH_NO_BODY;
    return GO_ON;
  }
  if (len == 0) return HTTP_EV_MORE;
  *used = at_most(len, p->remaining);
  p->remaining -= *used;
  p->body = (http_text){data, *used};
  return HTTP_EV_BODY;
}

static int step_close(http_parser *p, const char *data, size_t len, size_t *used) {
  if (len == 0) return HTTP_EV_MORE;
  *used = p->limits.body ? at_most(len, p->limits.body - p->received) : len;
  if (*used == 0) return fail(p, HTTP_E_BODY_SIZE);
  p->received += *used;
  p->body = (http_text){data, *used};
  return HTTP_EV_BODY;
}

// A chunk pays for 16 bytes of framing and for twice its data; what is left over adds up.
static void pay(http_parser *p, uint64_t size) {
  uint64_t paid = size < p->limits.head ? CHUNK_ALLOWANCE + 2 * size : p->overhead;
  p->overhead = p->overhead > paid ? p->overhead - (uint32_t)paid : 0;
}

static int step_frame(http_parser *p, const char *data, size_t len, size_t *used) {
  bool paused;
  size_t n = at_most(len, p->limits.head - p->overhead);
  if (len == 0) return HTTP_EV_MORE;
  if (n == 0) return fail(p, HTTP_E_CHUNK_OVERHEAD);
  http_error e = execute(p, data, n, used, &paused);
  if (e != HTTP_E_NONE) return fail(p, e);
  p->overhead += (uint32_t)*used;
  if (!paused) return GO_ON;

  p->remaining = p->ll.content_length;
  if (p->remaining == 0) {
    p->trailers = p->block_len;
    p->phase = PH_TRAILERS;
    return GO_ON;
  }
  if (p->limits.body && p->remaining > p->limits.body - p->received)
    return fail(p, HTTP_E_BODY_SIZE);
  pay(p, p->remaining);
  p->phase = PH_CHUNK;
  return GO_ON;
}

static int step_chunk(http_parser *p, const char *data, size_t len, size_t *used) {
  bool paused;
  size_t n = at_most(len, p->remaining);
  if (len == 0) return HTTP_EV_MORE;
  http_error e = execute(p, data, n, used, &paused);
  if (e != HTTP_E_NONE) return fail(p, e);
  p->received += n;
  p->remaining -= n;
  p->body = (http_text){data, n};
  if (p->remaining == 0) {
    p->phase = PH_FRAME;
    p->data_ended = true;
  }
  return HTTP_EV_BODY;
}

static int step_trailers(http_parser *p, const char *data, size_t len, size_t *used) {
  bool paused;
  size_t n = at_most(len, p->limits.head - (p->block_len - p->trailers));
  if (len == 0) return HTTP_EV_MORE;
  if (n == 0) return fail(p, HTTP_E_TRAILER_SIZE);
  http_error e = execute(p, data, n, used, &paused);
  if (e == HTTP_E_NONE && !store(p, data, *used)) e = HTTP_E_NO_MEMORY;
  if (e == HTTP_E_NONE && paused) e = http_trailers_check(p);
  if (e != HTTP_E_NONE) return fail(p, e);
  if (paused) p->phase = PH_NO_BODY;
  return GO_ON;
}

static int tell_end(http_parser *p) {
  p->phase = p->phase == PH_UPGRADE ? PH_UPGRADED : PH_TOLD;
  p->started = false;
  p->no_body = false;
  return p->phase == PH_UPGRADED ? HTTP_EV_UPGRADE : HTTP_EV_COMPLETE;
}

static int step_told(http_parser *p, size_t len) {
  if (len == 0) return HTTP_EV_MORE;
  if (!p->head.keepalive) return fail(p, HTTP_E_AFTER_CLOSE);
  p->phase = PH_START;
  return GO_ON;
}

static int step(http_parser *p, const char *data, size_t len, size_t *used) {
  switch (p->phase) {
    case PH_START:
    case PH_START_CR: return step_start(p, data, len, used);
    case PH_HEAD: return step_head(p, data, len, used);
    case PH_NO_BODY:
    case PH_UPGRADE: return tell_end(p);
    case PH_LENGTH: return step_length(p, data, len, used);
    case PH_CLOSE: return step_close(p, data, len, used);
    case PH_FRAME: return step_frame(p, data, len, used);
    case PH_CHUNK: return step_chunk(p, data, len, used);
    case PH_TRAILERS: return step_trailers(p, data, len, used);
    case PH_TOLD: return step_told(p, len);
    case PH_UPGRADED: return len == 0 ? HTTP_EV_MORE : (int)fail(p, HTTP_E_AFTER_UPGRADE);
    default: return HTTP_EV_ERROR;
  }
}

// --- interface -----------------------------------------------------------------------------------

http_limits http_limits_default(http_kind kind) {
  return (http_limits){
    .head = 16384,
    .headers = kind == HTTP_KIND_REQUEST ? 100 : 256,
    .target = 8192,
    .interim = 16,
  };
}

void http_parser_init(http_parser *p, http_kind kind, const http_limits *limits) {
  memset(p, 0, sizeof *p);
  p->kind = kind;
  p->limits = limits ? *limits : http_limits_default(kind);
}

void http_parser_fini(http_parser *p) {
  free(p->block);
  free(p->fields);
  free(p->raw);
  memset(p, 0, sizeof *p);
}

void http_parser_trim(http_parser *p) {
  if (p->started || (p->block_cap <= BLOCK_MIN && p->fields_cap <= FIELDS_MIN)) return;
  free(p->block);
  free(p->fields);
  free(p->raw);
  p->block = p->raw = NULL;
  p->fields = NULL;
  p->block_len = p->block_cap = p->nfields = p->fields_cap = p->raw_len = 0;
  p->head = (http_head){.keepalive = p->head.keepalive};
}

void http_parser_keep_raw(http_parser *p) {
  p->keep_raw = true;
}

void http_parser_expect_no_body(http_parser *p) {
  p->no_body = true;
}

http_event http_parser_feed(http_parser *p, const char *data, size_t len, size_t *used) {
  size_t done = 0;
  int ev;
  if (!data) data = "";
  do {
    size_t n = 0;
    ev = step(p, data + done, len - done, &n);
    done += n;
  } while (ev == GO_ON);
  *used = done;
  return (http_event)ev;
}

static http_error cut(const http_parser *p) {
  switch (p->phase) {
    case PH_HEAD:
      return p->block_len && memchr(p->block, '\n', p->block_len) ? HTTP_E_CUT_HEADERS
                                                                  : HTTP_E_CUT_START;
    case PH_LENGTH: return HTTP_E_CUT_BODY;
    case PH_TRAILERS: return HTTP_E_CUT_TRAILERS;
    default: return HTTP_E_CUT_CHUNK;
  }
}

http_event http_parser_finish(http_parser *p) {
  if (p->phase == PH_LENGTH && p->remaining == 0) p->phase = PH_NO_BODY;
  switch (p->phase) {
    case PH_START:
    case PH_START_CR: return p->interim > 0 ? fail(p, HTTP_E_CUT_INTERIM) : HTTP_EV_END;
    case PH_TOLD:
    case PH_UPGRADED: return HTTP_EV_END;
    case PH_CLOSE:
    case PH_NO_BODY:
    case PH_UPGRADE: return (http_event)tell_end(p);
    case PH_FAILED: return HTTP_EV_ERROR;
    default: return fail(p, cut(p));
  }
}

bool http_parser_keepalive(const http_parser *p) {
  return p->phase != PH_FAILED && p->head.keepalive;
}

static http_text text(const http_parser *p, uint32_t offset, uint32_t len) {
  return (http_text){p->block + offset, len};
}

http_text http_parser_method(const http_parser *p) {
  return text(p, 0, p->head.method);
}

http_text http_parser_target(const http_parser *p) {
  const uint32_t around = sizeof "  HTTP/1.1" - 1;
  if (p->head.method == 0) return (http_text){NULL, 0};
  return text(p, p->head.method + 1u, p->head.start_len - p->head.method - around);
}

http_text http_parser_reason(const http_parser *p) {
  const uint32_t before = sizeof "HTTP/1.1 200 " - 1;
  if (p->head.status == 0 || p->head.start_len < before) return (http_text){NULL, 0};
  return text(p, before, p->head.start_len - before);
}

http_text http_parser_raw(const http_parser *p) {
  return (http_text){p->raw, p->raw_len};
}

http_text http_parser_name(const http_parser *p, uint32_t i) {
  return text(p, p->fields[i].name, p->fields[i].name_len);
}

http_text http_parser_value(const http_parser *p, uint32_t i) {
  return text(p, p->fields[i].value, p->fields[i].value_len);
}

http_text http_parser_find(const http_parser *p, const char *name, size_t len, uint32_t *i) {
  for (uint32_t k = i ? *i : 0; k < p->head.count; k++) {
    const http_field *f = &p->fields[k];
    if (f->name_len == len && memcmp(p->block + f->name, name, len) == 0) {
      if (i) *i = k;
      return text(p, f->value, f->value_len);
    }
  }
  return (http_text){NULL, 0};
}

const char *http_parser_error(const http_parser *p) {
  return ERRORS[p->error].sentence;
}

const char *http_parser_error_code(const http_parser *p) {
  return ERRORS[p->error].code;
}

int http_parser_error_status(const http_parser *p) {
  return ERRORS[p->error].status;
}
