-- SPDX-License-Identifier: MIT
-- Types of the sessions of `require "corun.http"`; see http.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## Sessions

--- Make a session: a pool of connections with options of its own.
---
--- A connection is kept open for the next request to the same origin. A request that meets a
--- connection which the server has closed meanwhile is sent again, once, if its method is
--- idempotent and no byte was answered. Requests beyond the limits wait, first come, first served.
--- Of headers and of a query table the request's own win; with a `base`, those of the session go to
--- its origin alone. Idle connections keep neither the program nor a deadlock from ending.
---@param o? corun.http.session_options
---@return corun.http.session session
function http.session(o) end

--- The options of a session.
---@class corun.http.session_options: corun.http.defaults
---@field base? string a prefix: `"/v1"` and `"/x"` make `"/v1/x"`; an absolute URL replaces it
---@field limit? integer so many connections in all, idle ones counted (default 100)
---@field per_host? integer so many connections to one origin (default: `limit`)
---@field idle? corun.seconds a connection unused for so long is closed (default 15)
---@field rate? corun.http.rate|corun.limiter so many tries in a time; a limiter is for all hosts
---@field cookies? boolean|corun.http.jar keep cookies, in a jar of its own (true, the default) or
---  in this one; with a `base` only of its origin, and none of `http+unix` URLs. A request's own
---  `Cookie` header goes before them
---@field cache? boolean|string|corun.http.cache keep responses and answer with them, in memory
---  (true), in this directory, or in a cache that `http.cache` has made (default: none)
---@field recorder? corun.http.recorder record what is sent and got, or replay it
---@field on_request? fun(req: corun.http.hooked) called before a request is sent
---@field on_response? fun(res: corun.http.response, req: corun.http.hooked) called with its answer

--- A request, as hooks see it.
---
--- The hooks of a session are called once for each call, outside of retries and redirects:
--- `on_request` before the first try, `on_response` with the last answer, whatever its status, but
--- not with a failure. `on_request` may change all that is here; fields of its own are there in
--- `on_response`. A hook that returns `nil, err` ends the request with that error, one that raises
--- raises in the caller. Hooks may wait; they hold no connection, and their time counts for the
--- total, which does not interrupt them. Requests of their own must be another session's.
---
--- ```lua
--- local session = http.session{on_request = function(req)
---   req.headers["X-Signature"] = codec.hmac("sha256", key, req.method .. req.url)
--- end}
--- ```
---@class corun.http.hooked
---@field method string
---@field url string
---@field headers table<string, string|string[]> those of the session too, but not its cookies
---@field body? string nil too where the body is not a string; a string replaces it

--- So many tries in so many seconds, for each host: `{10, 1}`. Redirects and retries count too. Who
--- waits holds no connection; first come, first served.
---@class corun.http.rate
---@field [1] number so many
---@field [2] corun.seconds
---@field burst? number so many at once after a pause, 1 or more (default: the first number)

--- A session. `http.get` and its like use a default one.
---@class corun.http.session
---@field base? string may be changed
---@field headers table<string, string|string[]> its own copy; may be changed
---@field cookies corun.http.jar|false
local session = {}

--- Send a request and read the response.
---
--- - Raises: as `http.request`; `ECLOSED`.
--- - Fails: as `http.request`.
---@async
---@param method string
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function session:request(method, url, o) end

--- `session:request("GET", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function session:get(url, o) end

--- `session:request("HEAD", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function session:head(url, o) end

--- `session:request("POST", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function session:post(url, o) end

--- `session:request("PUT", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function session:put(url, o) end

--- `session:request("PATCH", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function session:patch(url, o) end

--- `session:request("DELETE", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function session:delete(url, o) end

--- `session:get(url, o)`, with the body decoded from JSON, whatever the status.
---
--- - Raises: as `request`.
--- - Fails: as `request`; `EJSON`.
---@async
---@param url string
---@param o? corun.http.options
---@return any value
---@return corun.http.response|corun.err? res the response; the error when `value` is nil
function session:getjson(url, o) end

--- `http.paginate` over this session.
---
--- - Raises: as `http.paginate`.
---@async
---@param url string
---@param next? fun(res: corun.http.response): string|table|false|nil, any
---@param o? corun.http.options
---@return fun(): corun.http.response? pages
function session:paginate(url, next, o) end

--- `http.download` over this session.
---
--- - Raises: as `http.download`.
--- - Fails: as `http.download`.
---@async
---@param url string
---@param path string
---@param o? corun.http.download_options
---@return integer? bytes
---@return corun.err? err
function session:download(url, path, o) end

--- `http.events` over this session.
---
--- - Raises: as `http.events`.
---@async
---@param url string
---@param o? corun.http.events_options
---@return fun(): corun.http.event? events
function session:events(url, o) end

--- `http.websocket` over this session.
---
--- - Fails: as `http.websocket`.
---@async
---@param url string
---@param o? corun.http.websocket_options
---@return corun.http.websocket? ws
---@return corun.err? err
function session:websocket(url, o) end

--- What the session does now, and has done since it was made, in all and for each host.
---
--- ```lua
--- local stats = session:stats()
--- print(stats.requests, stats.reuses / stats.requests, stats.bytes_in)
--- ```
---@return corun.http.stats stats
function session:stats() end

--- Numbers of a session, or of one host. Bytes are counted before TLS.
---@class corun.http.host_stats
---@field open integer connections that are open or being made
---@field idle integer those of them that wait for a request
---@field active integer requests that have a connection, or get one
---@field waiting integer requests that wait for one
---@field connects integer connections that were made
---@field requests integer tries over them, redirects and retries too
---@field reuses integer those that found a connection open
---@field bytes_in integer
---@field bytes_out integer

--- Numbers of a session.
---@class corun.http.stats: corun.http.host_stats
---@field retries integer
---@field redirects integer those that were followed
---@field cache corun.http.cache_stats
---@field hosts table<string, corun.http.host_stats> by `"host"` or `"host:port"`, the first 1,000

--- Close the session and its connections. Requests that are under way, or wait for a connection or
--- for their turn, get `nil, err` with `ECLOSED`. A second call does nothing.
function session:close() end
