-- SPDX-License-Identifier: MIT
-- Types of `require "corun.http"`; see corun.lua beside it.
---@meta corun.http
-- luacheck: no unused

--- An HTTP/1.1 client with a pool of connections, and a server (RFC 9110, RFC 9112).
---
--- The client speaks TLS for `https` URLs, and verifies the server's certificate unless `insecure`
--- is spelled out. `http+unix://%2Frun%2Fx.sock/path` leads through a Unix socket: its path stands,
--- percent-encoded, in place of the host; `https+unix` with TLS. Host and certificate are then
--- localhost's; the option `unix` sends the requests for any URL through a socket.
---
--- Proxies are those of the environment, as curl has it: `http_proxy`, `https_proxy`,
--- `all_proxy`, and `no_proxy` for what is reached without; the option `proxy` goes before it. A
--- request for http goes to an http proxy as it is, and 407 is then a response like others; https
--- goes through a tunnel, by CONNECT or SOCKS5, and TLS is spoken with the server itself. Through a
--- Unix socket there is no proxy.
---
--- A response is a value whatever its status; `check = true` makes 400 and above an error. What is
--- truncated, malformed or too large is an error, and nothing of it is delivered.
---@class corun.http
local http = {}

-- ## Requests

--- Send a request in the default session and read the response.
---
--- Methods that everybody has are sent in capitals, however they are written. A user and a
--- password in the URL (`http://me:secret@host/`) are basic authorization, where neither `auth` nor
--- a header says another; no response and no error shows them.
---
--- `err.op` is what the request was at: `"wait"` (for a connection), `"resolve"`, `"connect"`,
--- `"handshake"`, `"send"`, `"read"`; `"proxy"` until a proxy has led to the server: the message
--- says at what it failed, `err.target` is the proxy.
---
--- - Raises: when a method, header or query cannot be sent, or a header is corun's to set
---   (`Content-Length`, `Transfer-Encoding`, `Connection`, `Expect`, `Upgrade`, `TE`, `Trailer`).
--- - Fails: `EURL` for a URL that is none; `EREDIRECT` for a redirect that cannot be followed;
---   `ECONNREFUSED`, `ECONNRESET`, `ETIMEDOUT` ...; `ETLS` for a certificate that is refused, or a
---   connection cut without close_notify; `EOF` when the server closed without an answer, or in
---   the middle of it; `EPROTO` for an answer that is malformed, also in its coding (`err.op` is
---   `"decode"`); `EMSGSIZE` for one over a limit (16 KiB of headers, `max_body`); `ECLOSED` when
---   the session was closed meanwhile; `EHTTP` with `check`; `EPROXY` when a proxy refuses to lead
---   to the server (`err.status` where it has one); what the source of the body failed with.
--- - Source: RFC 9110, RFC 9112, RFC 1928, RFC 1929.
---@async
---@param method string
---@param url string `"https://host[:port]/path?query"`
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function http.request(method, url, o) end

