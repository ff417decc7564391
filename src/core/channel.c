// SPDX-License-Identifier: MIT
// Channels. See channel.h.
#include "core/channel.h"

#include <lauxlib.h>

#include "core/wait.h"

#define RING 1  // the user value that holds the ring
#define LEAST_ROOM 8u
#define MOST_ROOM (1u << 30)

channel *channel_new(lua_State *L, lua_Integer capacity) {
  channel *c = lua_newuserdatauv(L, sizeof *c, 1);
  list_init(&c->senders);
  list_init(&c->receivers);
  c->capacity = capacity;
  c->count = c->head = c->room = 0;
  c->closed = 0;
  return c;
}

static waiter *first(const list *queue) {
  return list_empty(queue) ? NULL : list_entry(queue->next, waiter, link);
}

// --- The ring --------------------------------------------------------------------------------

static lua_Integer slot(const channel *c, uint32_t i) {
  return (lua_Integer)((c->head + i) & (c->room - 1)) + 1;
}

static void grow(lua_State *L, int object, channel *c) {
  if (c->room == MOST_ROOM) luaL_error(L, "too many items in a channel");
  uint32_t room = c->room ? c->room * 2 : LEAST_ROOM;
  lua_createtable(L, (int)room, 0);  // a finaliser run by this may use the channel too
  if (c->room >= room) {
    lua_pop(L, 1);
    return;
  }
  lua_getiuservalue(L, object, RING);
  for (uint32_t i = 0; i < c->count; i++) {
    lua_rawgeti(L, -1, slot(c, i));
    lua_rawseti(L, -3, (lua_Integer)i + 1);
  }
  lua_pop(L, 1);
  lua_setiuservalue(L, object, RING);
  c->head = 0;
  c->room = room;
}

// Make room for one more item if one will be kept. Raises on out of memory.
static void reserve(lua_State *L, int object, channel *c) {
  while (c->count == c->room && c->count < c->capacity && list_empty(&c->receivers))
    grow(L, object, c);
}

// Append the value at `item`, for which there is room.
static void append(lua_State *L, int object, channel *c, int item) {
  lua_getiuservalue(L, object, RING);
  lua_pushvalue(L, item);
  lua_rawseti(L, -2, slot(c, c->count));
  lua_pop(L, 1);
  c->count++;
}

static void push_oldest(lua_State *L, int object, channel *c) {
  lua_getiuservalue(L, object, RING);
  lua_rawgeti(L, -1, slot(c, 0));
  lua_pushnil(L);
  lua_rawseti(L, -3, slot(c, 0));
  lua_remove(L, -2);
  c->head = (c->head + 1) & (c->room - 1);
  c->count--;
}

// --- Sending and receiving -------------------------------------------------------------------

static int poll_send(lua_State *L, int object, int item) {
  channel *c = lua_touserdata(L, object);
  reserve(L, object, c);
  if (c->closed) return waitable_fail_closed(L, &channel_class, c);
  for (waiter *w; (w = first(&c->receivers)); lua_pop(L, 1)) {
    lua_pushvalue(L, item);
    if (waiter_serve(w, SERVED, L, 1) < 0) continue;
    lua_pushboolean(L, 1);
    return 1;
  }
  if (c->count >= c->capacity) return -1;
  append(L, object, c, item);
  lua_pushboolean(L, 1);
  return 1;
}

// Push the item of a blocked sender, which has sent it now.
static void push_sent(lua_State *L, waiter *w) {
  lua_pushvalue(w->L, w->item);
  lua_xmove(w->L, L, 1);
  waiter_serve(w, SERVED, NULL, 0);
}

static int poll_recv(lua_State *L, int object) {
  channel *c = lua_touserdata(L, object);
  waiter *w = first(&c->senders);
  if (c->count) {
    push_oldest(L, object, c);
    if (!w) return 1;
    push_sent(L, w);  // there is room for it now
    append(L, object, c, lua_gettop(L));
    lua_pop(L, 1);
    return 1;
  }
  if (w)
    push_sent(L, w);
  else if (c->closed)
    lua_pushnil(L);
  else
    return -1;
  return 1;
}

static int poll(lua_State *L, int object, int item) {
  return item ? poll_send(L, object, item) : poll_recv(L, object);
}

static void enqueue(waiter *w) {
  channel *c = w->object;
  list_push(w->item ? &c->senders : &c->receivers, &w->link);
}

static void dequeue(waiter *w) {
  list_remove(&w->link);
}

static int finish(lua_State *L, int object, int item, int rc) {
  if (rc == SERVED_CLOSED && item)
    return waitable_fail_closed(L, &channel_class, lua_touserdata(L, object));
  if (rc == SERVED_CLOSED)
    lua_pushnil(L);
  else if (item)
    lua_pushboolean(L, 1);
  return 1;
}

const waitable channel_class = {"channel", 1, poll, enqueue, dequeue, finish};

static int sent(lua_State *L, void *arg, int rc) {
  (void)arg;
  return waitable_done(L, &channel_class, 2, rc);
}

static int received(lua_State *L, void *arg, int rc) {
  (void)arg;
  return waitable_done(L, &channel_class, 0, rc);
}

static const wait_ops send_ops = {"send", waitable_cancel, sent, waitable_describe};
static const wait_ops recv_ops = {"recv", waitable_cancel, received, waitable_describe};

int channel_send(lua_State *L) {
  return waitable_begin(L, &send_ops, &channel_class, 2);
}

int channel_recv(lua_State *L) {
  return waitable_begin(L, &recv_ops, &channel_class, 0);
}

static void wake_all(list *queue) {
  for (waiter *w; (w = first(queue));) waiter_serve(w, SERVED_CLOSED, NULL, 0);
}

void channel_close(channel *c) {
  if (c->closed) return;
  c->closed = 1;
  wake_all(&c->senders);
  wake_all(&c->receivers);
}
