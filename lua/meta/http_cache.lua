-- SPDX-License-Identifier: MIT
-- Types of the cache of `require "corun.http"`; see http.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## Cache

--- Make a cache of responses, in memory or in a directory, for one session or several.
---
--- It is a private cache: what a server says of responses to all, and to one user, is kept, so that
--- only sessions of one user should share it. Each way to authorize a request (`Authorization`) has
--- entries of its own; cookies and client certificates do not, unless the server says `Vary`.
---
--- - Kept are complete answers to GET with a lasting status (200, 203, 204, 300, 301, 308, 404,
---   405, 410, 414, 501; 302, 303, 307 where the server says for how long), unless one side says
---   `no-store`; bodies are kept decoded. Each hop of a redirect is kept by itself.
--- - While it is fresh, by `max-age`, `Expires` or, where the server says neither, for a tenth of
---   the time since `Last-Modified`, an entry answers GET and HEAD: `res.cache` is `"hit"`, the
---   header `Age` says how old it is, `res.times` that nothing was sent, and a `rate` does not
---   count it.
--- - Then, and always with `no-cache`, the server is asked by `ETag` and `Last-Modified` whether
---   it is still right: 304 gives it as `"revalidated"`, with the headers of the 304. Any other
---   answer is a `"miss"` as the first was.
--- - What is stale answers, as `"stale"`, only where the request says `max-stale`, or in place of
---   no answer, 500, 502, 503 or 504 where one side says `stale-if-error`; before any retry.
--- - POST, PUT, PATCH, DELETE and other methods that change something make what is kept of their
---   URL useless, and of the URLs of the same origin in their `Location` and `Content-Location`,
---   unless they fail.
---
--- A request has its say by its own header `Cache-Control`: `no-cache` (ask the server), `no-store`
--- (go past the cache), `max-age`, `min-fresh`, `max-stale`, `stale-if-error`, and
--- `only-if-cached`, which is answered by a 504 that is made here where nothing can be used. With
--- `stream`, a body, a `Range` or a condition (`If-None-Match` ...) of its own it goes past the
--- cache, and `res.cache` is nil. Several requests for the same at once all ask the server.
---
--- A directory is shared by any number of processes. An entry is a file, written under another name
--- and renamed; one that is damaged is a miss and removed. Files of other names are left alone. A
--- directory that cannot be made fails each request; what fails later fails none, and is in
--- `cache.err`.
---
--- ```lua
--- local session = http.session{base = "https://api.example.org", cache = "cache/api"}
--- local res = assert(session:get("/items"))
--- print(res.cache, res.headers.age)  --> hit  12
---
--- local fresh = session:get("/items", {headers = {["cache-control"] = "no-cache"}})
--- ```
---
--- - Raises: `ENOSYS` with a directory, at the first request, when OpenSSL 3 cannot be loaded.
--- - Source: RFC 9111, RFC 5861.
---@param o? corun.http.cache_options
---@return corun.http.cache cache
function http.cache(o) end

--- The options of a cache.
---@class corun.http.cache_options
---@field dir? string the directory, made when it is first used, for its owner alone (default: none,
---  all is in memory)
---@field max? integer most bytes (default 64 MiB in memory, 1 GiB in a directory): what was not
---  used for the longest goes, and what is larger than an eighth of it is not kept. Where several
---  processes write, a directory may be larger by an eighth for each

--- A cache of responses. It holds nothing open and need not be closed.
---@class corun.http.cache
---@field dir? string
---@field err? corun.err what a file could not be read or written for, the last time
local cache = {}

--- Forget all; other files in the directory stay. What is being asked for is not kept either.
---
--- - Fails: `EACCES` ...
---@async
---@return true? ok
---@return corun.err? err
function cache:clear() end

--- How often the cache of a session did what, by the values of `res.cache`.
---@class corun.http.cache_stats
---@field hit integer
---@field miss integer
---@field revalidated integer
---@field stale integer
