-- SPDX-License-Identifier: MIT
-- Types of the recorders of `require "corun.http"`; see http.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun.http
local http = {}

-- ## Recordings

--- Record what a session sends and gets into a directory, and replay it from there without a
--- network: tests that need no server, a scrape that is looked at again.
---
--- ```lua
--- local s = http.session{recorder = http.recorder("fixtures")}
--- local items = s:getjson("https://api.example.com/items") -- from the server; next time not
--- ```
---
--- Each try is an exchange of its own, within redirects, retries, cookies and hooks, which do when
--- it is replayed what they did when it was recorded; their pauses and the `rate` too. A replay
--- resolves no name and opens no socket. Answers come back as they were: status line, header lines
--- in their order and case, body byte for byte, also when they are streamed (in other pieces);
--- `times` and `stats` are those of the replay.
---
--- - `"auto"`: what was recorded is replayed, anything else is asked for and recorded.
--- - `"record"`: all is asked for; what was recorded of the same requests before is replaced.
--- - `"replay"`: what was not recorded is an error, which says what comes nearest.
---
--- A recording answers a request of the same method, URL (without fragment), `Range` and body,
--- once; several of the same request come in their order. Bodies are compared by what they say:
--- JSON in any order of keys, forms with parts whatever their boundary. A body that can be read
--- only once, such as a function, is not compared, but read.
---
--- A streamed body that the script did not read to its end is recorded as far as it came, and so is
--- replayed; to read on is `EUNRECORDED`. One that the collector closed is not recorded. A try that
--- fails, or whose body is cut, is recorded in the mode `"record"` alone, and fails the same way
--- again; `"auto"` would otherwise keep a bad moment for ever. A cancelled one is not recorded.
---
--- Secrets are replaced by `REDACTED` in what is written and in what is compared: the values of the
--- headers `Authorization`, `Proxy-Authorization`, `Cookie`, `X-Api-Key`, `X-Auth-Token`, those of
--- the cookies of `Set-Cookie`, user and password in URLs, and parameters of URLs, fields of forms,
--- and keys of JSON that is sent, if their names are `password`, `passwd`, `client_secret`,
--- `api_key`, `apikey`, `access_token`, `refresh_token`, `id_token`. A cookie keeps its name and
--- attributes, so that a replay logs in as the recording did. The bodies of answers are not
--- searched: `filter_response` can.
---
--- Each exchange is a file `HOST_PATH_METHOD_HASH-N.rec.json`, to be read, compared, committed,
--- edited and deleted: see `corun.http.recording`. Files are written in one step, and others in the
--- directory left alone. A broken one fails all requests until it is mended.
---
--- - Raises: for options that make no sense.
--- - Fails (the requests of its session): `EUNRECORDED`; `ERECORDING` for a file that is broken;
---   `ENOENT` in the mode `"replay"` without the directory; what cannot be written.
---@param dir string made when the first exchange is recorded
---@param o? corun.http.recorder_options
---@return corun.http.recorder recorder for the option `recorder` of one session, or several
function http.recorder(dir, o) end

--- The options of a recorder.
---@class corun.http.recorder_options
---@field mode? "auto"|"record"|"replay" (default "auto")
---@field headers? string[] names of further headers that must be the same
---@field match? fun(request: corun.http.recorded, recorded: corun.http.recorded): boolean says
---  whether a recording answers a request, instead of comparing; asked in the order of recording
---@field repeats? boolean give the last recording of a request again when there are no more
---@field secrets? string[]|false further names of secrets; false: nothing is replaced
---@field filter_request? fun(request: corun.http.recorded): boolean? changes what a request is
---  compared by and recorded as, not what is sent; false: it is sent, past the recorder
---@field filter_response? fun(response: corun.http.recorded_response, request: corun.http.recorded)
---  changes what is recorded of an answer, not what the script gets

--- A request, as it is recorded.
---@class corun.http.recorded
---@field method string
---@field url string
---@field headers table<string, string> names in lower case
---@field body? string what it says; a digest where that is long, no text, or a form with parts

--- An answer, about to be recorded.
---@class corun.http.recorded_response
---@field status_line string `"HTTP/1.1 200 OK"`
---@field headers string[] lines, `"Name: value"`, as they came but for secrets
---@field body? string decoded; nil where it is streamed. One that is changed is recorded so,
---  without `Content-Encoding`

--- A recorder. Its recordings are read when the first request needs them; each is given once, to
--- whichever task asks first.
---@class corun.http.recorder

--- A recording as a file: JSON (UTF-8) with the members
---
--- - `corun_recording`: 1, the version of this format
--- - `order`: an integer; recordings that answer the same request are given in this order
--- - `request`: `method`, `url`, and where there are any `headers` (an object) and `body`, as of
---   `corun.http.recorded`
--- - `response`: `status_line`; `headers`, the list of lines, `{"base64": ...}` for one that is no
---   UTF-8; `body_bytes`; `cut`, true where the script did not read on
--- - `error`: what the try failed with, after `response` if there is one: `code`, `message`, and
---   where known `op`, `target`, `retryable`
---
--- and beside it, unless it is empty, the body in `NAME.rec.body`: the bytes as they came, in their
--- coding, but not in chunks. By hand `headers` of a request, `body_bytes`, and lengths in headers
--- may be left out.
---@class corun.http.recording

return http
