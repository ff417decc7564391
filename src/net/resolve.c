// SPDX-License-Identifier: MIT
// Host names to addresses. See resolve.h. Invariant: a lookup is freed when nobody counts: the
// tasks that wait for it or have its result to take, the table while it is there, and each query
// that has not been answered.
#include "net/resolve.h"

#include <idn2.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/error.h"
#include "core/job.h"
#include "core/runtime.h"
#include "core/task.h"
#include "core/timer.h"
#include "net/dns.h"

#define BUCKETS 256
#define KEPT 1024     // names that are remembered
#define TTL_MOST 300  // seconds, whatever the answer says
#define RESOLUTION_DELAY \
  0.05  // seconds; RFC 8305, section 3: how long one family waits for the other
#define SECOND ((uint64_t)1000000000)

typedef struct resolver {
  rt *r;
  dns *dns;
  unsigned count, waiting;  // lookups in the table; tasks that wait
  list by_age;              // the oldest first
  list buckets[BUCKETS];
} resolver;

typedef struct lookup {
  list link, age;  // in the resolver's table
  resolver *in;    // NULL once it is out of the table
  job job;
  list waiters;
  timer_call delay;
  unsigned refs, queries;  // unanswered
  int is_done, rc;
  uint32_t ttl;
  uint64_t expires;  // uv_hrtime
  int n;
  address *found;  // RESOLVE_ALL at most
  char name[];
} lookup;

static const char key = 0;  // its address names the resolver in the registry

int resolve_numeric(const endpoint *e, address_list *out) {
  if (!e->host[0]) {
    out->n = 2;
    address_any(AF_INET6, e->port, &out->a[0]);
    address_any(AF_INET, e->port, &out->a[1]);
    return 0;
  }
  out->n = 1;
  return address_parse(e->host, e->port, &out->a[0]);
}

// --- The table -------------------------------------------------------------------------------

static void unref(lookup *k) {
  if (--k->refs) return;
  free(k->found);
  free(k);
}

// Take it out of the table: the next who asks for the name begins anew.
static void evict(lookup *k) {
  if (!k->in) return;
  k->in->count--;
  k->in = NULL;
  list_remove(&k->link);
  list_remove(&k->age);
  unref(k);
}

static list *bucket(resolver *v, const char *name) {
  uint32_t h = 2166136261u;  // FNV-1a
  for (const char *p = name; *p; p++) h = (h ^ (unsigned char)*p) * 16777619u;
  return &v->buckets[h % BUCKETS];
}

static lookup *find(resolver *v, const char *name) {
  list *b = bucket(v, name);
  for (list *l = b->next; l != b; l = l->next) {
    lookup *k = list_entry(l, lookup, link);
    if (strcmp(k->name, name) != 0) continue;
    if (!k->is_done || k->expires > uv_hrtime()) return k;
    evict(k);
    return NULL;
  }
  return NULL;
}

static void make_room(resolver *v) {
  for (list *l = v->by_age.next, *next; v->count >= KEPT && l != &v->by_age; l = next) {
    next = l->next;
    lookup *k = list_entry(l, lookup, age);
    if (k->is_done) evict(k);
  }
}

static int l_gc(lua_State *L) {
  resolver *v = lua_touserdata(L, 1);
  if (v->dns) dns_free(v->dns);
  v->dns = NULL;
  for (list *l = v->by_age.next, *next; l != &v->by_age; l = next) {
    next = l->next;
    lookup *k = list_entry(l, lookup, age);
    k->in = NULL;
    unref(k);
  }
  return 0;
}

static resolver *resolver_of(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TNIL) {
    resolver *v = lua_newuserdatauv(L, sizeof *v, 0);
    memset(v, 0, sizeof *v);
    v->r = rt_of(L);
    list_init(&v->by_age);
    for (int i = 0; i < BUCKETS; i++) list_init(&v->buckets[i]);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    lua_remove(L, -2);
  }
  resolver *v = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!v->dns) v->dns = dns_new(v->r);
  if (!v->dns) luaL_error(L, "not enough memory");
  return v;
}

// --- Answers ---------------------------------------------------------------------------------

