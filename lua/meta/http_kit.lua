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
--- `Accept-Ranges`; conditions are answered with 304 or 412, a range with 206 or 416, several ranges
--- with the whole file. A folder without a slash at its end is led to that with it. Files over 128
--- KiB are sent in pieces of 256 KiB while they are read. Up to 16 MiB of smaller ones are kept, and
--- for a second each is answered without another look at the disk (`fresh`).
---
--- Nothing but the files of the folder is ever answered: "..", encoded slashes, backslashes and zero
--- bytes get 400; hidden names, what links lead to outside, and what is no file get 404. Whoever can
--- change the folder itself while a file is opened is trusted. A folder that is not there is a
--- failure of the server: 500, and a line in its log.
---@param root string
---@param o? corun.http.static_options
---@return corun.http.handler handler
function http.static(root, o) end

---@class corun.http.static_options
---@field index? string|boolean the file that stands for its folder (default "index.html"); false:
---   none
---@field list? boolean folders without an index are listed
---@field hidden? boolean names that begin with a dot are answered too
---@field precompressed? boolean of a text `x` the file `x.zst`, `x.br` or `x.gz` beside it is sent to
---   clients that accept it; whoever makes them keeps them up to date
---@field cache_control? string the header `Cache-Control`
---@field types? table<string, string> content types by further endings of names
---@field fresh? corun.seconds for so long a small file is answered as it was read (default 1); 0:
---   nothing is kept
