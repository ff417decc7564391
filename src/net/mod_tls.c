// SPDX-License-Identifier: MIT
// corun.tlscore: contexts and handshakes of TLS; lua/corun/tls.lua makes of them what scripts see,
// and checks their options. Runs on the loop thread.
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/options.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/work.h"
#include "io/stream_lua.h"
#include "io/stream_write.h"
#include "net/mods.h"
#include "net/tls.h"
#include "net/tls_error.h"
#include "net/tls_name.h"

#define CONTEXT_CLASS "corun.tls_context"
#define NAMES_ROOM 16384  // bytes of the names of a certificate that are given

// --- Contexts --------------------------------------------------------------------------------

static tls_context *check_context(lua_State *L, int idx) {
  tls_context *c = *(tls_context **)arg_object(L, idx, CONTEXT_CLASS);
  arg_check(L, c, idx, "the context is empty");
  return c;
}

static int l_context_gc(lua_State *L) {
  tls_context **box = lua_touserdata(L, 1);
  if (*box) tls_context_unref(*box);
  *box = NULL;
  return 0;
}

static int l_context_tostring(lua_State *L) {
  const tls_context *c = check_context(L, 1);
  lua_pushfstring(L, "tls context (%s)", c->is_server ? "server" : "client");
  return 1;
}

typedef struct context_work {
  work w;
  tls_settings set;
  tls_context *made;
  char why[512];
} context_work;

static void make_context(work *w) {
  context_work *m = (context_work *)(void *)w;
  m->made = tls_context_new(&m->set, m->why, sizeof m->why);
}

// The frame of context: its settings, the function that the script called and its target, the
// userdata.
enum { SETTINGS = 1, CALLED, TARGET, MADE };

static int give_context(lua_State *L, work *w, int rc) {
  context_work *m = (context_work *)(void *)w;
  if (rc < 0) return work_fail(L, lua_tostring(L, CALLED), lua_tostring(L, TARGET));
  if (!m->made)
    return err_return(L, "ETLS", lua_tostring(L, CALLED), lua_tostring(L, TARGET), "%s", m->why);
  *(tls_context **)lua_touserdata(L, MADE) = m->made;
  m->made = NULL;
  lua_settop(L, MADE);
  return 1;
}

static void drop_context(work *w) {
  context_work *m = (context_work *)(void *)w;
  if (m->made) tls_context_unref(m->made);
  tls_settings_fini(&m->set);
}

static const work_type context_type = {.op = "tls_context",
                                       .run = make_context,
                                       .done = give_context,
                                       .drop = drop_context,
                                       .is_abandoned = 1};

static char *copy(lua_State *L, const char *s, size_t n) {
  char *p = malloc(n + 1);
  if (p) {
    memcpy(p, s, n);
    p[n] = 0;
  } else {
    luaL_error(L, "not enough memory");
  }
  return p;
}

// The fields of the table of settings, which tls.lua has checked.
static void read_settings(lua_State *L, tls_settings *set) {
  static const char *const names[TLS_TEXTS] = {
    [TLS_CA] = "ca",        [TLS_CERT] = "cert",
    [TLS_KEY] = "key",      [TLS_PASSPHRASE] = "passphrase",
    [TLS_CRL] = "crl",      [TLS_CIPHERS] = "ciphers",
    [TLS_SUITES] = "suites"};
  const char *op = lua_tostring(L, CALLED);
  const int idx = SETTINGS;
  size_t n;
  for (int i = 0; i < TLS_TEXTS; i++) {
    const char *text = opt_string(L, idx, op, names[i], &n);
    if (text) set->text[i] = copy(L, text, n);
  }
  const char *alpn = opt_string(L, idx, op, "alpn", &n);
  if (alpn) {
    set->alpn = copy(L, alpn, n);
    set->alpn_len = n;
  }
  set->is_server = opt_flag(L, idx, op, "server", 0);
  set->verify = (int)opt_count(L, idx, op, "verify", 0, TLS_VERIFY_NONE);
  set->min = (int)opt_count(L, idx, op, "min", 0, 0);
  set->max = (int)opt_count(L, idx, op, "max", 0, 0);
  set->has_resumed = opt_flag(L, idx, op, "resume", 1);
}

