// SPDX-License-Identifier: MIT
// The target of a request, taken apart. Owns nothing; runs on the thread of its lua_State.
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <lua.h>
#include <stddef.h>

// Push the path of the target on top of the stack: percent-decoded, without the query; of an
// absolute URL (RFC 9112, section 3.2.2) what follows the authority. [loop] Raises only on out of
// memory.
void http_target_push_path(lua_State *L);

#endif
