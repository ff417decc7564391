-- SPDX-License-Identifier: MIT
-- Types of the servers of `require "corun.http"`; see http.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## HTTP servers

--- Listen on `addr` and answer each request with `fn(req)`, each in a task of its own.
---
--- `fn` returns the body as a string, a response table, or a function that writes the body. A
--- failure of `fn` is logged and answered with 500; the server goes on (S42). The server is a child
--- of the calling scope. `server:close{drain=}` answers what has come before: requests that are
--- under way, pipelined, or on connections not accepted yet, and waits for clients that are slow to
--- take their answers; idle connections are closed at once.
---
--- What a client may ask for is limited by the options. A request that is malformed is answered
--- with 400, 417, 501 or 505, one that is too slow with 408, too large with 413, 414 or 431, a
--- connection too many with 503; then the connection is closed.
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
---@param addr corun.listen_address
---@param fn fun(req: corun.http.server_request): string|corun.http.reply
---@param o? corun.http.serve_options
---@return corun.server? server
---@return corun.err? err
function http.serve(addr, fn, o) end

---@class corun.http.serve_options
---@field limit? integer so many connections at once (default 16384); one more gets 503
---@field per_peer? integer so many of them from one address (default 1024; unless it is given,
---   connections from this machine are not counted). As many more may be shaking hands over TLS;
---   one more is closed
---@field max_head? integer bytes of the request line and headers (default 16 KiB), else 431
---@field max_headers? integer how many headers (default 100), else 431
---@field max_url? integer bytes of the target (default 8 KiB), else 414
---@field max_body? integer the longest body, in bytes (default 64 MiB), else 413
---@field idle? corun.seconds a connection without a request for so long is closed (default 5)
---@field head_timeout? corun.seconds until all headers have come (default 60), else 408
---@field request_timeout? corun.seconds until all of a request has come (default 300), else 408
---@field stall? corun.seconds of silence within a request, or while the answer is not read (default
---   30)
---@field stream? boolean the handler is called before the body of a request has come, and reads it
---@field log? fun(entry: corun.http.log_entry) called after each answer
---@field tls? corun.tls.server_options|corun.tls.context as for `net.serve`
---@field backlog? integer as for `net.listen`; also `reuse`, `reuse_port`, `mode`
---@field threads? integer|boolean serve from so many workers, each a thread with a Lua state of its
---   own; `true`: as many as there are cores. The handler is copied to them as a job is (see
---   corun.pool): what it keeps in upvalues and globals is each worker's own, and so is the default
---   pool that its jobs go to. Not for Unix sockets, nor for one that was handed over

--- What `log` is told of an answer.
---@class corun.http.log_entry
---@field peer string the address of the client
---@field req? corun.http.server_request nil when no handler saw it: it was malformed, a CONNECT, or
---   on a connection too many
---@field status? integer nil when the client had gone before it was answered
---@field bytes integer sent, with the head
---@field seconds? corun.seconds from the request to the end of the answer
---@field error? corun.err what was wrong with a request that was refused

--- A request, as a handler gets it.
---@class corun.http.server_request
---@field method string
---@field target string as it was sent: path and query
---@field path string unescaped, without the query
---@field query table<string, string> unescaped
---@field headers table<string, string> names in any case, several values joined
---@field body string with the option `stream`, what has not been read of it yet: this waits, and
---   raises what goes wrong; when the handler lets that pass the client gets 408, 413 or 400
---@field peer string the address of the other side
---@field tls boolean whether it came over TLS
---@field cookies table<string, string> as they were sent; of several of a name the first
---@field id string of the header `X-Request-Id` where it has a sane one, else made
---@field user? string the name that `http.basic_auth` let in
---@field params? table<string, string> what stood for the parameters of a route (`http.router`)
---@field subpath? string the path below what a router mounted the handler at, as it was sent
---@field version "1.0"|"1.1"
local server_request = {}

--- Decode the body.
---
--- - Fails: `EJSON`.
---@param o? corun.json.decode_options
---@return any value
---@return corun.err? err
function server_request:json(o) end

