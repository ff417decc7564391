// SPDX-License-Identifier: MIT
// Channels between runtimes. See shared_channel.h.
#include "pool/shared_channel.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/mail.h"
#include "core/runtime.h"
#include "core/task.h"
#include "pool/message.h"

#define UNSENT UV_EINVAL  // serves a sender whose item could not be encoded: it finds out why

typedef struct item {
  list link;
  message m;
  const task *t;  // whom it was given to while that waited
} item;

struct shared_channel {
  shared s;
  pthread_mutex_t lock;
  list items, given, ports;
  size_t count;
  lua_Integer capacity;
  size_t nports;
  size_t nreceivers;  // that wait, in all runtimes
  int closed;
};

// Kept by a runtime as long as it has the userdata, and while it is called.
typedef struct port {
  list link;  // in channel->ports, while tasks wait here
  letter call;
  rt *r;
  shared_channel *c;
  list receivers, senders;  // waiters
  const waiter *served;     // a receiver that has its item and is counted no more
  int called, dropped;
  int counted;  // as a job of the runtime, which is then not deadlocked (S38)
} port;

// --- Life ------------------------------------------------------------------------------------

static void free_item(item *i) {
  message_fini(&i->m);
  free(i);
}

static void free_channel(shared *s) {
  shared_channel *c = (shared_channel *)(void *)s;
  for (list *l = c->items.next, *next; l != &c->items; l = next) {
    next = l->next;
    free_item(list_entry(l, item, link));
  }
  pthread_mutex_destroy(&c->lock);
  free(c);
}

static void deliver(letter *l);

static void call(port *p) {
  p->called = 1;
  list_remove(&p->link);
  list_push(&p->c->ports, &p->link);
  mail_post(p->r, &p->call);
}

// Call all ports. The lock is held.
static void call_all(shared_channel *c) {
  for (size_t n = c->nports; n > 0; n--) {
    list *l = list_shift(&c->ports);
    list_push(&c->ports, l);
    port *p = list_entry(l, port, link);
    if (!p->called) call(p);
  }
}

// Give up the reference of a port. Whoever waits while nobody else has the channel learns that he
// does in vain (S38). He has a reference, which he cannot give up without the lock.
static void leave(shared_channel *c) {
  pthread_mutex_lock(&c->lock);
  int is_waited_for = c->nports > 0;
  if (is_waited_for && atomic_fetch_sub_explicit(&c->s.refs, 1, memory_order_acq_rel) == 2)
    call_all(c);
  pthread_mutex_unlock(&c->lock);
  if (!is_waited_for) shared_unref(&c->s);
}

// Another runtime has the channel now: if one waits in vain, it does so no longer.
static void end_vain_wait(shared_channel *c) {
  pthread_mutex_lock(&c->lock);
  if (c->nports == 1 && !list_entry(c->ports.next, port, link)->counted) call_all(c);
  pthread_mutex_unlock(&c->lock);
}

static void *open_port(rt *r, shared *s) {
  port *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  list_init(&p->link);
  list_init(&p->receivers);
  list_init(&p->senders);
  p->call.deliver = deliver;
  p->r = r;
  p->c = (shared_channel *)(void *)s;
  end_vain_wait(p->c);
  return p;
}

// The userdata is gone, so no task waits here, unless its state was closed without a word; but the
// port may have been called.
static void drop_port(void *view) {
  port *p = view;
  shared_channel *c = p->c;
  pthread_mutex_lock(&c->lock);
  int called = p->called;
  p->dropped = 1;
  c->nports -= !list_empty(&p->link);
  list_remove(&p->link);
  pthread_mutex_unlock(&c->lock);
  if (called) return;  // the reference is given up when it is delivered
  free(p);
  leave(c);
}

const shared_type shared_channel_type = {
  .name = "pool channel", .free = free_channel, .view = open_port, .drop_view = drop_port};

void shared_channel_push(lua_State *L, lua_Integer capacity) {
  shared_channel *c = calloc(1, sizeof *c);
  if (!c) {
    luaL_error(L, "not enough memory");
    return;
  }
  shared_init(&c->s, &shared_channel_type);
  pthread_mutex_init(&c->lock, NULL);
  list_init(&c->items);
  list_init(&c->given);
  list_init(&c->ports);
  c->capacity = capacity;
  shared_adopt(L, &c->s);
}

static shared_channel *channel_at(lua_State *L, int object) {
  return (shared_channel *)(void *)shared_of(L, object);
}

size_t shared_channel_count(shared_channel *c, lua_Integer *capacity, int *closed) {
  pthread_mutex_lock(&c->lock);
  size_t n = c->count;
  *closed = c->closed;
  pthread_mutex_unlock(&c->lock);
  *capacity = c->capacity;
  return n;
}