// context(settings, op[, target])
static int l_context(lua_State *L) {
  arg_type(L, SETTINGS, LUA_TTABLE);
  arg_string(L, CALLED);
  task_checkpoint(L);
  wait_check(L);
  lua_settop(L, TARGET);
  tls_context **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, CONTEXT_CLASS);
  context_work *m = (context_work *)(void *)work_new(L, &context_type, sizeof *m);
  read_settings(L, &m->set);
  return work_begin(L, &m->w, TIMER_NEVER);
}

static int l_add_name(lua_State *L) {
  tls_context *c = check_context(L, 1), *other = check_context(L, 3);
  if (tls_context_add_name(c, arg_string(L, 2), other) < 0)  // the name was checked
    return luaL_error(L, "not enough memory");
  return 0;
}

// is_name(text, is_pattern): whether a host can have this name, or such a pattern be one of names.
static int l_is_name(lua_State *L) {
  char host[ADDRESS_HOST + 1];
  size_t len;
  const char *name = arg_lstring(L, 1, &len);
  int rc = lua_toboolean(L, 2) ? tls_name_make_pattern(name, host) : tls_name_make(name, host);
  lua_pushboolean(L, rc != UV_EINVAL && strlen(name) == len);
  return 1;
}

// --- The handshake: the frame is what start was given ----------------------------------------

enum { STREAM = 1, SECONDS, OP, CONTEXT, NAME, KEY, WITHIN };

static int fail(lua_State *L, stream *s, int rc) {
  const char *op = lua_tostring(L, OP);
  char target[128] = "";
  uint32_t site = tls_of(s) ? tls_of(s)->site : 0;
  s->t->describe(s, target, sizeof target);
  if (rc == UV_ETIMEDOUT)
    err_return(L, "ETIMEDOUT", op, target, "the TLS handshake took too long");
  else
    stream_fail(L, s, rc, op);
  stream_close(s, site);
  return 2;
}

// Close the stream, since there can be no handshake. `fmt` has one %s.
static int refuse(lua_State *L, stream *s, const char *fmt, const char *what) {
  char target[128] = "";
  s->t->describe(s, target, sizeof target);
  stream_close(s, 0);
  return err_return(L, "ETLS", lua_tostring(L, OP), target, fmt, what);
}

static int on_shaken(lua_State *L, void *arg, int rc) {
  stream *s = arg;
  rc = tls_finish(s, rc);
  if (rc < 0) return fail(L, s, rc);
  lua_settop(L, STREAM);
  return 1;
}

static const wait_ops handshake_ops = {"the TLS handshake with", tls_cancel, on_shaken,
                                       stream_describe_wait};

static uint64_t limit_of(lua_State *L) {
  return lua_isnil(L, SECONDS) ? TIMER_NEVER : timer_after(rt_of(L), lua_tonumber(L, SECONDS));
}

// Bytes that came before the handshake are none that may be answered later as if they had come
// under its protection (CVE-2011-0411). A client's can only be its first message, come early.
static int is_injected(const stream *s, const tls_context *c) {
  size_t n;
  const char *p = stream_peek(s, &n);
  return n && !(c->is_server && p[0] == 0x16 && (n < 2 || p[1] == 3));
}

static void refuse_twice(lua_State *L, const stream *s, const char *op) {
  const tls *x = tls_of(s);
  if (s->reserved || (x && x->state == TLS_SHAKING))
    err_raise(L, "EBUSY", op, NULL, "another task's TLS handshake is under way");
  if (x && (x->outer || !lua_toboolean(L, WITHIN)))
    err_misuse(L, "%s: the stream has TLS already", op);
}

