// SPDX-License-Identifier: MIT
// Queries of the domain name system. See dns.h.
#include "net/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/list.h"
#include "core/runtime.h"
#include "net/address.h"

#define CONFIG "/etc/resolv.conf"
#define HOSTS "/etc/hosts"
#define TIMEOUT_MS 2000  // of the first try; each further one has twice as long
#define TRIES 3
#define RECEIVE ((int)1 << 20)  // bytes of answers that may wait: many are asked for at once

// Queries that are under way at most, and how many of them go out at once. A burst beyond what a
// server's socket holds (212 KB on Linux, some 160 small datagrams) is lost, and comes again only
// after TIMEOUT_MS; dnsmasq refuses more than 150. So it begins below that, grows with each answer,
// and is halved when one is missing or refused, as TCP does.
#define WINDOW_LEAST 16
#define WINDOW_FIRST 128
#define WINDOW_MOST 2048
#define PACE 16  // queries a millisecond
#define REFUSALS 3

typedef struct dns_socket {
  list link;
  dns *d;
  uv_poll_t poll;
  ares_socket_t fd;
} dns_socket;

struct dns {
  rt *r;
  uv_timer_t timer;
  list sockets;
  ares_channel channel;
  int has_channel, is_freed;
  unsigned queries, handles;  // queries: under way
  unsigned window;
  list waiting;    // queries that there is no room for
  unsigned paced;  // queries that went out at the instant paced_at
  uint64_t paced_at;
  struct timespec configured;  // when CONFIG was changed last, as far as the channel knows
};

typedef struct query {
  list link;
  dns *d;
  int family, refusals;
  dns_done *done;
  void *arg;
  const char *name;  // the caller's
} query;

// --- Sockets and time ------------------------------------------------------------------------

static void forget_handle(dns *d) {
  if (--d->handles == 0 && d->is_freed) free(d);
}

static void on_timer_closed(uv_handle_t *h) {
  forget_handle(h->data);
}

static void on_socket_closed(uv_handle_t *h) {
  dns_socket *s = h->data;
  forget_handle(s->d);
  free(s);
}

static void pump(dns *d);

static void on_timer(uv_timer_t *h) {
  dns *d = h->data;
  ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  pump(d);
}

static void on_ready(uv_poll_t *h, int status, int events) {
  const dns_socket *s = h->data;
  dns *d = s->d;
  ares_socket_t fd = s->fd;
  if (status < 0) events = UV_READABLE | UV_WRITABLE;  // c-ares finds the error itself
  ares_process_fd(d->channel, events & UV_READABLE ? fd : ARES_SOCKET_BAD,
                  events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
  pump(d);
}

// Wake up when c-ares wants to, or to go on with those that wait: the tasks that wait for names
// hold the loop, not these handles.
static void schedule(dns *d) {
  struct timeval tv;
  uint64_t ms = UINT64_MAX;
  if (ares_timeout(d->channel, NULL, &tv))
    ms = (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1;
  if (!list_empty(&d->waiting) && d->queries < d->window) ms = 1;
  if (ms == UINT64_MAX) {
    uv_timer_stop(&d->timer);
    return;
  }
  uv_update_time(&d->r->loop);
  uv_timer_start(&d->timer, on_timer, ms, 0);
}

static dns_socket *find_socket(dns *d, ares_socket_t fd) {
  for (list *l = d->sockets.next; l != &d->sockets; l = l->next) {
    dns_socket *s = list_entry(l, dns_socket, link);
    if (s->fd == fd) return s;
  }
  return NULL;
}

static dns_socket *watch_socket(dns *d, ares_socket_t fd) {
  dns_socket *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  if (uv_poll_init(&d->r->loop, &s->poll, fd) < 0) {
    free(s);
    return NULL;
  }
  uv_unref((uv_handle_t *)&s->poll);
  s->poll.data = s;
  s->d = d;
  s->fd = fd;
  d->handles++;
  list_push(&d->sockets, &s->link);
  return s;
}

// Without memory for a socket its queries run into their time limit.
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable) {
  dns *d = arg;
  dns_socket *s = find_socket(d, fd);
  if (!readable && !writable) {
    if (!s) return;
    list_remove(&s->link);
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
    return;
  }
  if (!s) s = watch_socket(d, fd);
  if (s)
    uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_ready);
}

// --- The channel -----------------------------------------------------------------------------

static int is_outdated(dns *d) {
  struct stat st;
  if (stat(CONFIG, &st) < 0) return 0;
#ifdef __APPLE__
  struct timespec changed = st.st_mtimespec;
#else
  struct timespec changed = st.st_mtim;
#endif
  int is_other = changed.tv_sec != d->configured.tv_sec || changed.tv_nsec != d->configured.tv_nsec;
  d->configured = changed;
  return is_other;
}

static int translate(int status) {
  switch (status) {
    case ARES_SUCCESS: return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_ENONAME:
    case ARES_EBADNAME: return UV_EAI_NONAME;
    case ARES_ENOMEM: return UV_ENOMEM;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return UV_ECANCELED;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
    case ARES_ESERVFAIL:
    case ARES_EREFUSED: return UV_EAI_AGAIN;
    default: return UV_EAI_FAIL;
  }
}