--- `http.request("GET", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function http.get(url, o) end

--- `http.request("HEAD", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function http.head(url, o) end

--- `http.request("POST", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function http.post(url, o) end

--- `http.request("PUT", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function http.put(url, o) end

--- `http.request("PATCH", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function http.patch(url, o) end

--- `http.request("DELETE", url, o)`.
---
--- - Raises: as `request`.
--- - Fails: as `request`.
---@async
---@param url string
---@param o? corun.http.options
---@return corun.http.response|corun.http.streamed|nil res
---@return corun.err? err
function http.delete(url, o) end

--- `http.get(url, o)`, with the body decoded from JSON, whatever the status.
---
--- - Raises: as `request`.
--- - Fails: as `request`; `EJSON`, with the answer as `err.response` and its `err.status`.
---@async
---@param url string
---@param o? corun.http.options
---@return any value
---@return corun.http.response|corun.err? res the response; the error when `value` is nil
function http.getjson(url, o) end

--- Iterate over the pages of a list: the responses to `http.get(url, o)` and to what each says is
--- the next.
---
--- `next(res)` answers a URL, relative to that of the page, a query, whose parameters replace those
--- of `url` and `o`, or nil at the end, as are false and `json.null`; `nil, err` is raised. Without
--- it the header `Link` with `rel=next` is followed. `next` is asked after the body of the loop. A
--- failure is raised, and `check` is true unless it is said, so that a page that fails is not taken
--- for the last. Credentials, of `o`, of `url` and of the session, go to pages of the origin of
--- `url` alone; no page leads onto a Unix socket.
---
--- ```lua
--- for res in http.paginate("https://api.example.org/items", {query = {per_page = 100}}) do
---   for _, item in ipairs(res:json()) do print(item.name) end
--- end
---
--- for res in http.paginate(url, function(res)
---   local cursor = res:json({null = false}).next_cursor -- the last page has null, or none
---   return cursor and {cursor = cursor}
--- end) do print(res.status) end
--- ```
---
--- - Raises: what a request fails with; `EURL` when the next page has a URL that is none to follow,
---   or leads from https to http, unless `redirects = {downgrade = true}` allows that; `ELOOP` when
---   a page was there before; `EBUSY` when another task waits for the next one.
---@async
---@param url string
---@param next? fun(res: corun.http.response): string|table|false|nil, any
---@param o? corun.http.options
---@return fun(): corun.http.response? pages
function http.paginate(url, next, o) end

--- Iterate over the events that a server sends (`text/event-stream`): tables of `event`
--- ("message" where the server names none), `data` and `id`.
---
--- When the stream ends or is cut the next one is asked for after the pause that the server wants
--- (`retry`; 3 s if it says none), by `Last-Event-ID` behind the last event, up to ten times with
--- the pauses of `retries`, or as `retries` says. 204 ends the loop. Whatever else is no stream of
--- events is raised, and so is a first request that fails. Silence counts as a cut after 300 s,
--- or as `timeout` says, which is for each stream. `break` closes the connection.
---
--- With another method than GET, as APIs of language models have it, nothing is sent twice: the end
--- of the stream is the end, and a cut is raised.
---
--- ```lua
--- for e in http.events("https://example.org/prices") do print(e.event, e.data) end
---
--- for e in http.events(url, {method = "POST", json = {prompt = "Hello", stream = true}}) do
---   if e.data == "[DONE]" then break end
---   io.write(json.decode(e.data).text)
--- end
--- ```
---
--- - Raises: what a request fails with; `EHTTP` for a status that is neither 200 nor 204; `EPROTO`
---   for another content type; `EMSGSIZE` for a line or an event longer than `max`; `EBUSY` when
---   another task waits for the next one.
--- - Source: HTML Standard, 9.2.
---@async
---@param url string
---@param o? corun.http.events_options
---@return fun(): corun.http.event? events
function http.events(url, o) end

--- An event that a server has sent.
---@class corun.http.event
---@field event string
---@field data string
---@field id? string of this event, or the last before it that had one

--- The options of events.
---@class corun.http.events_options: corun.http.options
---@field method? string (default "GET")
---@field reconnect? boolean ask again when the stream has ended (default: with GET)
---@field last_id? string begin behind this one
---@field max? integer the longest line, and the most data of an event, in bytes (default 1 MiB)

--- What can be said for one request, and for all of a session.
---@class corun.http.defaults
---@field headers? table<string, string|number|(string|number)[]|false> names in any case; a list
---  sends one line for each, false none: neither the session's nor corun's own
---@field query? table<string, any>|[string, any][]|string added to the URL; a table is escaped, its
---  keys sorted; a list of `{name, value}` keeps its order
---@field timeout? corun.seconds|corun.http.timeouts a number is the total, and the only limit
---@field check? boolean a status of 400 and above gives `nil, err` (`EHTTP`)
---@field max_body? integer the longest body of a response, as sent and as decoded (default 64 MiB;
---  streamed: any)
---@field auth? string|string[] `{user, password}` (basic), or a token (bearer); of a session
---  with a `base` only to that. A request's own `Authorization` header goes before it
---@field netrc? boolean|string basic authorization, where nothing else says it, by `$NETRC` or
---  `~/.netrc` (true), or the file of this path: see `corun.http.netrc`
---@field decode? boolean undo gzip, deflate, br and zstd, and ask for them (default true)
---@field expect? boolean ask the server first, by `Expect: 100-continue`, whether it wants the body
---@field stream? boolean give the response when its head has come: see `corun.http.streamed`
---@field null? any what null becomes in `getjson` (default: `json.null`)
---@field tls? true|corun.tls.client_options|corun.tls.context for https; ALPN is "http/1.1"
---@field proxy? string|false `"http://user:password@host:port"`, `https` for one that speaks TLS
---  (its certificate is verified by the system's authorities), `socks5`, or `socks5h` where the
---  proxy resolves names; false: none (default: of the environment). A header `Proxy-Authorization`
---  replaces the credentials for http, and goes into no tunnel
---@field unix? string the path of a Unix socket to go through; of a session with a `base` only to
---  that
---@field retries? boolean|integer|corun.http.retries so many further tries (default 0)
---@field redirects? boolean|integer|corun.http.redirects so many are followed (default 10); 0: none

--- The options of a request.
---@class corun.http.options: corun.http.defaults
---@field body? string|corun.http.file|corun.stream|(fun(): string?, any) see `corun.http.file`
---@field json? any encoded as the body, with its content type
---@field form? table<string, any> encoded as browsers encode forms, with its content type
---@field multipart? table<string, corun.http.part>|[string, corun.http.part][] see
---  `corun.http.part`

--- Names and passwords of hosts in a file, as ftp, curl and Python have it:
---
--- ```
--- machine api.example.com login me password secret
--- default login anonymous password me@example.com
--- ```
---
--- It is read when the first request needs it, and not unless the option `netrc` is given. Each
--- host gets what is its own, also one that a redirect leads to; the default is for the host of the
--- URL that the script gives, with a `base` for that of the base alone. A file that is not there
--- (unless it is `~/.netrc`), or has a mistake, fails the request.
---@class corun.http.netrc

--- A file as the body of a request. It is read while it is sent, and its length is told before.
---
--- An open file is sent from where it is to its end, and stays open. Any other stream, a streamed
--- response too, and a function, which is called until it gives nil, are sent in chunks; `nil, err`
--- of the function ends the request with that error. Answers are heard while the body, be it a text
--- too, is being sent: one of status 400 and above ends the sending, and the connection is not used
--- again. With `stream` the response is given once the body was sent, and what came of it before
--- then, up to 64 MiB, is kept for whoever reads.
---@class corun.http.file
---@field path string

--- What a form sends for a name, as multipart/form-data: a text, a number, a boolean, a file,
--- bytes, or a list of these. A list of `{name, value}` keeps its order, a table has that of its
--- names.
---
--- Files are read while they are sent, and closed when the call is over; one that changes its size
--- meanwhile is an error (`ECHANGED`). A redirect that keeps the method has them read again.
---
--- ```lua
--- http.post(url, {multipart = {title = "Report", file = {path = "report.pdf"}}})
--- ```
---@alias corun.http.part string|number|boolean|corun.http.part_file|corun.http.part[]

--- A file, or bytes, in a form: `path` or `data`.
---@class corun.http.part_file
---@field path? string
---@field data? string
---@field filename? string (default: the last part of `path`; bytes have none)
---@field type? string (default, with a file name: application/octet-stream)

--- The time limits of a request.
---@class corun.http.timeouts
---@field total? corun.seconds for everything (default: none)
---@field connect? corun.seconds for connecting, with the handshake of TLS (default 10)
---@field read? corun.seconds for each wait to send or for bytes (default 30)

--- Which requests are sent again (S43).
---
--- A number of `retries` is for idempotent methods (GET, HEAD, PUT, DELETE, OPTIONS, TRACE) that
--- get no answer, or 429, 502, 503 or 504. Before each further try there is a pause as by
--- `corun.backoff`, or as long as the answer's `Retry-After` asks for, if that is longer; it holds
--- no connection. A total time limit is for all tries: what it has no time for is not waited for,
--- and the last answer or error is the outcome. A body that cannot be sent twice is not.
---@class corun.http.retries
---@field tries? integer so many tries in all, as in `corun.backoff` (default 4)
---@field on? integer[] statuses to try again after (default 429, 502, 503, 504)
---@field methods? string[] methods to try again (default: the idempotent ones)
---@field retry_after? corun.seconds|boolean the longest to be heeded (default 60); false: none
---@field min? corun.seconds the first pause (default 0.5)
---@field max? corun.seconds the longest pause (default 30)
---@field factor? number what each pause is longer by (default 2)
---@field jitter? number the share of a pause that is random (default 0.5)

--- How redirects (301, 302, 303, 307, 308) are followed.
---
--- 303 and 302 become a GET without body, and so does a POST with 301; else method and body stay,
--- and HEAD always does. `Authorization`, `Cookie`, `Proxy-Authorization` and `Host`, and what a
--- session with a `base` adds, do not go to another origin. A fragment is carried over. An answer
--- without a `Location` leads nowhere, and is given as it is. Too many, a circle, a `Location` that
--- leads elsewhere than to http and https or has a user or a password, https to http, and a body
--- that cannot be sent twice end it with `EREDIRECT`; the answer is `err.response`.
---@class corun.http.redirects
---@field max? integer so many at most (default 10)
---@field downgrade? boolean follow from https to http too

--- A response, complete. Its headers are as they came, also of a body that was decoded: one that is
--- a part (206), or in a coding that is not known, is left as it is.
---@class corun.http.response
---@field status integer
---@field ok boolean whether the status is 200 to 299
---@field url string where it came from, after redirects
---@field history corun.http.response[] the redirects that led there, in order
---@field headers table<string, string> names in any case, several values joined; Set-Cookie a list
---@field refused_cookies? corun.err[] why the session keeps not all that was set (`ECOOKIE`)
---@field cache? "hit"|"miss"|"revalidated"|"stale" what the cache did: see `http.cache`
---@field links corun.http.links
---@field body string
---@field times corun.http.times
local response = {}

--- Decode the body.
---
--- - Fails: `EJSON`.
---@param o? corun.json.decode_options
---@return any value
---@return corun.err? err
function response:json(o) end

--- The body as text in UTF-8, whatever it came in.
---
--- `charset` decides, else a byte order mark, else that of the header `Content-Type`, else it is
--- UTF-8. Names are those of the Encoding Standard, so that latin1 is windows-1252, as in browsers.
--- A mark is left out; bytes that stand for no character become U+FFFD.
---
--- - Fails: `ECHARSET` for a charset that is not known.
--- - Source: Encoding Standard (WHATWG).
---@async
---@param o? corun.http.text_options
---@return string? text
---@return corun.err? err
function response:text(o) end

---@class corun.http.text_options
---@field charset? string known better than by the server
---@field max? integer of a streamed response: the longest body in bytes (default: any)

--- The header `Link` (RFC 8288): a list of links, in order, and the first of each relation by its
--- name, in small letters: `res.links.next.url`. Empty where there are none.
---@class corun.http.links
---@field [integer] corun.http.link
---@field [string] corun.http.link

--- A link. One with several relations is there for each.
---@class corun.http.link
---@field url string resolved against that of the response
---@field rel string in small letters
---@field title? string
---@field anchor? string what the link is from, where that is not the response, resolved
---@field params table<string, string> the first of each parameter, by its name in small letters

--- What the time of a request went to, in seconds. Over a connection that was kept, `connect` and
--- `tls` are 0.
---@class corun.http.times
---@field queue number waiting for a connection that the limits allow
---@field connect number resolving the name and connecting
---@field tls number the handshake
---@field wait number sending the request and waiting for the first byte of the answer
---@field total? number everything; of a streamed response nil until its body has come

--- A response with `stream = true`, given as soon as its head has come: it has the reading methods
--- of streams instead of `body`.
---
--- The server is held back while nobody reads. The connection, which counts for the session's
--- limits, is free for the next request as soon as the whole body has come; `close`, a `<close>`
--- variable or the collector closes one whose body was not read to its end. A body that is cut is
--- an error after what came before it. With `check` the error's response has its first 64 KiB as
--- `body`.
---
--- ```lua
--- local res <close> = assert(http.get(url, {stream = true}))
--- for event in json.lines(res) do print(event.id) end
--- ```
---@class corun.http.streamed
---@field status integer
---@field ok boolean
---@field url string
---@field headers table<string, string> as of `corun.http.response`
---@field links corun.http.links
---@field refused_cookies? corun.err[] as of `corun.http.response`
---@field length? integer bytes of the body, where the server said so and no coding is undone
---@field times corun.http.times
local streamed = {}

--- Read by a format, as `stream:read` does.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: as `stream:read`; `EOF` when the connection ends within the body; as `http.request`.
---@async
---@param format? "l"|"L"|"a"|"n"|integer
---@param o? corun.stream.read_options
---@return string|number|nil data
---@return corun.err? err
function streamed:read(format, o) end

--- Take what is there, as `stream:recv` does.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: as `read`.
---@async
---@param max? integer
---@param o? corun.stream.timeout_options
---@return string? data
---@return corun.err? err
function streamed:recv(max, o) end

--- Read exactly `n` bytes, as `stream:read_exactly` does.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: as `read`.
---@async
---@param n integer
---@param o? corun.stream.timeout_options
---@return string? data
---@return corun.err? err
function streamed:read_exactly(n, o) end

--- Read up to `str`, and with it, as `stream:read_until` does.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: as `read`; `EMSGSIZE`.
---@async
---@param str string
---@param o? corun.stream.read_options
---@return string? data
---@return corun.err? err
function streamed:read_until(str, o) end

--- Loop over the lines, as `stream:lines` does.
---
--- - Suspends: `lines` itself no; each step of the loop.
--- - Raises: each step: what `read` returns as an error.
---@param format? "l"|"L"|"n"|integer
---@param o? corun.stream.read_options
---@return fun(): string?
function streamed:lines(format, o) end

--- Read the rest and decode it.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: as `read`; `EJSON`.
---@async
---@param o? corun.json.decode_options
---@return any value
---@return corun.err? err
function streamed:json(o) end

--- Read the rest as text in UTF-8, as `text` of a complete response gives it.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: as `read`; `EMSGSIZE` beyond `max`; `ECHARSET`.
---@async
---@param o? corun.http.text_options
---@return string? text
---@return corun.err? err
function streamed:text(o) end

--- Close the connection, unless the whole body has come. A second call does nothing.
function streamed:close() end

return http
