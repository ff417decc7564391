-- SPDX-License-Identifier: MIT
-- Types of what `require "corun.http"` has for handlers; see http_server.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## Handlers

--- What answers requests: a function, or an object that can be called, as a router.
---@alias corun.http.handler fun(req: corun.http.server_request): string|corun.http.reply

--- Make a router: a handler that calls others by method and path.
---
--- A path is written as `/users/:id/files/*rest`: `:id` is one segment that is not empty, `*rest`
--- all that is left, perhaps nothing. The handler finds both in `req.params`, decoded. Paths are
--- matched as they were sent, so an encoded slash divides nothing: it is in the value of `:id`, and
--- still encoded in that of `*rest`. Of several routes the most specific is taken, segment by
--- segment from the left: a name before `:id`, that before `*rest`, that before what is mounted.
---
--- HEAD is answered by the route of GET, OPTIONS with the methods of the path, another method of a
--- known path with 405 and `Allow`, an unknown path with 404. With and without a slash at the end
--- are two paths; the one that has no route is led to the other with 308.
---
--- ```lua
--- local app = http.router()
--- app:get("/users/:id", function(req) return {json = find(req.params.id)} end)
--- app:mount("/static", http.static("public"))
--- app:use(http.compress)
--- http.serve("127.0.0.1:8080", app)
--- ```
---@param o? corun.http.router_options
---@return corun.http.router router
function http.router(o) end

---@class corun.http.router_options
---@field not_found? corun.http.handler answers what no route is for (default: 404)

--- A router. Routes may be added at any time; all methods return the router. Misuse raises: a
--- pattern that is none, a route that is there already.
---@class corun.http.router
local router = {}

--- Add a route.
---
--- - Raises: for a bad pattern, and when there is such a route already.
---@param method string such as "GET"
---@param pattern string
---@param handler corun.http.handler
---@return corun.http.router self
function router:route(method, pattern, handler) end

--- Add a route for GET, and so for HEAD. `router:head`, `post`, `put`, `patch`, `delete` and
--- `options` are alike.
---@param pattern string
---@param handler corun.http.handler
---@return corun.http.router self
function router:get(pattern, handler) end

--- Add a route for all methods that have none of their own at this path.
---@param pattern string
---@param handler corun.http.handler
---@return corun.http.router self
function router:any(pattern, handler) end

--- Hand on all requests at and below a path, which may have parameters, to another handler: a
--- router, `http.static`, `http.proxy`, or any function. It finds what is below in `req.subpath`,
--- as it was sent and beginning with "/"; routers go by that. Parameters of both are in
--- `req.params`.
---@param prefix string
---@param handler corun.http.handler
---@return corun.http.router self
function router:mount(prefix, handler) end

--- Put middleware around all that the router answers, 404 included: a function that is given a
--- handler and returns one. The first is the outermost. Routes are looked up inside it, so
--- `req.params` is not there yet.
---
--- ```lua
--- app:use(function(next)
---   return function(req)
---     local start = corun.now()
---     local answer = next(req)
---     log.info("answered", {path = req.path, seconds = corun.now() - start})
---     return answer
---   end
--- end)
--- ```
---@param middleware fun(next: corun.http.handler): corun.http.handler
---@return corun.http.router self
function router:use(middleware) end

-- ## Files

--- Make a handler that answers GET and HEAD with the files of a folder, below the path that it is
--- mounted at or the whole path of the request.
---
--- A file comes with its type, a strong `ETag` (of its time, size and number), `Last-Modified`, and
--- `Accept-Ranges`; conditions are answered with 304 or 412, a range with 206 or 416, several
--- ranges with the whole file. A folder without a slash at its end is led to that with it. Files
--- over 128 KiB are sent in pieces of 256 KiB while they are read. Up to 16 MiB of smaller ones are
--- kept, and for a second each is answered without another look at the disk (`fresh`).
---
--- Nothing but the files of the folder is ever answered: "..", encoded slashes, backslashes and
--- zero bytes get 400; hidden names, what links lead to outside, and what is no file get 404.
--- Whoever can change the folder itself while a file is opened is trusted. A folder that is not
--- there is a failure of the server: 500, and a line in its log.
---@param root string
---@param o? corun.http.static_options
---@return corun.http.handler handler
function http.static(root, o) end

