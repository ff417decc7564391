-- SPDX-License-Identifier: MIT
-- The option `cache` of sessions (RFC 9111, as a private cache): each try that a cache
-- (http_cache.lua) may answer is answered from there, or asks the server whether what is there is
-- still right; what may be kept is kept. It lies around the cookies, so that Set-Cookie of an entry
-- sets nothing again, and inside of redirects, each of which is a response like others. Owns
-- nothing.
local corun = require "corun"
local caches = require "corun.http_cache"
local control = require "corun.http_cache_control"
local cookies = require "corun.http_session_cookies"
local core = require "corun.httpcore"
local join = require("corun.url").join
local options = require "corun.options"
local response = require "corun.http_response"
local url = require "corun.http_url"

local now = corun.now

local layer = {}

-- A request with these asks for something else than the whole, or has an own copy to compare.
local OWN = {"range", "if-range", "if-match", "if-none-match", "if-modified-since",
  "if-unmodified-since"}
local FAILURES = {[500] = true, [502] = true, [503] = true, [504] = true} -- of RFC 5861
local GONE = {[404] = true, [410] = true}
local DONE = {status = 200}

---Read the option: a cache, a directory, or true for one in memory.
function layer.read(value)
  if value == true then return caches.new() end
  if type(value) == "string" then return caches.new({dir = value}) end
  if not caches.is_cache(value) then
    options.misuse('option "cache" for session must be a cache (http.cache), a directory, true or '
      .. "false", 4)
  end
  return value
end

-- What is asked for -------------------------------------------------------------------------------

-- Each way to authorize a request has entries of its own, as if it had a cache of its own.
local function key_of(request, u, target, authorization)
  return table.concat({u.origin, target, request:value("host") or "", authorization or "",
    u.socket or request.socket or ""}, "\n")
end

-- What the cache needs to know of a request.
local function query_of(request)
  local headers = request:values()
  headers.cookie = headers.cookie or cookies.value(request)
  return {
    method = request.method, headers = headers, asks = control.parse(headers["cache-control"]),
    key = key_of(request, request.u, request.target, headers.authorization),
  }
end

-- Whether a request is none of the cache's business.
local function goes_past(request)
  if request.stream or request.body or request.source then return true end
  for _, name in ipairs(OWN) do
    if request.lines[name] then return true end
  end
  local asked = request.lines["cache-control"]
  return asked and control.parse(request:value("cache-control"))["no-store"] ~= nil
end

-- What is kept ------------------------------------------------------------------------------------