// --- What is possible ------------------------------------------------------------------------

static int has_room(const shared_channel *c) {
  return c->count < (size_t)c->capacity + c->nreceivers;
}

static int can_go_on(const shared_channel *c, const port *p) {
  if (c->closed) return 1;
  return (!list_empty(&p->receivers) && c->count > 0) || (!list_empty(&p->senders) && has_room(c));
}

// Call one port more of those for which something is possible, in turn. The lock is held.
static void call_one(shared_channel *c) {
  for (list *l = c->ports.next; l != &c->ports; l = l->next) {
    port *p = list_entry(l, port, link);
    if (!p->called && can_go_on(c, p)) return call(p);
  }
}

static item *take(shared_channel *c) {
  list *l = list_shift(&c->items);
  if (!l) return NULL;
  c->count--;
  return list_entry(l, item, link);
}

static void append(shared_channel *c, item *i) {
  list_push(&c->items, &i->link);
  c->count++;
}

void shared_channel_close(shared_channel *c) {
  pthread_mutex_lock(&c->lock);
  c->closed = 1;
  call_all(c);
  pthread_mutex_unlock(&c->lock);
}

// --- At once ---------------------------------------------------------------------------------

// The value at `idx` as an item; NULL with a sentence pushed when it cannot be transferred.
static item *encode(lua_State *L, int idx) {
  item *i = calloc(1, sizeof *i);
  if (!i) {
    luaL_error(L, "not enough memory");
    return NULL;
  }
  if (message_encode(L, &i->m, idx, 1, "value", MESSAGE_ONCE) == 0) return i;
  free(i);
  return NULL;
}

static int poll_send(lua_State *L, int object, int idx) {
  shared_channel *c = channel_at(L, object);
  item *i = encode(L, idx);
  if (!i) return err_misuse(L, "%s", lua_tostring(L, -1));
  pthread_mutex_lock(&c->lock);
  int closed = c->closed, sent = !closed && has_room(c);
  if (sent) {
    append(c, i);
    call_one(c);
  }
  pthread_mutex_unlock(&c->lock);
  if (!sent) free_item(i);
  if (closed) return waitable_fail_closed(L, &shared_channel_class, c);
  if (!sent) return -1;
  lua_pushboolean(L, 1);
  return 1;
}

static int l_decode(lua_State *L) {
  const item *i = lua_touserdata(L, 1);
  return message_decode(L, &i->m, 0);
}

// Push the value of the item, which is freed.
static int give(lua_State *L, item *i) {
  lua_pushcfunction(L, l_decode);
  lua_pushlightuserdata(L, i);
  int status = lua_pcall(L, 1, 1, 0);
  free_item(i);
  return status == LUA_OK ? 1 : lua_error(L);
}

static int poll_recv(lua_State *L, int object) {
  shared_channel *c = channel_at(L, object);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  pthread_mutex_lock(&c->lock);
  item *i = take(c);
  int closed = c->closed;
  if (i) call_one(c);
  pthread_mutex_unlock(&c->lock);
  if (i) return give(L, i);
  if (!closed) return -1;
  lua_pushnil(L);
  return 1;
}

static int poll(lua_State *L, int object, int idx) {
  return idx ? poll_send(L, object, idx) : poll_recv(L, object);
}

// --- Waiting ---------------------------------------------------------------------------------

// While tasks wait here: see whether anybody but this runtime can do something. The lock is held.
static void count(port *p) {
  int is_held = atomic_load(&p->c->s.refs) > 1;
  if (is_held && !p->counted) p->r->njobs++;
  if (!is_held && p->counted) p->r->njobs--;
  p->counted = is_held;
}

static void enqueue(waiter *w) {
  port *p = shared_view(w->object);
  shared_channel *c = p->c;
  pthread_mutex_lock(&c->lock);
  if (list_empty(&p->link)) {
    list_push(&c->ports, &p->link);
    c->nports++;
    count(p);
  }
  list_push(w->item ? &p->senders : &p->receivers, &w->link);
  c->nreceivers += !w->item;
  call_one(c);  // since the poll another runtime may have made something possible
  pthread_mutex_unlock(&c->lock);
}

// The lock is held.
static void take_out(port *p, waiter *w) {
  shared_channel *c = p->c;
  list_remove(&w->link);
  if (p->served != w) c->nreceivers -= !w->item;
  if (!list_empty(&p->receivers) || !list_empty(&p->senders)) return;
  list_remove(&p->link);
  c->nports--;
  p->r->njobs -= (unsigned)p->counted;
  p->counted = 0;
}

static void dequeue(waiter *w) {
  port *p = shared_view(w->object);
  pthread_mutex_lock(&p->c->lock);
  take_out(p, w);
  call_one(p->c);  // perhaps what this one was called for is for another
  pthread_mutex_unlock(&p->c->lock);
}