// All that will come has come. A failure has expired at once; it leaves the table with the next who
// asks for the name.
static void finish(lookup *k) {
  if (k->is_done) return;
  resolver *v = k->in;
  k->is_done = 1;
  k->rc = k->n ? 0 : k->rc ? k->rc : UV_EAI_NONAME;
  if (k->n) k->expires = uv_hrtime() + k->ttl * SECOND;
  if (v) timer_disarm(v->r, &k->delay.tm);
  if (v && !list_empty(&k->waiters)) job_end(v->r, &k->job);
  for (list *l; (l = list_shift(&k->waiters));) {
    v->waiting--;
    wait_wake(list_entry(l, task, wlink), 0);
  }
}

static void on_delay(timer_call *c) {
  finish(list_entry(c, lookup, delay));
}

// Take what an answer has. Answers 0 or UV_ENOMEM.
static int add(lookup *k, const struct ares_addrinfo *info) {
  size_t count = (size_t)k->n;
  for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) count++;
  if (count > RESOLVE_ALL) count = RESOLVE_ALL;
  address *found = realloc(k->found, (count ? count : 1) * sizeof *found);
  if (!found) return UV_ENOMEM;
  k->found = found;
  for (const struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
    if ((uint32_t)c->ttl < k->ttl) k->ttl = c->ttl > 0 ? (uint32_t)c->ttl : 0;
  for (const struct ares_addrinfo_node *n = info->nodes; n && k->n < RESOLVE_ALL; n = n->ai_next) {
    if (address_from(n->ai_addr, &k->found[k->n]) < 0) continue;
    k->n++;
    if (n->ai_ttl < (int)k->ttl) k->ttl = n->ai_ttl > 0 ? (uint32_t)n->ai_ttl : 0;
  }
  return 0;
}

static void on_addresses(void *arg, int rc, const struct ares_addrinfo *info) {
  lookup *k = arg;
  k->queries--;
  if (rc == 0 && info) rc = add(k, info);  // also late: whoever asks next shall have it
  if (rc == UV_ECANCELED) k->ttl = 0;
  if (!k->is_done) {
    // That a name is unknown is a weaker answer than that nobody knows.
    if (rc < 0 && (!k->rc || k->rc == UV_EAI_NONAME)) k->rc = rc;
    if (!k->queries)
      finish(k);
    else if (k->n && k->in)
      timer_arm(k->in->r, &k->delay.tm, timer_after(k->in->r, RESOLUTION_DELAY));
  }
  unref(k);
}

// --- The wait --------------------------------------------------------------------------------

// When nobody waits for any name the queries under way are of no use.
wait_answer resolve_cancel(task *t, void *arg) {
  lookup *k = arg;
  list_remove(&t->wlink);
  if (!k->is_done) {
    resolver *v = k->in;
    if (list_empty(&k->waiters)) job_end(v->r, &k->job);
    if (--v->waiting == 0) dns_cancel(v->dns);
  }
  unref(k);
  return WAIT_STOPPED;
}

void resolve_describe(const task *t, const void *arg, char *buf, size_t n) {
  (void)t;
  snprintf(buf, n, "%s", ((const lookup *)arg)->name);
}

int resolve_take(void *arg, uint16_t port, address_list *out) {
  lookup *k = arg;
  int rc = k->rc, left[2] = {0, 0};  // of IPv4, IPv6: to be tried
  for (int i = 0; i < k->n; i++) left[k->found[i].sa.sa_family == AF_INET6]++;
  for (int is6 = 0; is6 < 2; is6++) {
    int other = left[!is6] < RESOLVE_MOST / 2 ? left[!is6] : RESOLVE_MOST / 2;
    if (left[is6] > RESOLVE_MOST - other) left[is6] = RESOLVE_MOST - other;
  }
  out->n = 0;
  for (int i = 0; i < k->n; i++) {
    if (left[k->found[i].sa.sa_family == AF_INET6]-- <= 0) continue;
    out->a[out->n] = k->found[i];
    address_set_port(&out->a[out->n++], port);
  }
  unref(k);
  return rc;
}

