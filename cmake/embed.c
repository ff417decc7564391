// SPDX-License-Identifier: MIT
// The build-time compiler of the embedded Lua modules: `embed OUT.c FILE...` writes one C file with
// the bytecode of every FILE, in a folder called corun, as the table of core/embedded.h. It is
// linked with the same Lua as the program, so that its bytecode fits. A syntax error is printed as
// FILE:LINE and fails the build. Nothing is stripped: tracebacks need the lines.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

enum { NAME_MAX_LEN = 200, BYTES_A_LINE = 20 };

struct output {
  FILE *file;
  size_t size;
};

static int write_bytes(lua_State *L, const void *data, size_t size, void *ud) {
  struct output *out = ud;
  const unsigned char *bytes = data;
  (void)L;
  for (size_t i = 0; i < size; i++, out->size++)
    if (fprintf(out->file, out->size % BYTES_A_LINE == 0 ? "\n  %u," : "%u,", bytes[i]) < 0)
      return 1;
  return 0;
}

// "http/session.lua" becomes "corun.http.session", "init.lua" becomes "corun".
static void name_module(char *name, const char *relative) {
  size_t len = strlen(relative) - strlen(".lua");
  snprintf(name, NAME_MAX_LEN, "corun.%.*s", (int)len, relative);
  for (char *p = name; *p; p++)
    if (*p == '/') *p = '.';
  len = strlen(name);
  if (len >= 5 && strcmp(name + len - 5, ".init") == 0) name[len - 5] = '\0';
}

// Lua's own message starts with "FILE:LINE:" when the chunk is called by a short name.
static void report(lua_State *L, const char *path) {
  const char *message = lua_tostring(L, -1);
  if (strncmp(message, "?:", 2) == 0)
    fprintf(stderr, "%s:%s\n", path, message + 2);
  else
    fprintf(stderr, "%s: %s\n", path, message);
}

static int embed(lua_State *L, FILE *file, int index, const char *path, const char *relative) {
  FILE *in = fopen(path, "rb");
  if (!in) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return 0;
  }
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (size_t n = 1; n > 0; luaL_addsize(&buffer, n))
    n = fread(luaL_prepbuffer(&buffer), 1, LUAL_BUFFERSIZE, in);
  int failed = ferror(in);
  fclose(in);
  luaL_pushresult(&buffer);
  size_t size;
  const char *source = lua_tolstring(L, -1, &size);
  if (failed || luaL_loadbufferx(L, source, size, "=?", "t") != LUA_OK) {
    if (failed) lua_pushstring(L, "cannot read the file");
    report(L, path);
    return 0;
  }
  char chunk[NAME_MAX_LEN];
  snprintf(chunk, sizeof chunk, "=[corun %s]", relative);
  if (luaL_loadbufferx(L, source, size, chunk, "t") != LUA_OK) {
    report(L, path);
    return 0;
  }
  struct output out = {.file = file};
  fprintf(file, "\nstatic const unsigned char module_%d[] = {", index);
  if (lua_dump(L, write_bytes, &out, 0) != 0) {
    fprintf(stderr, "%s: cannot write its bytecode\n", path);
    return 0;
  }
  fprintf(file, "\n};\n");
  lua_settop(L, 0);
  return 1;
}

// The part of a path behind the last "/corun/".
static const char *relative_path(const char *path) {
  for (const char *p; (p = strstr(path, "/corun/"));) path = p + strlen("/corun/");
  return path;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: embed OUT.c FILE...\n");
    return 2;
  }
  lua_State *L = luaL_newstate();
  FILE *file = fopen(argv[1], "w");
  if (!L || !file) {
    fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
    return 1;
  }
  fprintf(file, "// Generated from the modules in lua/corun.\n#include \"core/embedded.h\"\n");
  int ok = 1;
  for (int i = 2; i < argc; i++) ok &= embed(L, file, i, argv[i], relative_path(argv[i]));
  fprintf(file, "\nconst struct embedded corun_embedded[] = {\n");
  for (int i = 2; i < argc; i++) {
    char name[NAME_MAX_LEN];
    name_module(name, relative_path(argv[i]));
    fprintf(file, "  {\"%s\", module_%d, sizeof module_%d},\n", name, i, i);
  }
  fprintf(file, "  {0, 0, 0},\n};\n");
  ok &= !ferror(file);
  ok &= fclose(file) == 0;
  lua_close(L);
  if (!ok) remove(argv[1]);
  return ok ? 0 : 1;
}
