-- SPDX-License-Identifier: MIT
-- Types of `require "corun.net"` and of streams; see corun.lua beside it.
---@meta corun.net
-- luacheck: no unused

--- TCP: connections, servers, and the one set of stream methods.
---@class corun.net
local net = {}

--- `"host:port"`, `"[v6]:port"` or `{host = "...", port = 80}`. To listen on every address of the
--- machine: `":port"` or `"*:port"`.
---@alias corun.address string|{host: string, port: integer}

-- ## Connecting

--- Connect to `addr`. The addresses that a name has are tried in turn.
---
--- - Raises: when `addr` is no address.
--- - Fails: `ECONNREFUSED`, `ETIMEDOUT`, the resolver's `EAI_NONAME` ...
---@async
---@param addr corun.address
---@param o? corun.net.connect_options
---@return corun.tcp? stream
---@return corun.err? err
function net.connect(addr, o) end

---@class corun.net.connect_options
---@field timeout? corun.seconds give up after so long, the resolver's time included
---@field bind? corun.address the local address, numeric
---@field nodelay? boolean send small writes at once (default true)

-- ## TCP servers

--- Listen on `addr`; port 0 takes a free one.
---
--- - Raises: when `addr` is no address.
--- - Fails: `EADDRINUSE`, `EACCES`, `EAI_NONAME` ...
---@async
---@param addr corun.address
---@param o? corun.net.listen_options
---@return corun.listener? listener
---@return corun.err? err
function net.listen(addr, o) end

---@class corun.net.listen_options
---@field backlog? integer so many connections may wait in the system's queue (default 1024)
---@field reuse? boolean listen although old connections of the address linger (default true)

--- A listening socket.
---@class corun.listener
local listener = {}

--- Wait for the next connection. Several tasks may wait.
---
--- - Raises: `ECLOSED`.
--- - Fails: `ECLOSED` when the listener was closed meanwhile (S20); the system's reason.
---@async
---@return corun.tcp? stream
---@return corun.err? err
function listener:accept() end

--- The local address.
---@return string address `"127.0.0.1:8080"`
function listener:address() end

--- Stop listening. A second call does nothing.
function listener:close() end

--- Listen on `addr` and call `fn(stream)` in a task of its own for each connection.
---
--- The stream is closed when `fn` returns. A failure of `fn` is logged and ends its connection
--- alone. The server is a child of the calling scope (S42).
---
--- - Raises: when `addr` is no address.
--- - Fails: as `listen`.
---@async
---@param addr corun.address
---@param fn fun(stream: corun.tcp)
---@param o? corun.net.serve_options
---@return corun.server? server
---@return corun.err? err
function net.serve(addr, fn, o) end

---@class corun.net.serve_options
---@field limit? integer so many connections at once; further ones wait in the system's queue

--- A running server.
---@class corun.server
local server = {}

--- The local address.
---@return string address `"127.0.0.1:8080"`
function server:address() end

--- Stop listening, let the connections end by themselves for `drain` seconds, cancel the rest.
---
--- It returns when all have ended; in a handler of this very server at once.
---@async
---@param o? corun.server.close_options
function server:close(o) end

---@class corun.server.close_options
---@field drain? corun.seconds (default 0)

--- Wait until the server is closed and its connections have ended.
---@async
function server:wait() end

-- ## Streams

--- Bytes in both directions. One task may read while another writes; a second reader raises
--- `EBUSY`, a call on a closed stream `ECLOSED`; closing a stream ends a call that waits with
--- `nil, err` (S20). A `timeout` is for that call alone, and a read that was cut short by it or by
--- a cancellation loses no byte (S19).
---@class corun.stream
local stream = {}

--- Read as Lua's `io` does (S41).
---
--- `"l"` is a line without its end, `"L"` with it, `"a"` everything up to the end, `"n"` a number,
--- an integer so many bytes, fewer only at the end. `format` may be left out before the options.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: `ETIMEDOUT`; `EMSGSIZE` for what is longer than `max`; `EINVAL` when no number comes;
---   `ECONNRESET` ...; the end of the stream is nil alone.
---@async
---@param format? "l"|"L"|"a"|"n"|integer (default `"l"`)
---@param o? corun.stream.read_options
---@return string|number|nil data
---@return corun.err? err
function stream:read(format, o) end

--- Read what is there, waiting only while there is nothing.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: `ETIMEDOUT`, `ECONNRESET` ...; the end of the stream is nil alone.
---@async
---@param max? integer at most so many bytes
---@param o? corun.stream.timeout_options
---@return string? data
---@return corun.err? err
function stream:recv(max, o) end

--- Read exactly `n` bytes.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: `ETIMEDOUT`; `EOF` when the stream ends in the middle; its end is nil alone.
---@async
---@param n integer
---@param o? corun.stream.timeout_options
---@return string? data
---@return corun.err? err
function stream:read_exactly(n, o) end

--- Read up to and including `str`.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: `ETIMEDOUT`; `EMSGSIZE` when more than `max` bytes come before it; `EOF` when the
---   stream ends in the middle; its end is nil alone.
---@async
---@param str string not empty
---@param o? corun.stream.read_options
---@return string? data with `str` at its end
---@return corun.err? err
function stream:read_until(str, o) end

--- Loop over the lines, or whatever `format` reads.
---
--- - Suspends: `lines` itself no; each step of the loop yes.
--- - Raises: each step: what `read` returns as an error.
---@param format? "l"|"L"|"n"|integer (default `"l"`)
---@param o? corun.stream.read_options
---@return fun(): string|number|nil iterator
function stream:lines(format, o) end

--- Write all arguments, in order and without a gap.
---
--- It waits only while more is queued than the peer takes. A write is queued whole or not at all
--- (S19).
---
--- - Raises: `ECLOSED`, also after `shutdown`; when an argument is no string or number.
--- - Fails: `ETIMEDOUT` before anything was queued; `EPIPE`, `ECONNRESET` ...
---@async
---@param ... string|number|corun.stream.timeout_options strings; options may come last
---@return true? ok
---@return corun.err? err
function stream:write(...) end

--- Close the stream once all that was written has been sent. A second call does nothing.
---
--- It is shielded, but gives up on a peer that takes nothing for `--grace` seconds (5).
---
--- - Fails: what kept the bytes from being sent.
---@async
---@return true? ok
---@return corun.err? err
function stream:close() end

--- Options of a call that reads up to a limit.
---@class corun.stream.read_options
---@field timeout? corun.seconds give up after so long
---@field max? integer at most so many bytes (default 1 MiB; for `"a"` no bound)

--- Options of a call that waits.
---@class corun.stream.timeout_options
---@field timeout? corun.seconds give up after so long

--- A TCP connection.
---@class corun.tcp: corun.stream
local tcp = {}

--- Send the end of the stream after all that was written; reading goes on.
---
--- - Raises: `ECLOSED`.
--- - Fails: `EPIPE`, `ECONNRESET` ...
---@async
---@return true? ok
---@return corun.err? err
function tcp:shutdown() end

--- The address of the other side.
---
--- - Raises: `ECLOSED`.
---@return string address `"10.0.0.1:443"`
function tcp:peer() end

--- The local address.
---
--- - Raises: `ECLOSED`.
---@return string address
function tcp:address() end

return net