// Serve a receiver with the oldest item; answer whether there was one. The item is found again by
// the task that it was given to.
static int serve_receiver(port *p, waiter *w) {
  shared_channel *c = p->c;
  pthread_mutex_lock(&c->lock);
  item *i = take(c);
  int closed = c->closed;
  if (i) {
    i->t = w->t;
    list_push(&c->given, &i->link);
    p->served = w;
    c->nreceivers--;
  }
  pthread_mutex_unlock(&c->lock);
  if (!i && !closed) return 0;
  waiter_serve(w, i ? SERVED : SERVED_CLOSED, NULL, 0);
  p->served = NULL;
  return 1;
}

static int l_encode(lua_State *L) {
  item *i = encode(L, 1);
  lua_pushlightuserdata(L, i);
  return 1;
}

// The item of a sender, which is encoded on the main state; NULL when that fails.
static item *item_of(rt *r, waiter *w) {
  lua_State *L = r->L;
  if (!lua_checkstack(L, 4) || !lua_checkstack(w->L, 1)) return NULL;
  lua_pushcfunction(L, l_encode);
  lua_pushvalue(w->L, w->item);
  lua_xmove(w->L, L, 1);
  int status = lua_pcall(L, 1, 1, 0);
  item *i = status == LUA_OK ? lua_touserdata(L, -1) : NULL;
  lua_pop(L, 1);
  return i;
}

// Serve a sender if there is room; answer whether it was.
static int serve_sender(port *p, waiter *w) {
  shared_channel *c = p->c;
  item *i = item_of(p->r, w);
  pthread_mutex_lock(&c->lock);
  int closed = c->closed, sent = i && !closed && has_room(c);
  if (sent) append(c, i);
  pthread_mutex_unlock(&c->lock);
  if (i && !sent) free_item(i);
  if (i && !sent && !closed) return 0;
  waiter_serve(w, closed ? SERVED_CLOSED : sent ? SERVED : UNSENT, NULL, 0);
  return 1;
}

static waiter *first(const list *waiters) {
  return list_empty(waiters) ? NULL : list_entry(waiters->next, waiter, link);
}

static void deliver(letter *l) {
  port *p = list_entry(l, port, call);
  shared_channel *c = p->c;
  waiter *w;
  pthread_mutex_lock(&c->lock);
  p->called = 0;
  int dropped = p->dropped;
  if (!list_empty(&p->link)) count(p);
  pthread_mutex_unlock(&c->lock);
  if (dropped) {
    free(p);
    leave(c);
    return;
  }
  while ((w = first(&p->receivers)) && serve_receiver(p, w)) continue;
  while ((w = first(&p->senders)) && serve_sender(p, w)) continue;
  pthread_mutex_lock(&c->lock);
  call_one(c);
  pthread_mutex_unlock(&c->lock);
}

static item *given_to(shared_channel *c, const task *t) {
  item *found = NULL;
  pthread_mutex_lock(&c->lock);
  for (list *l = c->given.next; l != &c->given && !found; l = l->next)
    if (list_entry(l, item, link)->t == t) found = list_entry(l, item, link);
  list_remove(&found->link);
  pthread_mutex_unlock(&c->lock);
  return found;
}

static int finish(lua_State *L, int object, int idx, int rc) {
  shared_channel *c = channel_at(L, object);
  if (rc == SERVED_CLOSED && idx) return waitable_fail_closed(L, &shared_channel_class, c);
  if (rc == SERVED_CLOSED) {
    lua_pushnil(L);
  } else if (!idx) {
    return give(L, given_to(c, task_current(L)));
  } else {
    if (rc == UNSENT) {
      item *i = encode(L, idx);
      if (!i) return err_misuse(L, "%s", lua_tostring(L, -1));
      free_item(i);
      err_no_memory(L);
    }
    lua_pushboolean(L, 1);
  }
  return 1;
}

const waitable shared_channel_class = {"pool channel", 1, poll, enqueue, dequeue, finish};

static int sent(lua_State *L, void *arg, int rc) {
  (void)arg;
  return waitable_done(L, &shared_channel_class, 2, rc);
}

static int received(lua_State *L, void *arg, int rc) {
  (void)arg;
  return waitable_done(L, &shared_channel_class, 0, rc);
}

static const wait_ops send_ops = {"send", waitable_cancel, sent, waitable_describe};
static const wait_ops recv_ops = {"recv", waitable_cancel, received, waitable_describe};

int shared_channel_send(lua_State *L) {
  return waitable_begin(L, &send_ops, &shared_channel_class, 2);
}

int shared_channel_recv(lua_State *L) {
  return waitable_begin(L, &recv_ops, &shared_channel_class, 0);
}