local function block_of(headers)
  local lines = {}
  for name, value in next, headers do
    if type(value) ~= "table" then value = {value} end
    for _, text in ipairs(value) do lines[#lines + 1] = ("%s: %s\r\n"):format(name, text) end
  end
  table.sort(lines, function(a, b) return a:match("^[^:]*") < b:match("^[^:]*") end)
  return "\r\n" .. table.concat(lines) .. "\r\n"
end

local function entry_of(request, status, headers, body, sent, received, decode)
  return {
    url = request.url, status = status, sent = sent, received = received, headers = headers,
    decode = decode, body = body, block = block_of(headers), vary = headers.vary or "", epoch = "",
  }
end

-- Whether all of the body has come for sure: a body that ends with its connection may be cut.
local function is_complete(request, res)
  return res.status == 204 or res.headers["content-length"] or res.headers["transfer-encoding"]
    or request.u.scheme == "https" -- where the end is announced
end

-- Whether there is one Location at most; several would become one that leads elsewhere.
local function is_plain(res)
  return select(2, res.block:gsub("\nlocation:", "")) <= 1
end

-- Whether an entry can be the answer to this request.
local function fits(request, entry)
  if request.max_body and #entry.body > request.max_body then return false end
  return entry.decode == request.decode or not entry.headers["content-encoding"]
end

-- Answers -----------------------------------------------------------------------------------------

local function outcome(session, res, what)
  local counts = session.counts.cache
  counts[what] = counts[what] + 1
  res.cache = what
  return res
end

-- The answer that an entry is, without a word to the server.
local function answer(request, entry, began, seconds)
  local ended = now()
  local times = {began = began, got = began, answered = ended, ended = ended, uses = 1}
  local block = ("\r\nage: %d%s"):format(seconds // 1, (entry.block:gsub("\r\nage:[^\r]*", "")))
  local body = request.method == "HEAD" and "" or entry.body
  return response.new(entry.status, block, body, request.url, times)
end

-- RFC 9111, 5.2.1.7. It is no failure of the server, so that it is not tried again.
local function unavailable(request, began)
  local times = {began = began, got = began, answered = began, ended = now(), uses = 1}
  local res = response.new(504, "\r\n\r\n", "", request.url, times)
  res.is_final = true
  return res
end

-- Asking the server -------------------------------------------------------------------------------

-- The request that asks whether the entry is still right, if somebody can tell.
local function conditional(request, entry)
  local r
  for name, value in next, control.validators(entry) do
    if core.is_value(value) then
      r = r or request:copy()
      r:set(name, value)
    end
  end
  if not r then return request end
  r:seal()
  return r
end

local function weak(etag) return etag and etag:gsub("^W/", "") end

-- Whether a 304 tells of the entry, and not of what the server has in mind instead.
local function confirms(res, entry)
  local etag = res.headers.etag
  return not etag or weak(etag) == weak(entry.headers.etag)
end

-- Keep an entry, unless its key was forgotten meanwhile; false when it may not be kept.
local function keep(cache, q, flight, entry)
  if not control.is_storable(q, entry) then return false end
  if flight.is_current then cache:keep(q, entry) end
  if not flight.is_current then cache:forget(q.key) end -- since `keep` may suspend
  return true
end

-- The 304 becomes the response that it stands for.
local function confirmed(request, q, flight, entry, res, sent)
  local headers = control.updated_headers(entry.headers, res.headers)
  local cache = request.cache
  local new = entry_of(request, entry.status, headers, entry.body, sent, cache.now(), entry.decode)
  if not keep(cache, q, flight, new) then cache:forget(q.key) end
  res.status, res.block, res.body, res.headers = new.status, new.block, new.body, nil
  return res
end

-- Keep a new response. One that cannot be kept ends what was there, unless it is a failure that
-- says nothing of it.
local function received(request, q, flight, entry, res, sent)
  local cache = request.cache
  local new = entry_of(request, res.status, control.stored_headers(res.headers), res.body, sent,
    cache.now(), request.decode)
  local kept = is_complete(request, res) and is_plain(res) and keep(cache, q, flight, new)
  if not kept and entry and (res.status < 400 or GONE[res.status]) then cache:forget(q.key) end
end

-- Whether an entry that is stale may stand in for this outcome (RFC 5861, 4).
local function is_excused(q, entry, res, err, time)
  if res then
    if not FAILURES[res.status] then return false end
  elseif not err.retryable then
    return false
  end
  return control.may_excuse(q, entry, time)
end

local function ask(session, request, next, q, entry)
  local cache = request.cache
  local flight <close> = cache:begin(q.key)
  local began, sent = now(), cache.now()
  local res, err = next(session, entry and conditional(request, entry) or request)
  local time = cache.now()
  if entry and is_excused(q, entry, res, err, time) then
    return outcome(session, answer(request, entry, began, control.age(entry, time)), "stale")
  end
  if not res then return nil, err end
  if entry and res.status == 304 then
    if confirms(res, entry) then
      return outcome(session, confirmed(request, q, flight, entry, res, sent), "revalidated")
    end
    cache:forget(q.key)
    return ask(session, request, next, q)
  end
  received(request, q, flight, entry, res, sent)
  return outcome(session, res, "miss")
end

-- A HEAD is not kept, but may tell that what is kept of its URL is no more (RFC 9111, 4.3.5).
local function ask_head(session, request, next, q, entry)
  local res, err = next(session, request)
  if not res then return nil, err end
  if entry and res.status == 200 then
    for _, name in ipairs{"etag", "last-modified", "content-length"} do
      local news = res.headers[name]
      if news and news ~= entry.headers[name] then
        request.cache:forget(q.key)
        break
      end
    end
  end
  return outcome(session, res, "miss")
end

-- Changing the server -----------------------------------------------------------------------------

local function forget(request, u, target)
  local authorization = request:value("authorization")
  request.cache:forget(key_of(request, u, target))
  if authorization then request.cache:forget(key_of(request, u, target, authorization)) end
end

-- Forget what an unsafe request has changed, or may have: its URL, and those of the same origin
-- that its answer names (RFC 9111, 4.4).
local function forget_changed(request, res)
  forget(request, request.u, request.target)
  for _, name in ipairs{"location", "content-location"} do
    local text = res and res.headers[name]
    local full = text and join(request.url, text)
    local u = full and url.parse(full)
    if u and u.origin == request.u.origin and u.socket == request.u.socket then
      forget(request, u, u.target)
    end
  end
end

-- Without an answer, also when it is cancelled, it may have been done all the same.
local function change(session, request, next)
  local res, err
  local _ <close> = corun.defer(function()
    if control.invalidates(request, res or DONE) then forget_changed(request, res) end
  end)
  res, err = next(session, request)
  return res, err
end

---Send a request, unless the cache has its answer.
function layer.layer(session, request, next)
  local cache, began = request.cache, now()
  local ok, err = cache:open()
  if not ok then return nil, err end
  if request.method ~= "GET" and request.method ~= "HEAD" then
    return change(session, request, next)
  end
  if goes_past(request) then return next(session, request) end
  local q = query_of(request)
  local entry = cache:find(q)
  if entry and not fits(request, entry) then entry = nil end
  local time = cache.now()
  if entry and control.may_reuse(q, entry, time) then
    local age = control.age(entry, time)
    return outcome(session, answer(request, entry, began, age),
      age < control.lifetime(entry) and "hit" or "stale")
  end
  if q.asks["only-if-cached"] then
    return outcome(session, unavailable(request, began), "miss")
  end
  if request.method == "HEAD" then return ask_head(session, request, next, q, entry) end
  return ask(session, request, next, q, entry)
end

return layer
