// SPDX-License-Identifier: MIT
// A module that uses OpenSSL carelessly: leave() leaves an error in the queue of the thread.
#include <dlfcn.h>
#include <lauxlib.h>

static int leave(lua_State *L) {
  void *crypto = dlopen("libcrypto.so.3", RTLD_NOW);
  if (!crypto) return luaL_error(L, "%s", dlerror());
  void (*begin)(void) = (void (*)(void))dlsym(crypto, "ERR_new");
  void (*set)(int, int, const char *, ...) =
    (void (*)(int, int, const char *, ...))dlsym(crypto, "ERR_set_error");
  if (!begin || !set) return luaL_error(L, "libcrypto is not OpenSSL 3");
  begin();
  set(20, 134, NULL);  // ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED
  return 0;
}

LUAMOD_API int luaopen_openssl_error(lua_State *L);

int luaopen_openssl_error(lua_State *L) {
  lua_newtable(L);
  lua_pushcfunction(L, leave);
  lua_setfield(L, -2, "leave");
  return 1;
}
