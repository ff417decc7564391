// SPDX-License-Identifier: MIT
// What the files of a WebSocket share: websocket.c receives, websocket_send.c sends,
// websocket_end.c keeps alive and ends.
#ifndef HTTP_WEBSOCKET_INNER_H
#define HTTP_WEBSOCKET_INNER_H

#include "http/websocket.h"

#define WEBSOCKET_LINGER 2.0  // seconds for which a peer that broke the rules may go on sending

// Send a control frame with `n` bytes, if it can be sent. [loop]
void websocket_control(websocket *w, websocket_opcode opcode, const void *p, size_t n);

// Send a close frame, once. [loop]
void websocket_bye(websocket *w, unsigned code, const char *why, size_t n);

// The peer broke a rule: tell it, and receive nothing more. [loop]
void websocket_fail(websocket *w, unsigned code, const char *fault);

// The stream ended, with UV_EOF or an error. [loop]
void websocket_lost(websocket *w, int rc);

// The peer has said goodbye: answer it and close the stream. [loop]
void websocket_end(websocket *w, unsigned code, const unsigned char *why, size_t n);

// Close the stream: all who wait go on. [loop] Must not run Lua.
void websocket_hang_up(websocket *w);

// Push the results of receiving once it is over. [loop]
int websocket_give_end(lua_State *L, websocket *w);

// Push nil and why nothing can be sent any more. [loop]
int websocket_give_closed(lua_State *L, const websocket *w, const char *op);

// Push nil and the error for a libuv code. [loop]
int websocket_give_error(lua_State *L, const websocket *w, int rc, const char *op);

// Go on receiving. [loop]
int websocket_go_on(lua_State *L, websocket *w);

// Handle the control frames that have come while nobody receives. [loop]
void websocket_attend(websocket *w);

#endif
