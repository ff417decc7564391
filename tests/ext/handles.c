// SPDX-License-Identifier: MIT
// An extension whose operations are handles of libuv on the loop of the runtime (corun_loop):
// timers. The handle lies in the operation, which is therefore woken by the close callback.
#define _GNU_SOURCE
#include <corun.h>
#include <errno.h>
#include <uv.h>

typedef struct alarm_op {
  uv_timer_t timer;
  int rc;
} alarm_op;

static void on_closed(uv_handle_t *h) {
  alarm_op *a = h->data;
  corun_wake(a, a->rc);
}

static void on_alarm(uv_timer_t *timer) {
  uv_close((uv_handle_t *)timer, on_closed);
}

static void stop(alarm_op *a) {
  if (uv_is_closing((uv_handle_t *)&a->timer)) return;
  a->rc = -ECANCELED;
  uv_close((uv_handle_t *)&a->timer, on_closed);
}

static corun_answer stop_and_stay(void *op) {
  stop(op);
  return CORUN_PENDING;
}

static corun_answer stop_and_leave(void *op) {
  stop(op);
  return CORUN_ABANDONED;
}

static corun_answer leave(void *op) {
  (void)op;
  return CORUN_ABANDONED;
}

// alarm(ms, kind): what becomes of the timer when its task is cancelled: it is "stopped", "left"
// while it is stopped, or "forgotten" and rings on.
static int l_alarm(lua_State *L) {
  static const char *const kinds[] = {"stopped", "left", "forgotten", NULL};
  static const corun_optype types[] = {{.name = "alarm", .cancel = stop_and_stay},
                                       {.name = "alarm", .cancel = stop_and_leave},
                                       {.name = "alarm", .cancel = leave}};
  lua_Integer ms = luaL_checkinteger(L, 1);
  int kind = luaL_checkoption(L, 2, "stopped", kinds);
  alarm_op *a = corun_newop(L, &types[kind], sizeof *a);
  uv_timer_init(corun_loop(L), &a->timer);
  a->timer.data = a;
  uv_timer_start(&a->timer, on_alarm, (uint64_t)ms, 0);
  return corun_await(L, a);
}

int luaopen_handles(lua_State *L);

int luaopen_handles(lua_State *L) {
  static const luaL_Reg functions[] = {{"alarm", l_alarm}, {NULL, NULL}};
  corun_checkabi(L);
  luaL_newlib(L, functions);
  return 1;
}
