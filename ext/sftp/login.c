// SPDX-License-Identifier: MIT
// From a socket to a session of SFTP: connect, exchange keys, authenticate, start the service. What
// the keys and passwords are, and whether the server's key is the right one, is for the Lua half
// to say. What computes much (key exchange, keys of users, which may be encrypted) is done on a
// thread.
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ssh.h"

// --- Connect ---------------------------------------------------------------------------------

static int fail_connect(lua_State *L, ssh *s, int rc) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
  return corun_pusherror(L, rc, NULL, NULL);
}

static int on_connected(lua_State *L, void *arg, int events) {
  ssh *s = arg;
  if (s->is_closed) return ssh_fail(L, s, 0);
  int error = events < 0 ? -events : 0;
  socklen_t size = sizeof error;
  if (!error && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  if (error) return fail_connect(L, s, -error);
  lua_pushboolean(L, 1);
  return 1;
}

// Answers 0, 1 when it takes time, or a negative errno.
static int begin_connect(ssh *s, const struct addrinfo *a) {
  int one = 1;
  s->fd = socket(a->ai_family, SOCK_STREAM, 0);
  if (s->fd < 0 || fcntl(s->fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(s->fd, F_SETFL, O_NONBLOCK) < 0)
    return -errno;
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(s->fd, a->ai_addr, a->ai_addrlen) == 0) return 0;
  return errno == EINPROGRESS || errno == EINTR ? 1 : -errno;
}

// connection, ip, port, seconds -> true | nil, err
int ssh_l_connect(lua_State *L) {
  ssh *s = ssh_check(L);
  const char *ip = luaL_checkstring(L, 2), *port = luaL_checkstring(L, 3);
  double limit = luaL_checknumber(L, 4);
  corun_checkpoint(L);
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
  struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  struct addrinfo *a;
  if (getaddrinfo(ip, port, &hints, &a) != 0) return fail_connect(L, s, -EINVAL);
  int rc = begin_connect(s, a);
  freeaddrinfo(a);
  if (rc < 0) return fail_connect(L, s, rc);
  if (rc == 0) return on_connected(L, s, 0);
  return corun_await_fdk(L, s->fd, CORUN_WRITABLE, limit, s, on_connected);
}

// --- Key exchange ----------------------------------------------------------------------------

// Of the names in `wanted` those that libssh2 knows: its own filter copies over itself.
static void prefer(lua_State *L, ssh *s, int method, const char *wanted) {
  const char **known;
  int n = libssh2_session_supported_algs(s->session, method, &known);
  if (n <= 0) return;
  luaL_Buffer chosen;
  luaL_buffinit(L, &chosen);
  for (const char *p = wanted; *p;) {
    size_t size = strcspn(p, ",");
    for (int i = 0; i < n; i++) {
      if (strlen(known[i]) != size || memcmp(known[i], p, size) != 0) continue;
      if (luaL_bufflen(&chosen) > 0) luaL_addchar(&chosen, ',');
      luaL_addlstring(&chosen, p, size);
      break;
    }
    p += size + (p[size] == ',');
  }
  luaL_pushresult(&chosen);
  libssh2_free(s->session, known);
  if (lua_rawlen(L, -1) > 0) libssh2_session_method_pref(s->session, method, lua_tostring(L, -1));
  lua_pop(L, 1);
}

static ssize_t step_handshake(ssh *s) {
  return libssh2_session_handshake(s->session, s->fd);
}

static int done_handshake(lua_State *L, ssh *s) {
  size_t size;
  int type;
  const char *key = libssh2_session_hostkey(s->session, &size, &type);
  if (!key) return ssh_fail(L, s, LIBSSH2_ERROR_HOSTKEY_INIT);
  lua_pushlstring(L, key, size);
  return 1;
}

// connection, types of host keys, the preferred first, ciphers, MACs -> the server's key | nil, err
int ssh_l_handshake(lua_State *L) {
  static const int methods[] = {LIBSSH2_METHOD_HOSTKEY, LIBSSH2_METHOD_CRYPT_CS,
                                LIBSSH2_METHOD_CRYPT_SC, LIBSSH2_METHOD_MAC_CS,
                                LIBSSH2_METHOD_MAC_SC};
  ssh *s = ssh_check(L);
  for (int i = 0; i < 5; i++) prefer(L, s, methods[i], luaL_checkstring(L, 2 + (i + 1) / 2));
  ssh_call *c = ssh_prepare(L, s, 0, 0);
  c->step = step_handshake;
  c->done = done_handshake;
  c->on_thread = 1;
  return ssh_begin(L, s);
}

// --- Authentication --------------------------------------------------------------------------

static int done_true(lua_State *L, ssh *s) {
  (void)s;
  lua_pushboolean(L, 1);
  return 1;
}

static ssize_t step_methods(ssh *s) {
  const char *list = libssh2_userauth_list(s->session, s->call.a, (unsigned)s->call.na);
  if (list) {
    s->call.b = list;
    return 0;
  }
  s->call.b = NULL;
  return libssh2_userauth_authenticated(s->session) ? 0 : libssh2_session_last_errno(s->session);
}

static int done_methods(lua_State *L, ssh *s) {
  if (s->call.b)
    lua_pushstring(L, s->call.b);
  else
    lua_pushboolean(L, 1);
  return 1;
}

// connection, user -> true: no more is needed; the names of methods with commas between | nil, err
int ssh_l_methods(lua_State *L) {
  ssh *s = ssh_check(L);
  ssh_call *c = ssh_prepare(L, s, 2, 0);
  c->step = step_methods;
  c->done = done_methods;
  return ssh_begin(L, s);
}

static ssize_t step_password(ssh *s) {
  const ssh_call *c = &s->call;
  return libssh2_userauth_password_ex(s->session, c->a, (unsigned)c->na, c->b, (unsigned)c->nb,
                                      NULL);
}

// connection, user, password -> true | nil, err
int ssh_l_password(lua_State *L) {
  ssh *s = ssh_check(L);
  ssh_call *c = ssh_prepare(L, s, 2, 3);
  c->step = step_password;
  c->done = done_true;
  return ssh_begin(L, s);
}

// A key that cannot be read is one that was refused: nothing was sent yet.
static ssize_t step_key(ssh *s) {
  const ssh_call *c = &s->call;
  int rc =
    libssh2_userauth_publickey_frommemory(s->session, c->a, c->na, NULL, 0, c->b, c->nb, s->buffer);
  if (rc == LIBSSH2_ERROR_PROTO || rc == LIBSSH2_ERROR_METHOD_NONE ||
      rc == LIBSSH2_ERROR_METHOD_NOT_SUPPORTED || rc == LIBSSH2_ERROR_DECRYPT || rc == -1)
    return LIBSSH2_ERROR_FILE;
  return rc;
}

// connection, user, private key, its passphrase -> true | nil, err
int ssh_l_key(lua_State *L) {
  size_t size;
  ssh *s = ssh_check(L);
  const char *passphrase = luaL_checklstring(L, 4, &size);
  ssh_reserve(L, s, size + 1);
  ssh_call *c = ssh_prepare(L, s, 2, 3);
  memcpy(s->buffer, passphrase, size + 1);
  c->step = step_key;
  c->done = done_true;
  c->on_thread = 1;
  return ssh_begin(L, s);
}

// --- Prompts ---------------------------------------------------------------------------------

// fn, prompt, echo -> its answer
static int l_ask(lua_State *L) {
  lua_call(L, 2, 1);
  luaL_checkstring(L, -1);
  return 1;
}

// The answer to one prompt, from the function at index 3 of the task.
static void answer(ssh *s, const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompt,
                   LIBSSH2_USERAUTH_KBDINT_RESPONSE *response) {
  lua_State *L = s->L;
  lua_pushcfunction(L, l_ask);
  lua_pushvalue(L, 3);
  lua_pushlstring(L, (const char *)prompt->text, prompt->length);
  lua_pushboolean(L, prompt->echo);
  if (lua_pcall(L, 3, 1, 0) != LUA_OK) {
    lua_setiuservalue(L, 1, SSH_HELD_ERROR);
    s->has_raised = 1;
    return;
  }
  size_t size;
  const char *text = lua_tolstring(L, -1, &size);
  response->text = ssh_alloc(s, size + 1);
  if (response->text) {
    memcpy(response->text, text, size + 1);
    response->length = (unsigned)size;
  }
  lua_pop(L, 1);
}

static LIBSSH2_USERAUTH_KBDINT_RESPONSE_FUNC(on_prompts) {
  ssh *s = *abstract;
  (void)name, (void)name_len, (void)instruction, (void)instruction_len;
  for (int i = 0; i < num_prompts; i++) {
    responses[i].text = NULL;
    responses[i].length = 0;
    if (s->L && !s->has_raised && lua_checkstack(s->L, 6)) answer(s, &prompts[i], &responses[i]);
  }
  if (s->has_raised) ssh_kill(s, SSH_BROKEN);
}

static ssize_t step_prompts(ssh *s) {
  return libssh2_userauth_keyboard_interactive_ex(s->session, s->call.a, (unsigned)s->call.na,
                                                  on_prompts);
}

// connection, user, fn(prompt, echo) -> true | nil, err; raises what fn raises
int ssh_l_prompts(lua_State *L) {
  ssh *s = ssh_check(L);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  ssh_call *c = ssh_prepare(L, s, 2, 0);
  c->step = step_prompts;
  c->done = done_true;
  return ssh_begin(L, s);
}

// --- Agents ----------------------------------------------------------------------------------

// Who signs is asked in between: libssh2 calls this again until it no longer answers "again".
static LIBSSH2_USERAUTH_PUBLICKEY_SIGN_FUNC(on_sign) {
  ssh *s = *abstract;
  (void)session;
  if (s->refuses || s->error) return -1;
  if (s->signature) {
    *sig = ssh_alloc(s, s->signature_size);
    if (!*sig) return -1;
    memcpy(*sig, s->signature, s->signature_size);
    *sig_len = s->signature_size;
    return 0;
  }
  free(s->to_sign);
  s->to_sign = malloc(data_len);
  if (!s->to_sign) return -1;
  memcpy(s->to_sign, data, data_len);
  s->to_sign_size = data_len;
  s->wants_sign = 1;
  return LIBSSH2_ERROR_EAGAIN;
}

static ssize_t step_agent(ssh *s) {
  const ssh_call *c = &s->call;
  void *self = s;
  int rc = libssh2_userauth_publickey(s->session, c->a, (const unsigned char *)c->b, c->nb, on_sign,
                                      &self);
  return rc == LIBSSH2_ERROR_EAGAIN && s->wants_sign ? 0 : rc;
}

static int done_agent(lua_State *L, ssh *s) {
  if (!s->wants_sign) return done_true(L, s);
  s->wants_sign = 0;
  lua_pushlstring(L, s->to_sign, s->to_sign_size);
  return 1;
}

// connection, user, public key[, signature | false] -> true | what is to be signed | nil, err
int ssh_l_agent(lua_State *L) {
  ssh *s = ssh_check(L);
  ssh_call *c = ssh_prepare(L, s, 2, 3);
  s->signature = lua_tolstring(L, 4, &s->signature_size);
  s->refuses = lua_isboolean(L, 4);
  c->step = step_agent;
  c->done = done_agent;
  return ssh_begin(L, s);
}

// --- The service -----------------------------------------------------------------------------

static ssize_t step_start(ssh *s) {
  s->sftp = libssh2_sftp_init(s->session);
  return s->sftp ? 0 : libssh2_session_last_errno(s->session);
}

// connection -> true | nil, err
int ssh_l_start(lua_State *L) {
  ssh *s = ssh_check(L);
  ssh_call *c = ssh_prepare(L, s, 0, 0);
  c->step = step_start;
  c->done = done_true;
  return ssh_begin(L, s);
}