--- Read from the body, as from any stream; also `recv`, `read_exactly`, `read_until`, `lines`. With
--- the option `stream` the client may still be sending it.
---
--- - Fails: `ETIMEDOUT`; `EOF`, `EPROTO` or `EMSGSIZE` when the body is cut short, malformed or too
---   long.
---@async
---@param format? string|integer as for `stream:read`
---@param o? corun.stream.read_options
---@return string? data nil at the end
---@return corun.err? err
function server_request:read(format, o) end

--- Read the form that is the body: urlencoded, or multipart/form-data (RFC 7578). A second call
--- answers the same.
---
--- Fields are in memory, and so are small files; a file for which `memory` has no room goes to a
--- temporary file while it comes, which is removed when the request has been answered. What is
--- malformed, over a limit, or no form is the client's fault: it gets 400, 413 or 415 when the
--- handler lets that pass. The limits are those of one form; `max_body` of the server holds too.
---
--- ```lua
--- local form = assert(req:form())
--- local photo = form.files.photo
--- if photo then assert(photo:save("photos/" .. codec.uuid())) end
--- ```
---
--- - Fails: `EPROTO`, `EMSGSIZE` with the `status` for the client; what reading the body, or
---   writing a temporary file, fails with.
---@async
---@param o? corun.http.form_options
---@return corun.http.form? form
---@return corun.err? err
function server_request:form(o) end

---@class corun.http.form_options
---@field memory? integer bytes of fields, heads and files in memory (default 1 MiB); fields that do
---   not fit get 413, files go to the disk
---@field max_parts? integer how many fields and files (default 1000), else 413
---@field max_files? integer how many files (default 100), else 413
---@field max_head? integer bytes of the headers of a part (default 8 KiB), else 413
---@field max_body? integer bytes of the whole form (default: `max_body` of the server), else 413
---@field parent? string where temporary files are made (default as for `fs.temp`)

--- A form: the list of its parts as they were sent. Those with a file name are files.
---@class corun.http.form: corun.http.form_part[]
---@field fields table<string, string> by names; of several of a name the last
---@field files table<string, corun.http.form_part> likewise

--- A part of a form: a field or a file.
---@class corun.http.form_part
---@field name string
---@field filename? string the last part of the name that the client gave; "" where nothing was
---   chosen. It is as the client likes it, and no name to write to without a look
---@field type? string its content type, as the client says
---@field headers table<string, string> names in lower case
---@field size integer
---@field data? string its bytes, when they are in memory
---@field path? string its temporary file, when they are there
local form_part = {}

--- All bytes of the part, wherever they are.
---
--- - Fails: as `fs.read`.
---@async
---@return string? data
---@return corun.err? err
function form_part:read() end

--- Write the part to a file, as `fs.write` does.
---
--- - Fails: as `fs.write`.
---@async
---@param path string
---@return true? ok
---@return corun.err? err
function form_part:save(path) end

--- What a handler returns. The header `Connection: close` is heeded.
---@class corun.http.reply
---@field status? integer (default 200)
---@field headers? table<string, string|string[]> corun sets those about length and connection
---@field body? string|corun.stream|fun(): string?|{path: string} sent as it is, or in pieces as
---   those of a request (`http.request`)
---@field json? any encoded as the body, with its content type
---@field stream? fun(w: corun.http.writer) writes the body
---@field length? integer how many bytes `stream` will write, if that is known

--- What a function writes the body of its answer to.
---@class corun.http.writer
---@field bytes integer of the body, written so far
local writer = {}

--- Send strings as the next piece of the body, at once. Several tasks may write, each piece of
--- theirs stays whole; one that was cancelled after a part of it was sent ends the answer.
---
--- - Raises: when the client has gone or does not read on, which ends the function; the server does
---   not log that. When the answer has ended: `ECLOSED`.
---@async
---@param ... string|number
---@return true ok
function writer:write(...) end
