-- SPDX-License-Identifier: MIT
-- Types of the downloads of `require "corun.http"`; see http.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## Downloads

--- Get a file and save it.
---
--- What comes goes to `path.part`, and to the place of `path` in one step when all of it is there,
--- on the disk, and has the digest that is wanted. A download that fails, is cancelled or is killed
--- leaves that file, with a note of what it has in `path.part.json` (killed, it loses the last
--- second); the next one of the same URL to the same path asks for the rest (`Range`, `If-Range`).
--- Parts of two versions are never mixed: without a strong `ETag` or a `Last-Modified` that is as
--- good nothing is kept, and where the server has another version by now, all is fetched anew.
--- `retries` counts for what is cut too.
---
--- With `parts` several ranges are fetched at once, where the server gives ranges. The file is
--- saved as the server sends it: no content coding is asked for, and none is undone.
---
--- ```lua
--- local n = assert(http.download("https://example.org/image.iso", "image.iso", {
---   parts = 4, retries = 5, sha256 = "9f86d081884c7d659a2feaa0c55ad015...",
--- }))
---
--- local bar <close> = corun.progress.bar{label = "image.iso", unit = "bytes"}
--- assert(http.download("https://example.org/image.iso", "image.iso", {
---   on_progress = function(bytes, length) bar:set(bytes, length) end,
--- }))
--- ```
---
--- - Raises: as `request`; when a header is `Range` or `If-Range`.
--- - Fails: as `request`; `EHTTP` for any status but 200 and 206; `ECHECKSUM` for another digest;
---   `ESTALE` when the server changed the file again and again; `EPROTO` for bytes that were not
---   asked for; `EOF` for an answer that is cut; `EMSGSIZE` for a file longer than `max_body`;
---   `EBUSY` when another download to the same path took over; `EISDIR`, `EINVAL` when there is
---   something else than a file; `ENOSPC`, `EACCES` ... The target is then as it was.
--- - Source: RFC 9110, 13 and 14.
---@async
---@param url string
---@param path string a symbolic link stays, what it leads to is replaced
---@param o? corun.http.download_options
---@return integer? bytes of the file
---@return corun.err? err
function http.download(url, path, o) end

--- The options of a download.
---@class corun.http.download_options: corun.http.defaults
---@field resume? boolean go on with what is there, and leave what can be gone on with (default
---  true)
---@field sha256? string the digest that the file must have, in hexadecimal digits
---@field parts? integer so many ranges at once (default 1)
---@field mode? corun.fs.mode of the file (default: what it has; a new file 666 less the umask)
---@field on_progress? fun(bytes: integer, length?: integer) how far it is: at the start, with
---  what an earlier one has left, and when bytes were written
