-- SPDX-License-Identifier: MIT
-- Types of `require "corun.sftp"`, an extension module (ext/sftp, docs/sftp.md); see corun.lua
-- beside it.
---@meta corun.sftp
-- luacheck: no unused

--- Files over SSH, on libssh2, without blocking the loop. An extension module: it is there when
--- corun was built where `libssh2-1-dev` is. [The guide](sftp.md) shows it at work.
---
--- What fails for a reason of the world is `nil, err`; `err.target` is `host:port:path`.
---@class corun.sftp
---@field version string that of libssh2
local sftp = {}

--- Connect to a server, verify its key and log in.
---
--- - Raises: for an address or an option that is none; what `answer` raises.
--- - Fails: `EHOSTKEY` with `err.reason`, `err.key_type` and `err.fingerprint`; `EAUTH`;
---   `ETIMEDOUT`, `ECONNREFUSED`, `EOF`, `ESSH` ...
---@async
---@param addr string|corun.sftp.address `"user@host:port"`, all but the host may be left out
---@param o? corun.sftp.connect_options
---@return corun.sftp.session? session
---@return corun.err? err
function sftp.connect(addr, o) end

---@class corun.sftp.address
---@field host string
---@field port? integer
---@field user? string

---@class corun.sftp.connect_options
---@field user? string (default: who runs the script)
---@field port? integer (default 22)
---@field key? string|string[] paths of private keys
---@field passphrase? string opens them
---@field agent? boolean|string the agent of `SSH_AUTH_SOCK`, or the path of its socket
---@field password? string also the answer to prompts
---@field answer? fun(prompt: string, echo: boolean): string answers prompts; must not suspend
---@field known_hosts? string|string[] paths (default: those of OpenSSH)
---@field fingerprint? string|string[] `"SHA256:..."` of the host's key, instead of known hosts
---@field insecure? boolean believe whoever answers
---@field timeout? corun.seconds until the session is ready (default 10)
---@field stall? corun.seconds that the server may be silent when it was asked (default 30)

--- One connection to a server. Tasks that ask at once wait for their turn.
---
--- Each method raises `ECLOSED` once it was closed, and fails with the reason once the connection
--- is lost.
---@class corun.sftp.session
---@field host string
---@field port integer
---@field user string
---@field fingerprint string of the host's key
local session = {}

--- Fetch a file. It is written beside `to`, and renamed when it is whole.
---@async
---@param path string
---@param to string
---@param o? {mode?: corun.fs.mode, on_progress?: fun(bytes: integer)}
---@return integer? bytes
---@return corun.err? err
function session:get(path, to, o) end

--- Store a file; with `atomic` under another name until it is whole.
---@async
---@param from string
---@param path string
---@param o? corun.sftp.put_options
---@return integer? bytes
---@return corun.err? err
function session:put(from, path, o) end

---@class corun.sftp.put_options
---@field mode? corun.fs.mode
---@field atomic? boolean
---@field on_progress? fun(bytes: integer)

--- Read a whole file; `EMSGSIZE` when it has more than `max` bytes.
---@async
---@param path string
---@param o? {max?: integer}
---@return string? data
---@return corun.err? err
function session:read(path, o) end

--- Write a whole file.
---@async
---@param path string
---@param data string
---@param o? corun.sftp.put_options
---@return integer? bytes
---@return corun.err? err
function session:write(path, data, o) end

--- Fetch many files over several connections, and loop over them as they come.
---
--- What fails is handed to the loop, `break` ends the rest.
---@param files corun.source of paths (saved in `into`) or `{path, to}`
---@param o? {connections?: integer, into?: string, mode?: corun.fs.mode}
---@return fun(): any, integer?, corun.err? iterator the item, its bytes or nil and the error
function session:get_many(files, o) end

--- Open a file: mode `r`, `r+`, `w`, `w+`, `wx` or `a`.
---@async
---@param path string
---@param mode? string
---@param o? {mode?: corun.fs.mode}
---@return corun.sftp.file? file
---@return corun.err? err
function session:open(path, mode, o) end

--- What is in a directory, sorted by name.
---@async
---@param path string
---@return corun.sftp.entry[]? entries
---@return corun.err? err
function session:list(path) end

--- What is known of a file; `follow = false`: of a link itself.
---@async
---@param path string
---@param o? {follow?: boolean}
---@return corun.sftp.entry? entry
---@return corun.err? err
function session:stat(path, o) end

--- What a server says of a file; it need not say all of it.
---@class corun.sftp.entry
---@field name? string in a list
---@field kind corun.fs.kind
---@field size? integer
---@field mode? integer
---@field mtime? integer seconds since 1970
---@field atime? integer
---@field uid? integer
---@field gid? integer

--- Rename; `EEXIST` when `to` is there, unless `replace` is given.
---@async
---@param from string
---@param to string
---@param o? {replace?: boolean}
---@return true? ok
---@return corun.err? err
function session:rename(from, to, o) end

--- Remove a file.
---@async
---@param path string
---@return true? ok
---@return corun.err? err
function session:remove(path) end

--- Make a directory; with `parents` those above it too, and none of them need be new.
---@async
---@param path string
---@param o? {mode?: corun.fs.mode, parents?: boolean}
---@return true? ok
---@return corun.err? err
function session:mkdir(path, o) end

--- Remove an empty directory.
---@async
---@param path string
---@return true? ok
---@return corun.err? err
function session:rmdir(path) end

--- Set the permission bits.
---@async
---@param path string
---@param mode corun.fs.mode
---@return true? ok
---@return corun.err? err
function session:chmod(path, mode) end

--- The path without links and dots, from the root of the server.
---@async
---@param path string
---@return string? path
---@return corun.err? err
function session:realpath(path) end

--- Where a symbolic link leads.
---@async
---@param path string
---@return string? path
---@return corun.err? err
function session:readlink(path) end

--- Leave the server. What other tasks wait for ends with `ECLOSED`. A second call does nothing.
---@return true ok
function session:close() end

--- Whether it was closed, or the connection is lost.
---@return boolean yes
function session:is_over() end

--- A file that is open on the server.
---@class corun.sftp.file
local file = {}

--- Read a line (`"l"`, the default; `"L"` with its end), the rest (`"a"`), or so many bytes. The
--- end is nil alone.
---@async
---@param format? string|integer
---@return string? data
---@return corun.err? err
function file:read(format) end

--- Some of the bytes that come next, at most `max`; nil at the end.
---@async
---@param max? integer
---@return string? data
---@return corun.err? err
function file:recv(max) end

--- Loop over the lines; raises what `read` returns as an error.
---@param format? string
---@return fun(): string? iterator
function file:lines(format) end

--- Write; returns when the server has confirmed all of it.
---@async
---@param data string|number
---@return corun.sftp.file? file
---@return corun.err? err
function file:write(data) end

--- Go to a place, counted from the begin; without one only tell where it is.
---@async
---@param offset? integer
---@return integer? offset
---@return corun.err? err
function file:seek(offset) end

--- Close; tells what the server could not write. A second call does nothing.
---@async
---@return true? ok
---@return corun.err? err
function file:close() end

return sftp