static int begin(lua_State *L, stream *s) {
  tls_context *c = check_context(L, CONTEXT);
  if (is_injected(s, c)) {
    size_t n;
    stream_peek(s, &n);
    lua_pushinteger(L, (lua_Integer)n);
    return refuse(L, s,
                  "%s bytes came before the handshake that are no part of it: somebody on the way "
                  "may have put them in",
                  lua_tostring(L, -1));
  }
  if (s->in_rc) return fail(L, s, s->in_rc == UV_EOF ? UV_ENOTCONN : s->in_rc);
  const char *name = lua_tostring(L, NAME);
  int rc = tls_attach(s, c, name, lua_tostring(L, KEY));
  if (rc == UV_EINVAL) return refuse(L, s, "no certificate can be for the name \"%s\"", name);
  if (rc < 0) return fail(L, s, rc);
  return tls_handshake(L, s, limit_of(L), &handshake_ops);
}

static wait_answer cancel_drain(task *t, void *arg) {
  list_remove(&t->wlink);
  stream_close(arg, 0);
  return WAIT_STOPPED;
}

static int on_written(lua_State *L, void *arg, int rc);

static const wait_ops drain_ops = {"what was written to reach", cancel_drain, on_written,
                                   stream_describe_wait};

// What was written before must be out, and nothing written by others after it: it is not to be
// encrypted.
static int reserve_drained(lua_State *L, stream *s) {
  if (!stream_reserve(s)) return stream_wait_drained(L, s, limit_of(L), &drain_ops, s);
  lua_settop(L, STREAM);
  return 1;
}

static int on_written(lua_State *L, void *arg, int rc) {
  stream *s = arg;
  rc = stream_take_turn(s, rc);
  return rc < 0 ? fail(L, s, rc) : reserve_drained(L, s);
}

static void check_start(lua_State *L, stream *s, const char *op) {
  if (!tls_is_possible(s)) arg_self_error(L, op, "stream over a socket");
  if (s->shut) err_raise(L, "ECLOSED", op, NULL, "the write side was shut down");
  if (s->reader) err_raise(L, "EBUSY", op, NULL, "another task is reading from this stream");
  task_checkpoint(L);
  wait_check(L);
}

// reserve(stream, seconds, op): before start, where others have the stream too: once what was
// written before is out, nobody reads or writes until start, or release. Answers the stream.
static int l_reserve(lua_State *L) {
  const char *op = arg_string(L, OP);
  stream *s = stream_check(L, STREAM, op);
  lua_settop(L, OP);
  refuse_twice(L, s, op);
  check_start(L, s, op);
  return reserve_drained(L, s);
}

static int l_release(lua_State *L) {
  stream_release(stream_check(L, STREAM, "starttls"));
  return 0;
}

// start(stream, seconds, op, context, name, key[, within]): with `within` also inside of the TLS
// that the stream may have. Nothing may be queued for writing.
static int l_start(lua_State *L) {
  const char *op = arg_string(L, OP);
  stream *s = stream_check(L, STREAM, op);
  check_context(L, CONTEXT);
  lua_settop(L, WITHIN);
  if (!s->reserved) refuse_twice(L, s, op);
  check_start(L, s, op);
  stream_release(s);
  return begin(L, s);
}

// target(stream, op): whom it leads to, for the function that the script called.
static int l_target(lua_State *L) {
  const char *op = arg_string(L, 2);
  if (!stream_is(L, 1)) return arg_self_error(L, op, "stream");
  const stream *s = stream_check(L, 1, op);
  char target[128] = "";
  s->t->describe(s, target, sizeof target);
  lua_pushstring(L, target);
  return 1;
}

// --- What is known of a connection -----------------------------------------------------------

static void set_text(lua_State *L, const char *key, const char *value) {
  if (!value) return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

static void set_names(lua_State *L, const openssl_tls *f, const X509 *x) {
  char *text = lua_newuserdatauv(L, NAMES_ROOM, 0);
  tls_names_of(f, x, 0, text, NAMES_ROOM);
  lua_newtable(L);
  lua_Integer count = 0;
  for (const char *p = text; *p;) {
    size_t n = strcspn(p, ",");
    lua_pushlstring(L, p, n);
    lua_rawseti(L, -2, ++count);
    p += n;
    p += strspn(p, ", ");
  }
  lua_setfield(L, -3, "names");
  lua_pop(L, 1);
}

static void set_fingerprint(lua_State *L, const openssl_tls *f, const X509 *x) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  luaL_Buffer b;
  if (!f->X509_digest(x, f->EVP_sha256(), digest, &n)) return;
  luaL_buffinit(L, &b);
  for (unsigned i = 0; i < n; i++) {
    luaL_addchar(&b, "0123456789abcdef"[digest[i] >> 4]);
    luaL_addchar(&b, "0123456789abcdef"[digest[i] & 15]);
  }
  luaL_pushresult(&b);
  lua_setfield(L, -2, "fingerprint");
}