---@class corun.http.static_options
---@field index? string|boolean the file that stands for its folder (default "index.html"); false:
---   none
---@field list? boolean folders without an index are listed
---@field hidden? boolean names that begin with a dot are answered too
---@field precompressed? boolean of a text `x` the file `x.zst`, `x.br` or `x.gz` beside it is sent
---   to clients that accept it; whoever makes them keeps them up to date
---@field cache_control? string the header `Cache-Control`
---@field types? table<string, string> content types by further endings of names
---@field fresh? corun.seconds for so long a small file is answered as it was read (default 1); 0:
---   nothing is kept

-- ## Reverse proxies

--- Make a handler that answers with what another server answers. Both bodies go through piece by
--- piece as they come, that of the request when the server has the option `stream`; it is sent
--- before the answer is read, unless the answer is 400 or above.
---
--- The path of the request, below what the handler is mounted at, is appended to that of `target`,
--- byte by byte; one with "." or ".." in it gets 400. Headers that concern one connection alone are
--- dropped, `Expect` and `Upgrade` too: no WebSocket goes through. The server is told of the client
--- by `X-Forwarded-For`, `-Proto` and `-Host`, which clients cannot forge. Redirects go through.
---
--- A server that cannot be reached, or breaks off before its answer has begun, is answered with
--- 502, one that is silent for too long with 504, and a line is logged; one that breaks off later
--- ends the client's connection, so that it sees the answer is not whole. A client that goes, or
--- ends its sending side, ends the request to the server too.
---
--- ```lua
--- local app = http.router()
--- app:mount("/api", http.proxy("http://127.0.0.1:3000/v1"))
--- http.serve("127.0.0.1:8080", app, {stream = true})
--- ```
---@param target string the URL of the server, as for requests, with the begin of all paths
---@param o? corun.http.proxy_options
---@return corun.http.proxy proxy
function http.proxy(target, o) end

---@class corun.http.proxy_options
---@field timeout? corun.seconds|corun.http.timeouts (default `{connect=10, read=60}`)
---@field headers? table<string, string|string[]|false> of the requests, in place of the client's;
---   false leaves one out
---@field keep_host? boolean the server gets the client's `Host` (default: its own)
---@field trust? boolean what stands in `X-Forwarded-...` and `Forwarded` already is kept, for
---   clients that are proxies themselves
---@field forwarded? boolean tell it in the header `Forwarded` (RFC 7239) too
---@field on_error? fun(err: corun.err, req: corun.http.server_request): any answers instead of 502
---   and 504, unless it gives nil
---@field limit? integer so many requests to the server at once (default 1024); further ones wait
---@field idle? corun.seconds for which a connection to it is kept without use (default 4)
---@field tls? boolean|corun.tls.client_options|corun.tls.context as for requests

--- A handler that can be called, and closed.
---@class corun.http.proxy
local proxy = {}

--- Close the connections to the server. Requests that are under way fail.
function proxy:close() end

-- ## Middleware and helpers

--- Compress what a handler answers, as the client accepts it: zstd, br or gzip, by the weights of
--- `Accept-Encoding`. Only what has a content type of text (also JSON, XML, SVG ...), is long
--- enough, and has no coding yet; parts (206) and `no-transform` stay as they are. `Vary` is added,
--- an `ETag` becomes weak. What is written in pieces is compressed and flushed piece by piece.
---
--- An answer that has a secret beside what a client has sent (a token beside a search term) tells
--- the secret by its length when it is compressed (BREACH): leave such answers out.
---
--- ```lua
--- app:use(http.compress)
--- ```
---@param handler corun.http.handler
---@param o? corun.http.compress_options
---@return corun.http.handler handler
function http.compress(handler, o) end

---@class corun.http.compress_options
---@field least? integer bodies shorter than so many bytes stay as they are (default 1024)
---@field codings? string[] those that are offered, the best first (default zstd, br, gzip)
---@field level? integer that each of the codings has (default: that of each)