int resolve_take_all(void *arg, address *out) {
  lookup *k = arg;
  int rc = k->rc < 0 ? k->rc : k->n;
  for (int i = 0; i < rc; i++) out[i] = k->found[i];
  unref(k);
  return rc;
}

int resolve_fail(lua_State *L, int rc, const char *op, const char *target) {
  if (rc == UV_EAI_NONAME)
    return err_return(L, "EAI_NONAME", op, target, "there is no such host name");
  if (rc == UV_ENODEV)
    return err_return(L, "ENODEV", op, target, "this machine has no such network interface");
  if (rc == DNS_MISCONFIGURED)
    return err_return(L, "EINVAL", op, target,
                      "the environment variable " DNS_SERVERS
                      " must be a list of name servers such "
                      "as \"10.0.0.1,[::1]:5353\", got \"%s\"",
                      getenv(DNS_SERVERS));
  if (rc == UV_EAI_AGAIN)
    return err_return(L, "EAI_AGAIN", op, target, "no name server has given an answer");
  return err_return_uv(L, rc, op, target);
}

// Begin with a name that is not in the table. NULL on out of memory.
static lookup *ask(resolver *v, const char *name) {
  size_t len = strlen(name);
  lookup *k = calloc(1, sizeof *k + len + 1);
  if (!k) return NULL;
  memcpy(k->name, name, len);
  list_init(&k->waiters);
  k->delay.tm.kind = TIMER_CALL;
  k->delay.fire = on_delay;
  k->ttl = TTL_MOST;
  make_room(v);
  k->in = v;
  v->count++;
  list_push(bucket(v, name), &k->link);
  list_push(&v->by_age, &k->age);
  // As the hosts file has it. Asked for a family that is not there c-ares 1.18 would make it up,
  // and lose memory.
  int both = strcmp(name, "localhost") == 0;
  k->queries = both ? 1 : 2;
  k->refs = k->queries + 2;  // the table, the caller
  dns_query(v->dns, k->name, both ? AF_UNSPEC : AF_INET6, on_addresses, k);
  if (!both) dns_query(v->dns, k->name, AF_INET, on_addresses, k);
  return k;
}

int resolve_to_ascii(const char *host, char *out, size_t size) {
  const char *p = host;
  while (*p && (unsigned char)*p < 0x80) p++;
  if (!*p) {
    snprintf(out, size, "%s", host);
    return 0;
  }
  uint8_t *name = NULL;
  int rc = idn2_lookup_u8((const uint8_t *)host, &name, IDN2_NONTRANSITIONAL);
  if (rc == IDN2_MALLOC) return UV_ENOMEM;
  if (rc != IDN2_OK) return UV_EAI_NONAME;
  snprintf(out, size, "%s", (const char *)name);
  idn2_free(name);
  return 0;
}

int resolve_begin(lua_State *L, const endpoint *e, uint64_t when, const wait_ops *ops) {
  wait_check(L);
  resolver *v = resolver_of(L);
  char name[ADDRESS_HOST + 1];
  address a;
  int rc = resolve_to_ascii(e->host, name, sizeof name);
  if (address_parse(e->host, 0, &a) == UV_ENODEV) rc = UV_ENODEV;
  // Names are the same in any case (RFC 4343), but c-ares knows this one in small letters alone,
  // and the hosts file, the only one to have it (RFC 6761), has it without the dot.
  for (char *p = name; rc == 0 && *p; p++)
    if (*p >= 'A' && *p <= 'Z') *p = (char)(*p | 0x20);
  if (rc == 0 && strcmp(name, "localhost.") == 0) name[strlen(name) - 1] = 0;
  lookup *k = rc < 0 ? NULL : find(v, name);
  if (k)
    k->refs++;
  else if (rc == 0)
    k = ask(v, name);
  else if ((k = calloc(1, sizeof *k + 1)))
    *k = (lookup){.refs = 1, .is_done = 1, .rc = rc};
  if (!k) return luaL_error(L, "not enough memory");
  if (k->is_done) return ops->done(L, k, 0);
  if (list_empty(&k->waiters)) job_begin(v->r, &k->job, "lookup of", k->name);
  list_push(&k->waiters, &task_current(L)->wlink);
  v->waiting++;
  return wait_begin_until(L, ops, k, when);
}