// The certificate's one reference is the SSL's: nothing is lost when this raises.
static void push_certificate(lua_State *L, const openssl_tls *f, const X509 *x) {
  char text[512];
  lua_newtable(L);
  tls_name_text(f, f->X509_get_subject_name(x), text, sizeof text);
  set_text(L, "subject", text);
  tls_name_text(f, f->X509_get_issuer_name(x), text, sizeof text);
  set_text(L, "issuer", text);
  lua_pushinteger(L, tls_time_of(f, f->X509_get0_notBefore(x)));
  lua_setfield(L, -2, "not_before");
  lua_pushinteger(L, tls_time_of(f, f->X509_get0_notAfter(x)));
  lua_setfield(L, -2, "not_after");
  set_names(L, f, x);
  set_fingerprint(L, f, x);
}

static int l_info(lua_State *L) {
  const stream *s = stream_check(L, 1, "tls");
  const tls *x = tls_of(s);
  lua_settop(L, 1);
  if (!x || x->state == TLS_SHAKING) {
    lua_pushnil(L);
    return 1;
  }
  const openssl_tls *f = x->f;
  const unsigned char *alpn;
  unsigned n = 0;
  luaL_checkstack(L, 10, NULL);
  lua_newtable(L);
  set_text(L, "version", f->SSL_get_version(x->ssl));
  set_text(L, "cipher", f->SSL_CIPHER_get_name(f->SSL_get_current_cipher(x->ssl)));
  f->SSL_get0_alpn_selected(x->ssl, &alpn, &n);
  if (n) {
    lua_pushlstring(L, (const char *)alpn, n);
    lua_setfield(L, -2, "alpn");
  }
  set_text(L, "server_name", f->SSL_get_servername(x->ssl, TLSEXT_NAMETYPE_host_name));
  lua_pushboolean(L, f->SSL_session_reused(x->ssl));
  lua_setfield(L, -2, "resumed");
  X509 *cert = f->SSL_get1_peer_certificate(x->ssl);
  if (cert) {
    f->X509_free(cert);  // the session has another reference
    push_certificate(L, f, cert);
    lua_setfield(L, -2, "peer_certificate");
  }
  return 1;
}

// --- Opening ---------------------------------------------------------------------------------

// extend(class, methods): give the streams of a class further methods.
static int l_extend(lua_State *L) {
  arg_type(L, 2, LUA_TTABLE);
  luaL_getmetatable(L, arg_string(L, 1));
  lua_getfield(L, -1, "__index");
  for (lua_pushnil(L); lua_next(L, 2);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  return 0;
}

static int l_is_context(lua_State *L) {
  const tls_context *const *box = luaL_testudata(L, 1, CONTEXT_CLASS);
  lua_pushstring(L, !box || !*box ? NULL : (*box)->is_server ? "server" : "client");
  return 1;
}

int luaopen_corun_tlscore(lua_State *L) {
  static const luaL_Reg functions[] = {{"context", l_context},
                                       {"add_name", l_add_name},
                                       {"is_name", l_is_name},
                                       {"start", l_start},
                                       {"reserve", l_reserve},
                                       {"release", l_release},
                                       {"info", l_info},
                                       {"is_context", l_is_context},
                                       {"extend", l_extend},
                                       {"target", l_target},
                                       {NULL, NULL}};
  if (luaL_newmetatable(L, CONTEXT_CLASS)) {
    static const luaL_Reg meta[] = {
      {"__gc", l_context_gc}, {"__tostring", l_context_tostring}, {NULL, NULL}};
    luaL_setfuncs(L, meta, 0);
    lua_pushliteral(L, "tls context");
    lua_setfield(L, -2, "__name");
  }
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