--- Make a handler that answers with server-sent events, which `fn(events, req)` sends until it
--- returns. While it sends nothing a comment goes out every 15 seconds; when that or an event finds
--- that the client has gone, `fn` is cancelled.
---
--- ```lua
--- app:get("/changes", http.sse(function(events)
---   for change in changes do events:event{event = "change", data = change} end
--- end))
--- ```
---@param fn fun(events: corun.http.event_writer, req: corun.http.server_request)
---@param o? corun.http.sse_options
---@return corun.http.handler handler
function http.sse(fn, o) end

---@class corun.http.sse_options
---@field keep_alive? corun.seconds from one comment to the next (default 15)

--- What events are sent to.
---@class corun.http.event_writer
---@field last_id? string the id of the last event that the client got before it connected again
---@field count integer events sent so far
local event_writer = {}

--- Send an event: its data, or a table. Data that is no string is sent as JSON.
---
--- - Raises: when the client has gone, which ends the function; for a name or an id of two lines.
---@async
---@param e string|corun.http.sent_event
---@return true ok
function event_writer:event(e) end

---@class corun.http.sent_event
---@field event? string its name
---@field data? any
---@field id? string|integer
---@field retry? corun.seconds after which a client connects again

--- Send a comment, which clients ignore.
---@async
---@param text? string
---@return true ok
function event_writer:comment(text) end

--- Let pages of other origins read what a handler answers (CORS), and answer their preflights.
---@param handler corun.http.handler
---@param o? corun.http.cors_options
---@return corun.http.handler handler
function http.cors(handler, o) end

---@class corun.http.cors_options
---@field origins? "*"|string[]|fun(origin: string): any those that are allowed (default "*": all)
---@field methods? string[] (default GET, HEAD, POST, PUT, PATCH, DELETE)
---@field headers? string[] that requests may have (default: those that are asked for)
---@field expose? string[] headers that pages may read
---@field credentials? boolean cookies and passwords are sent along; needs `origins`
---@field max_age? number seconds for which a preflight holds

--- Says whether a name and a password are right.
---@alias corun.http.check fun(user: string, password: string, req: corun.http.server_request): any

--- Let in only who has a name and a password (RFC 7617); the name is `req.user` then. All others
--- get 401. Passwords cross the network readable: use it over TLS.
---@param handler corun.http.handler
---@param check table<string, string>|corun.http.check passwords by names, or what tells
---@param o? corun.http.basic_auth_options
---@return corun.http.handler handler
function http.basic_auth(handler, check, o) end

---@class corun.http.basic_auth_options
---@field realm? string what browsers show (default "restricted")

--- Make the value of a header `Set-Cookie`. What browsers would refuse raises.
---
--- ```lua
--- return {headers = {["Set-Cookie"] = http.set_cookie("id", token, {http_only = true})}}
--- ```
---@param name string
---@param value string visible ASCII without blanks, quotes, commas, semicolons and backslashes
---@param o? corun.http.set_cookie_options
---@return string header
function http.set_cookie(name, value, o) end

---@class corun.http.set_cookie_options
---@field path? string (default "/")
---@field domain? string (default: this host alone)
---@field max_age? integer seconds; 0 or less removes the cookie (default: until the browser ends)
---@field expires? number seconds since 1970
---@field secure? boolean only over TLS
---@field http_only? boolean out of the reach of scripts
---@field same_site? "strict"|"lax"|"none"
---@field partitioned? boolean

--- Write what the option `log` of `http.serve` is told as a line of the common log format, with
--- `combined` of the combined one. Nothing that a client sends breaks out of its quotes. The bytes
--- are those of the whole answer; the status is 499 when the client had gone.
---
--- ```lua
--- http.serve(addr, app, {log = function(entry) print(http.common_log(entry)) end})
--- ```
---@param entry corun.http.log_entry
---@param o? corun.http.common_log_options
---@return string line without its end
function http.common_log(entry, o) end

---@class corun.http.common_log_options
---@field combined? boolean with `Referer` and `User-Agent`
