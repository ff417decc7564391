// SPDX-License-Identifier: MIT
// Signals. See signals.h. The handles live on the C heap, apart from the userdata; host.c remembers
// what a signal did before the first handle of the process for it was started.
#include "core/signals.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/handle.h"
#include "core/host.h"
#include "core/runtime.h"
#include "core/wait.h"

typedef struct watch {
  handle h;
  uv_signal_t sig;
  signals *owner;  // NULL once it is closed
  int number;
} watch;

static const struct {
  const char *name;
  int number;  // -1: cannot be listened to
} names[] = {{"SIGHUP", SIGHUP},
             {"SIGINT", SIGINT},
             {"SIGQUIT", SIGQUIT},
             {"SIGTERM", SIGTERM},
             {"SIGUSR1", SIGUSR1},
             {"SIGUSR2", SIGUSR2},
             {"SIGALRM", SIGALRM},
             {"SIGCHLD", SIGCHLD},
             {"SIGCONT", SIGCONT},
             {"SIGPIPE", SIGPIPE},
             {"SIGTSTP", SIGTSTP},
             {"SIGTTIN", SIGTTIN},
             {"SIGTTOU", SIGTTOU},
             {"SIGXCPU", SIGXCPU},
             {"SIGXFSZ", SIGXFSZ},
             {"SIGPROF", SIGPROF},
             {"SIGIO", SIGIO},
             {"SIGVTALRM", SIGVTALRM},
             {"SIGWINCH", SIGWINCH},
             // not to be caught, faults of the program, and the one that interrupts tasks
             {"SIGKILL", -1},
             {"SIGSTOP", -1},
             {"SIGSEGV", -1},
             {"SIGBUS", -1},
             {"SIGFPE", -1},
             {"SIGILL", -1},
             {"SIGABRT", -1},
             {"SIGTRAP", -1},
             {"SIGSYS", -1},
             {"SIGURG", -1}};

enum { NAMES = sizeof names / sizeof *names };

struct signals {
  list waiters;
  watch *watches[NAMES];
  int arrived[NAMES];  // numbers of the signals not received yet, oldest first
  int n, narrived, nwaiting, closed;
  uint64_t brief;  // bit N: the script calls signal N without "SIG", so it gets that name
};

int signal_number(const char *name) {
  int skip = strncmp(name, "SIG", 3) == 0 ? 0 : 3;
  for (int i = 0; i < NAMES; i++)
    if (strcmp(names[i].name + skip, name) == 0) return names[i].number;
  return 0;
}

static const char *name_of(const signals *s, int number) {
  int i = 0;
  while (names[i].number != number) i++;
  return names[i].name + (s->brief >> number & 1 ? 3 : 0);
}

signals *signals_new(lua_State *L) {
  signals *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  list_init(&s->waiters);
  return s;
}

// --- The handles -----------------------------------------------------------------------------

static void on_closed(uv_handle_t *h) {
  watch *w = h->data;
  handle_fini(&w->h);
  free(w);
}

// Between the moment when libuv lets go of a signal and the moment when it does again what it did
// before, it would end the process: hold signals back.
static void stop(handle *h) {
  watch *w = list_entry(h, watch, h);
  sigset_t all, old;
  if (uv_is_closing((uv_handle_t *)&w->sig)) return;
  w->owner = NULL;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  uv_close((uv_handle_t *)&w->sig, on_closed);
  host_unlisten(w->number);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void on_signal(uv_signal_t *h, int number) {
  signals *s = ((watch *)h->data)->owner;
  if (!s) return;
  if (!list_empty(&s->waiters)) {
    waiter_serve(list_entry(s->waiters.next, waiter, link), number, NULL, 0);
    return;
  }
  for (int i = 0; i < s->narrived; i++)
    if (s->arrived[i] == number) return;
  s->arrived[s->narrived++] = number;
}

static int listens(const signals *s, int number) {
  for (int i = 0; i < s->n; i++)
    if (s->watches[i]->number == number) return 1;
  return 0;
}

int signals_add(lua_State *L, signals *s, const char *name) {
  rt *r = rt_of(L);
  int number = signal_number(name);
  if (listens(s, number)) return 0;
  watch *w = malloc(sizeof *w);
  if (!w) return UV_ENOMEM;
  int rc = uv_signal_init(&r->loop, &w->sig);
  if (rc < 0) {
    free(w);
    return rc;
  }
  w->sig.data = w;
  w->owner = s;
  w->number = number;
  uv_unref((uv_handle_t *)&w->sig);
  handle_init(r, &w->h, "signal", stop);
  host_listen(number);
  rc = uv_signal_start(&w->sig, on_signal, number);
  if (rc < 0) {
    stop(&w->h);
    return rc;
  }
  s->watches[s->n++] = w;
  if (strncmp(name, "SIG", 3) != 0) s->brief |= (uint64_t)1 << number;
  return 0;
}

void signals_close(signals *s) {
  if (s->closed) return;
  s->closed = 1;
  while (!list_empty(&s->waiters))
    waiter_serve(list_entry(s->waiters.next, waiter, link), SERVED_CLOSED, NULL, 0);
  while (s->n > 0) stop(&s->watches[--s->n]->h);
}

// --- Receiving -------------------------------------------------------------------------------

static int poll(lua_State *L, int object, int item) {
  (void)item;
  signals *s = lua_touserdata(L, object);
  if (s->narrived) {
    lua_pushstring(L, name_of(s, s->arrived[0]));
    memmove(s->arrived, s->arrived + 1, (size_t)--s->narrived * sizeof *s->arrived);
    return 1;
  }
  if (!s->closed) return -1;
  lua_pushnil(L);
  return 1;
}

static void enqueue(waiter *w) {
  signals *s = w->object;
  list_push(&s->waiters, &w->link);
  if (s->nwaiting++ > 0) return;
  for (int i = 0; i < s->n; i++) uv_ref((uv_handle_t *)&s->watches[i]->sig);
}

static void dequeue(waiter *w) {
  signals *s = w->object;
  list_remove(&w->link);
  if (--s->nwaiting > 0) return;
  for (int i = 0; i < s->n; i++) uv_unref((uv_handle_t *)&s->watches[i]->sig);
}

static int finish(lua_State *L, int object, int item, int rc) {
  (void)item;
  if (rc == SERVED_CLOSED)
    lua_pushnil(L);
  else
    lua_pushstring(L, name_of(lua_touserdata(L, object), rc));
  return 1;
}

const waitable signals_class = {"signals", 0, poll, enqueue, dequeue, finish};

static int received(lua_State *L, void *arg, int rc) {
  (void)arg;
  return waitable_done(L, &signals_class, 0, rc);
}

static const wait_ops recv_ops = {"recv", waitable_cancel, received, waitable_describe};

int signals_recv(lua_State *L) {
  return waitable_begin(L, &recv_ops, &signals_class, 0);
}

int signals_count(const signals *s) {
  return s->narrived;
}

void signals_push_names(lua_State *L, const signals *s) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 0; i < s->n; i++) {
    if (i > 0) luaL_addstring(&b, ", ");
    luaL_addstring(&b, name_of(s, s->watches[i]->number));
  }
  if (s->closed) luaL_addstring(&b, "closed");
  luaL_pushresult(&b);
}
