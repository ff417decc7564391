// SPDX-License-Identifier: MIT
// The second look at a head that llhttp has passed: line structure, what RFC 9110 and 9112 forbid
// and llhttp accepts, and what the headers mean for the connection. Owns nothing; works on the
// block and the fields of a parser, on its thread. Internal to the parser.
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "http/parser.h"

// Check the complete head in the block, lower the names, trim the values and fill `p->head`. [any]
// Errors: the reason of the refusal, or HTTP_E_NONE.
http_error http_head_check(http_parser *p);

// Check the complete trailers, which are the block from `p->trailers` on. [any] Errors: as above.
http_error http_trailers_check(http_parser *p);

#endif
