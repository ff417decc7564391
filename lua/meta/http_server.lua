-- SPDX-License-Identifier: MIT
-- Types of the servers of `require "corun.http"`; see http.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## HTTP servers

--- Listen on `addr` and answer each request with `fn(req)`, each in a task of its own.
---
--- `fn` returns the body as a string, or a response table. A failure of `fn` is logged and
--- answered with 500; the server goes on (S42). The server is a child of the calling scope.
--- `server:close{drain=}` lets requests that are under way end; idle connections are closed at
--- once. A request that is malformed is answered with 400, 413, 414, 431, 501 or 505, and the
--- connection closed.
---
--- ```lua
--- local server = http.serve("127.0.0.1:0", function(req)
---   return {json = {path = req.path, query = req.query}}
--- end)
--- ```
---
--- - Raises: when `addr` is no address.
--- - Fails: as `net.listen`.
---@async
---@param addr corun.address
---@param fn fun(req: corun.http.server_request): string|corun.http.reply
---@param o? corun.http.serve_options
---@return corun.server? server
---@return corun.err? err
function http.serve(addr, fn, o) end

---@class corun.http.serve_options
---@field limit? integer so many connections at once
---@field max_body? integer the longest body of a request, in bytes (default 64 MiB)
---@field idle? corun.seconds a connection silent for so long is closed (default 75)

--- A request, as a handler gets it.
---@class corun.http.server_request
---@field method string
---@field target string as it was sent: path and query
---@field path string unescaped, without the query
---@field query table<string, string> unescaped
---@field headers table<string, string> names in any case, several values joined
---@field body string
---@field peer string the address of the other side
---@field version "1.0"|"1.1"
local server_request = {}

--- Decode the body.
---
--- - Fails: `EJSON`.
---@param o? corun.json.decode_options
---@return any value
---@return corun.err? err
function server_request:json(o) end

--- What a handler returns. The header `Connection: close` is heeded.
---@class corun.http.reply
---@field status? integer (default 200)
---@field headers? table<string, string|string[]> corun sets those about length and connection
---@field body? string
---@field json? any encoded as the body, with its content type
