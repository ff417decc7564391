// SPDX-License-Identifier: MIT
// Sites: a hash table keyed by the chunk name's address and the line. See site.h.
#include "core/site.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/runtime.h"

#define MOST (1u << 16)  // further sites are "?": chunks made without end must not fill memory

static uint32_t hash(const void *source, int line) {
  uint64_t h =
    ((uint64_t)(uintptr_t)source ^ (uint64_t)line * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
  return (uint32_t)(h >> 32);
}

static int grow(site_table *s) {
  uint32_t cap = s->capacity ? s->capacity * 2 : 64;
  site_entry *entries = realloc(s->entries, cap / 2 * sizeof *entries);
  if (!entries) return -1;
  s->entries = entries;
  uint32_t *index = calloc(cap, sizeof *index);
  if (!index) return -1;
  for (uint32_t i = 1; i < s->count; i++) {
    uint32_t at = hash(entries[i].source, entries[i].line) & (cap - 1);
    while (index[at]) at = (at + 1) & (cap - 1);
    index[at] = i;
  }
  free(s->index);
  s->index = index;
  s->capacity = cap;
  if (!s->count) s->count = 1;
  return 0;
}

// Whether the entry is that of the line; the address of a collected chunk name may come again.
static int is_same(const site_entry *e, const lua_Debug *ar) {
  return e->source == ar->source && e->line == ar->currentline &&
         memcmp(e->text, ar->short_src, e->name_len) == 0 && !ar->short_src[e->name_len];
}

static uint32_t find(site_table *s, const lua_Debug *ar) {
  if (s->count >= s->capacity / 2 && (s->capacity >= MOST || grow(s) < 0)) return 0;
  uint32_t at = hash(ar->source, ar->currentline) & (s->capacity - 1);
  for (; s->index[at]; at = (at + 1) & (s->capacity - 1)) {
    if (is_same(&s->entries[s->index[at]], ar)) return s->index[at];
  }
  size_t len = strlen(ar->short_src), size = len + 16;
  char *text = malloc(size);
  if (!text) return 0;
  snprintf(text, size, "%s:%d", ar->short_src, ar->currentline);
  s->entries[s->count] = (site_entry){ar->source, ar->currentline, (uint32_t)len, text};
  return s->index[at] = s->count++;
}

uint32_t site_here(lua_State *L, int level) {
  lua_Debug ar;
  for (; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline > 0 && !err_is_embedded(ar.source)) return find(&rt_of(L)->sites, &ar);
  }
  return 0;
}

uint32_t site_of(lua_State *L) {
  lua_Debug ar;
  lua_getinfo(L, ">S", &ar);
  ar.currentline = ar.linedefined;
  return ar.linedefined > 0 ? find(&rt_of(L)->sites, &ar) : 0;
}

const char *site_text(const rt *r, uint32_t site) {
  return site ? r->sites.entries[site].text : "?";
}

void site_fini(site_table *s) {
  for (uint32_t i = 1; i < s->count; i++) free(s->entries[i].text);
  free(s->entries);
  free(s->index);
}