// Say whether it is a numeric address, with a port or without: "::1", "[::1]:5353".
static int is_server(const char *text, size_t n) {
  char host[ADDRESS_HOST + 1];
  address a;
  endpoint e;
  if (n > ADDRESS_HOST) return 0;
  snprintf(host, sizeof host, "%.*s", (int)n, text);
  if (address_parse(host, 0, &a) == 0) return 1;
  return !endpoint_parse(text, n, &e) && e.port && address_parse(e.host, e.port, &a) == 0;
}

// The servers that the environment names, NULL if none. Answers 0 or DNS_MISCONFIGURED.
static int read_servers(const char **out) {
  const char *p = getenv(DNS_SERVERS);
  *out = p && *p ? p : NULL;
  if (!*out) return 0;
  for (;;) {
    size_t n = strcspn(p, ",");
    if (!is_server(p, n)) return DNS_MISCONFIGURED;
    if (!p[n]) return 0;
    p += n + 1;
  }
}

// Read the configuration, again when it has changed and nothing is under way. Answers 0 or an
// error.
static int configure(dns *d) {
  const char *servers;
  if (d->queries || (!is_outdated(d) && d->has_channel)) return 0;
  if (d->has_channel) ares_destroy(d->channel);
  d->has_channel = 0;
  if (read_servers(&servers) < 0) return DNS_MISCONFIGURED;
  struct ares_options o = {.sock_state_cb = on_socket,
                           .sock_state_cb_data = d,
                           .timeout = TIMEOUT_MS,
                           .tries = TRIES,
                           .socket_receive_buffer_size = RECEIVE};
  int rc = ares_init_options(
    &d->channel, &o,
    ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_RCVBUF);
  if (rc != ARES_SUCCESS) return translate(rc);
  rc = servers ? ares_set_servers_ports_csv(d->channel, servers) : ARES_SUCCESS;
  d->has_channel = rc == ARES_SUCCESS;
  if (d->has_channel) return 0;
  ares_destroy(d->channel);
  return rc == ARES_ENOMEM ? UV_ENOMEM : DNS_MISCONFIGURED;
}

dns *dns_new(rt *r) {
  dns *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->r = r;
  list_init(&d->sockets);
  list_init(&d->waiting);
  d->window = WINDOW_FIRST;
  uv_timer_init(&r->loop, &d->timer);
  uv_unref((uv_handle_t *)&d->timer);
  d->timer.data = d;
  d->handles = 1;
  return d;
}

// --- Queries ---------------------------------------------------------------------------------

static void finish(query *q, int rc, const struct ares_addrinfo *info) {
  q->done(q->arg, rc, info);
  free(q);
}

static void fit_window(dns *d, int is_lost) {
  if (is_lost)
    d->window = d->window / 2 > WINDOW_LEAST ? d->window / 2 : WINDOW_LEAST;
  else if (d->window < WINDOW_MOST)
    d->window++;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info) {
  query *q = arg;
  dns *d = q->d;
  d->queries--;
  if (status != ARES_ECANCELLED && status != ARES_EDESTRUCTION)
    fit_window(d, timeouts || status == ARES_EREFUSED);
  if (status == ARES_EREFUSED && ++q->refusals < REFUSALS)
    list_push(&d->waiting, &q->link);
  else
    finish(q, translate(status), info);
  if (info) ares_freeaddrinfo(info);
}

// Say why no file can be opened, 0 if one can: c-ares would take files that it cannot open for
// missing ones, name servers and hosts for unknown, and not tell.
static int find_shortage(void) {
  int fd = open(HOSTS, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd < 0 && (errno == EMFILE || errno == ENFILE) ? uv_translate_sys_error(errno) : 0;
}

static void fail_waiting(dns *d, int rc) {
  list *l = d->waiting.next, *next;
  for (; l != &d->waiting; l = next) {
    next = l->next;
    finish(list_entry(l, query, link), rc, NULL);
  }
  list_init(&d->waiting);
}

// Begin with as many as may go out in this millisecond.
static void pump(dns *d) {
  uint64_t now = uv_now(&d->r->loop);
  if (now != d->paced_at) d->paced = 0;
  d->paced_at = now;
  while (d->queries < d->window && d->paced < PACE && !list_empty(&d->waiting)) {
    int rc = find_shortage();
    if (rc == 0) rc = configure(d);
    if (rc < 0) {
      fail_waiting(d, rc);
      break;
    }
    query *q = list_entry(list_shift(&d->waiting), query, link);
    struct ares_addrinfo_hints hints = {.ai_family = q->family, .ai_socktype = SOCK_STREAM};
    d->queries++;
    d->paced++;
    ares_getaddrinfo(d->channel, q->name, NULL, &hints, on_answer, q);
  }
  if (d->has_channel) schedule(d);
}

void dns_query(dns *d, const char *name, int family, dns_done *done, void *arg) {
  query *q = malloc(sizeof *q);
  if (!q) {
    done(arg, UV_ENOMEM, NULL);
    return;
  }
  *q = (query){.d = d, .family = family, .done = done, .arg = arg, .name = name};
  list_push(&d->waiting, &q->link);
  pump(d);
}

void dns_cancel(dns *d) {
  fail_waiting(d, UV_ECANCELED);
  if (d->has_channel) ares_cancel(d->channel);
  if (d->has_channel) schedule(d);
}

void dns_free(dns *d) {
  fail_waiting(d, UV_ECANCELED);
  if (d->has_channel) ares_destroy(d->channel);
  d->is_freed = 1;
  uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}
