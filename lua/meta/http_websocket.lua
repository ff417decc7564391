-- SPDX-License-Identifier: MIT
-- Types of WebSocket in `require "corun.http"`; see http.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## WebSocket

--- Open a WebSocket (RFC 6455) to a `ws://` or `wss://` URL; with `session:websocket` also to a
--- path behind the session's `base`, with its headers, cookies and login.
---
--- The connection is its own: no limit of the session counts it, and it outlives the session.
--- Redirects are not followed, and neither a cache nor a recording has anything of it.
---
--- ```lua
--- local ws <close> = assert(http.websocket("wss://example.org/feed"))
--- assert(ws:send("subscribe"))
--- for message, kind in ws do print(kind, message) end
--- ```
---
--- - Fails: as `http.request` until the connection is there; `EHTTP` with `err.status` and
---   `err.response` when the server answers otherwise; `EPROTO` when it does not speak WebSocket.
---@async
---@param url string
---@param o? corun.http.websocket_options
---@return corun.http.websocket? ws
---@return corun.err? err
function http.websocket(url, o) end

--- What both sides of a WebSocket can be told.
---@class corun.http.websocket_common
---@field headers? table<string, string|string[]> more headers of the handshake
---@field protocols? string[] subprotocols: of a client all that it speaks, a server chooses the
---   first of its own that the client offers
---@field max_message? integer the longest message, in bytes (default 16 MiB, 1 GiB at most); a peer
---   that sends more is closed with 1009
---@field ping? corun.seconds|false a peer that was silent for so long is asked for a sign of life,
---   and given up when it gives none within the same time again (default 30)
---@field deflate? boolean|corun.http.deflate_options whether messages may be compressed (default
---   true), if the peer can

---@class corun.http.websocket_options: corun.http.websocket_common
---@field origin? string the header `Origin`
---@field query? table|string as for `http.request`; also `timeout`, `tls`, `unix`, `auth`, `proxy`,
---   `retries`, `netrc`

--- How messages are compressed (permessage-deflate, RFC 7692).
---@class corun.http.deflate_options
---@field threshold? integer messages from so many bytes on are compressed (default 1024)
---@field takeover? boolean messages may refer to those before (default false): similar short ones
---   get smaller, but each side keeps up to 300 KB for the connection
---@field window? integer bits of the window in which this side finds repetitions: 9 to 15 (default)

--- Send one message over many WebSockets: it is encoded, and compressed, once.
---
--- Nobody is waited for. What a peer does not read fast enough is queued, up to `queue` bytes; a
--- peer that has more waiting is passed over, or with `slow = "close"` closed with 1013. Those that
--- are closed are passed over.
---
--- - Raises: when the table has none among key and value.
---@async
---@param sockets table<any, any> a list, or a table with WebSockets as its keys or as its values
---@param data string
---@param kind? "text"|"binary"
---@param o? corun.http.broadcast_options
---@return integer sent to how many it was sent
---@return integer slow how many were too slow
function http.broadcast(sockets, data, kind, o) end

---@class corun.http.broadcast_options
---@field queue? integer bytes that may wait for a peer (default 1 MiB)
---@field slow? "skip"|"close" what becomes of a peer with more (default "skip")

---@class corun.http.server_request
local server_request = {}

--- Answer a request of `http.serve` with a WebSocket. The handler talks over it and returns when
--- the conversation is over; then it is closed, if it is not yet: with 1000, with 1011 when the
--- handler failed, with 1001 when it was cancelled. `server:close` says goodbye to all with 1001.
---
--- A request that asks for none, or not as it should, is answered with 400 or 426, one from a page
--- of another origin with 403. A handler that fails just because the client has gone without a
--- goodbye is not logged.
---
--- ```lua
--- http.serve("127.0.0.1:0", function(req)
---   local ws = req:upgrade()
---   for message, kind in ws do ws:send(message, kind) end
--- end)
--- ```
---
--- - Raises: what ends the handler, if the request is refused: the server logs nothing then.
---   `ECLOSED` when it was upgraded or answered before.
---@async
---@param o? corun.http.upgrade_options
---@return corun.http.websocket ws
function server_request:upgrade(o) end

---@class corun.http.upgrade_options: corun.http.websocket_common
---@field origin? string|string[]|fun(origin: string, req: corun.http.server_request): boolean
---   whose pages may open it: `"*"` all, else those named (`"https://example.org"`); by default
---   those of the host that the request names. Programs, which say no origin, always may

--- A WebSocket, of a client or a server. One task at a time receives; others may send meanwhile.
---
--- Pings, and the peer's goodbye, are answered while a task receives or sends.
---@class corun.http.websocket
---@field protocol? string the subprotocol that was agreed on
---@field code? integer once it is over, the close code: the peer's; 1005 when it gave none; 1006
---   when the connection ended without a goodbye; or what this side refused it with
---@field reason? string the peer's
---@operator call: string
local websocket = {}

--- Send a message. It waits while the peer does not read what was sent before.
---
--- - Raises: when a text is not UTF-8; `ECLOSED` after `ws:close`.
--- - Fails: `ECLOSED` when the conversation is over; as `recv`.
---@async
---@param data string
---@param kind? "text"|"binary" (default "text")
---@return true? ok
---@return corun.err? err
function websocket:send(data, kind) end

--- Wait for the next message. `for message, kind in ws do` does the same, and raises what goes
--- wrong.
---
--- A peer that breaks the rules is closed with 1002, 1007 for text that is not UTF-8, 1009 for a
--- message that is too long.
---
--- - Raises: `EBUSY` when another task is receiving.
--- - Fails: `ETIMEDOUT`, which loses nothing. `ECLOSED` when the peer closed with another code than
---   1000 or 1001; `EPROTO` and `EMSGSIZE` when it broke the rules; `EOF` when the connection ended
---   without a goodbye; `ECONNRESET` when the peer gave no sign of life. `err.status` is the close
---   code, `err.reason` the peer's reason.
---@async
---@param o? {timeout?: corun.seconds}
---@return string? data nil alone when the conversation has ended as it should
---@return "text"|"binary"|corun.err|nil kind
function websocket:recv(o) end

--- Say goodbye, and wait up to two seconds for the peer's; messages that come meanwhile are
--- dropped, unless a task is receiving. A second call does nothing.
---
--- - Raises: when the code or the reason cannot be sent.
---@async
---@param code? integer 1000 (default) to 1014, or 3000 to 4999
---@param why? string up to 123 bytes
---@return true ok
function websocket:close(code, why) end
