// SPDX-License-Identifier: MIT
// What a runtime has built in. See builtin.h.
#include "embed/builtin.h"

#include <lauxlib.h>

#include "core/mods.h"
#include "core/modules.h"
#include "data/mods.h"
#include "http/mods.h"
#include "net/handed.h"
#include "net/mods.h"
#include "pool/mods.h"
#include "sys/mods.h"

static const luaL_Reg modules[] = {{"corun.task", luaopen_corun_task},
                                   {"corun.inside", luaopen_corun_inside},
                                   {"corun.debug", luaopen_corun_debug},
                                   {"corun.bundle", luaopen_corun_bundle},
                                   {"corun.sync", luaopen_corun_sync},
                                   {"corun.netcore", luaopen_corun_netcore},
                                   {"corun.listen", luaopen_corun_listen},
                                   {"corun.udp", luaopen_corun_udp},
                                   {"corun.ttycore", luaopen_corun_ttycore},
                                   {"corun.tlscore", luaopen_corun_tlscore},
                                   {"corun.httpcore", luaopen_corun_httpcore},
                                   {"corun.httpreply", luaopen_corun_httpreply},
                                   {"corun.websocketcore", luaopen_corun_websocketcore},
                                   {"corun.cookiecore", luaopen_corun_cookiecore},
                                   {"corun.processcore", luaopen_corun_processcore},
                                   {"corun.message", luaopen_corun_message},
                                   {"corun.poolcore", luaopen_corun_poolcore},
                                   {"corun.sharecore", luaopen_corun_sharecore},
                                   {"corun.transfer", luaopen_corun_transfer},
                                   {"corun.fscore", luaopen_corun_fscore},
                                   {"corun.charsetcore", luaopen_corun_charsetcore},
                                   {"corun.csvcore", luaopen_corun_csvcore},
                                   {"corun.json", luaopen_corun_json},
                                   {"corun.urlcore", luaopen_corun_urlcore},
                                   {"corun.codec", luaopen_corun_codec},
                                   {"corun.message", luaopen_corun_message},
                                   {"corun.transfer", luaopen_corun_transfer},
                                   {"cjson", luaopen_cjson},
                                   {NULL, NULL}};

void builtin_open(lua_State *L) {
  modules_open(L, modules);
  handed_note(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "corun.require");
  lua_call(L, 1, 1);
  lua_setglobal(L, "require");
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushnil(L);
  lua_setfield(L, -2, "corun.require");  // it hides the parts of corun from now on
  lua_pop(L, 1);
}
