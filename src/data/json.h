// SPDX-License-Identifier: MIT
// JSON between text and Lua values. The engine behind corun.json: one decoder and one encoder for
// each Lua state, made at first use and kept in the registry. Runs on the thread of its lua_State
// and never suspends. A finaliser that runs in the middle of a call may decode or encode too: it
// gets a decoder or encoder of its own, and so does the next call after one that was left by a
// raise.
#ifndef DATA_JSON_H
#define DATA_JSON_H

#include <lua.h>

#include "base/buffer.h"
#include "data/json_text.h"

// Registry name of the metatable that marks a table as an array; the binding registers it.
#define JSON_ARRAY_MT "corun.json.array"

// Push the value of the text; answer 1, or 0 with `fault` filled in and nothing pushed. Nulls
// become the value at `null` (an absolute index or an upvalue's), or the light userdata NULL when
// that is 0; empty arrays are marked. [loop] Raises only on out of memory.
int json_decode(lua_State *L, const char *text, size_t len, int null, json_fault *fault);

typedef struct json_style {
  int pretty;  // over several lines, indented by two spaces
  int sort;    // keys in the order of their bytes
} json_style;

// Push the text of the value at `idx`; answer 1, or 0 with the sentence that says what cannot be
// encoded, and where in the value it is, pushed instead. [loop] Raises only on out of memory.
int json_encode(lua_State *L, int idx, const json_style *style);

// The same, but append the text to `out`, and push nothing when it is done. After a failure `out`
// ends with a part of it. [loop] Raises only on out of memory.
int json_append(lua_State *L, int idx, const json_style *style, buffer *out);

#endif
