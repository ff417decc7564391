-- SPDX-License-Identifier: MIT
-- Types of the cookies of `require "corun.http"`; see http.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## Cookies

--- Make an empty jar of cookies, for sessions to share, or to be saved.
---
--- A session has a jar of its own, `session.cookies`, unless it is given one; of each try, also one
--- that a redirect leads to, it adds the cookies to the request, and stores what the answer sets.
--- The functions of the module keep no cookies: their callers know nothing of each other.
---
--- A jar keeps to all rules for browsers (RFC 6265bis): `Domain` and `Path`; public suffixes such
--- as `co.uk`, by libpsl's list; `Secure` cookies, which neither travel unencrypted nor are
--- overwritten from there; `Expires` and `Max-Age`, 400 days at most; the prefixes `__Host-` and
--- `__Secure-`.
---
--- A cookie has at most 4,096 bytes of name and value. Over 180 of one domain, or 3,300 in all, the
--- least recently used go until 150 or 3,000 are left: first what has expired, then, of a domain,
--- what is not `Secure`.
---
--- `HttpOnly` is kept, and bars nothing: it is about scripts in pages. So is `SameSite`: a script
--- has no page from which its requests come, so that each is as if the user had typed the URL, and
--- all cookies of the site are sent. Who acts for a page names its URL as `site`.
---
--- ```lua
--- local jar, err = http.load_jar("cookies.txt")
--- if err and err.code == "ENOENT" then jar, err = http.jar(), nil end -- none was saved yet
--- local session = http.session{cookies = assert(jar, err)}
--- assert(session:post("https://h.example/login", {form = {user = "me", password = "x"}}))
--- print(jar:header("https://h.example/items"))  --> sid=1
--- assert(jar:save("cookies.txt"))
--- ```
---
--- - Raises: `ENOSYS` when libpsl is not installed.
--- - Source: RFC 6265bis.
---@return corun.http.jar jar
function http.jar() end

--- Make a jar of a file of cookies: cookies.txt, as Netscape made it, and as curl, Python's
--- `MozillaCookieJar` and exports of browsers have it.
---
--- Each line is a cookie, of seven fields divided by tabs: the domain, with a dot before it when
--- subdomains get it too; `TRUE` or `FALSE` for that; the path; `TRUE` or `FALSE` for `Secure`;
--- the time when it ends, in seconds since 1970, 0 or nothing for the end of the session; name;
--- value. `#HttpOnly_` stands before those that are; other lines that begin with `#` are comments.
--- What has expired is left out; what is for a public suffix is for that host alone.
---
--- - Raises: `ENOSYS` when libpsl is not installed.
--- - Fails: `EINVAL` for a file that is none, with the number of the line; `ENOENT`, `EACCES` ...
---@async
---@param path string
---@return corun.http.jar? jar
---@return corun.err? err
function http.load_jar(path) end

--- A jar of cookies. It may be used by several sessions and tasks at once.
---@class corun.http.jar
local jar = {}

--- Store what a response has set; cookies that are over delete those like them.
---
--- - Raises: when `lines` is neither a string nor a list.
--- - Fails: `EURL` for a URL that is none, or has no host.
--- - Source: RFC 6265bis, section 5.7.
---@param url string|corun.url.parts of the request
---@param lines string|string[] the values of `Set-Cookie`, one each
---@param now? corun.seconds since 1970 (default: the clock)
---@param o? corun.http.jar.context
---@return integer? stored how many were stored or deleted
---@return corun.err[]|corun.err? refused why others were not (`ECOOKIE`), nil when there are none
function jar:store(url, lines, now, o) end

--- The cookies of a request: the value of the header `Cookie`; nil when there are none.
---
--- Those with the longer path come first, of one length the older.
---
--- - Fails: `EURL` for a URL that is none, or has no host.
--- - Source: RFC 6265bis, section 5.8.
---@param url string|corun.url.parts
---@param o? corun.http.jar.context
---@param now? corun.seconds since 1970 (default: the clock)
---@return string? value
---@return corun.err? err
function jar:header(url, o, now) end

--- From where a request comes, for `SameSite`. Without `site` nothing is barred.
---@class corun.http.jar.context
---@field site? string the URL of the page that makes the request
---@field top_level? boolean it replaces that page, as a link does (default false)
---@field method? string (default GET)

--- Set a cookie, in the place of the one with the same name, domain, path and `host_only`.
---
--- - Raises: when a field is missing, has a wrong type or cannot be sent back as it is, and for a
---   public suffix that is not `host_only`.
---@param cookie corun.http.cookie
---@param now? corun.seconds since 1970 (default: the clock)
function jar:set(cookie, now) end

--- A cookie, as `set` takes and `all` gives it.
---@class corun.http.cookie
---@field name string may be empty
---@field value string as it is sent, with quotes if it has them
---@field domain string
---@field host_only? boolean subdomains do not get it (default true)
---@field path? string (default "/")
---@field secure? boolean it is sent over TLS alone (default false)
---@field http_only? boolean (default false)
---@field same_site? "strict"|"lax"|"none"
---@field expires? number seconds since 1970 (default: with the session)

--- Go through the cookies that have not expired, the oldest first. They are copies; the jar may be
--- changed meanwhile.
---
--- - Raises: for an unknown field.
---@param filter? corun.http.jar.filter
---@param now? corun.seconds since 1970 (default: the clock)
---@return fun(): corun.http.cookie? next
function jar:all(filter, now) end

--- Which cookies are meant: those that have all that is given.
---@class corun.http.jar.filter
---@field name? string
---@field domain? string the cookie's own, not that of a host
---@field path? string the cookie's own
---@field session? boolean those without a time (true), or with one (false)

--- Remove the cookies that fit.
---
--- - Raises: for an unknown field, and when there is none.
---@param filter corun.http.jar.filter
---@return integer removed
function jar:delete(filter) end

--- Remove all cookies.
function jar:clear() end

--- Write the cookies into a file that `http.load_jar`, curl and others read.
---
--- The file is replaced in one step (`fs.write` with `atomic`) and only its owner may read it. The
--- cookies of the session are written too, with the time 0 as curl has it; Python's
--- `MozillaCookieJar` takes them for expired. `SameSite` has no place in such a file.
---
--- - Fails: `EACCES`, `ENOSPC`, `ENOENT` for the folder ...
---@async
---@param path string
---@param now? corun.seconds since 1970 (default: the clock)
---@return true? ok
---@return corun.err? err
function jar:save(path, now) end

return http
