-- SPDX-License-Identifier: MIT
-- Downloads: the ranges of a file, asked for one after another or several at once, and written
-- where they belong in a partial file (http_partial.lua). Invariant: all ranges are of one version,
-- by a strong ETag or a date of modification that is as good (RFC 9110, 8.8.2.2): else the file is
-- begun anew.
local core = require "corun.httpcore"
local date = require "corun.http_date"
local options = require "corun.options"
local partial = require "corun.http_partial"
local policies = require "corun.http_policies"
local response = require "corun.http_response"
local event = require("corun.sync").event
local task = require "corun.task"
local form = require("corun.url").query
local split_login = require("corun.http_url").split_login

local now = task.now

local BLOCKS, LEAST_BLOCK = 1 << 20, 64 << 10 -- received and written at once, by all connections
local SYNC_EVERY = 64 << 20 -- bytes: with `fsync` they reach the disk while more is received
local SYNC_AFTER = 30 -- seconds: so much is lost of a download by a power cut, as Linux writes then
local NO_SYNC = {EINVAL = true, ENOSYS = true, ENOTSUP = true}
local PIECE = 1 << 20 -- bytes of the least range of several
local SHARE = 4 -- ranges for each connection, so that a slow one has fewer
local SAVE_EVERY = 1 -- seconds: so much is lost of a download that is killed
local STARTS = 2 -- from the first byte, unless `retries` says more

local OWN = {
  resume = "boolean", sha256 = "string", parts = "count", mode = "number|string",
  fsync = "boolean", on_progress = "function",
}
local NOT_HERE = {"stream", "check", "decode", "null", "body", "json", "form", "expect"}
local RESERVED = {range = true, ["if-range"] = true}

local function failure(d, code, message, retryable)
  return nil, task.err(code, message, {op = "download", target = d.shown, retryable = retryable})
end

-- Requests ----------------------------------------------------------------------------------------

-- The time limits of the next request: a total is for all of them.
local function limits(d)
  if not d.deadline then return d.timeout end
  local left = math.max(0, d.deadline - now())
  if type(d.timeout) == "number" then return left end
  return {total = left, connect = d.timeout.connect, read = d.timeout.read}
end

-- Send a request, for a range if `from` is given; any error but 416 has its reason.
local function request(d, from, to, version)
  local session, headers = d.session, {}
  if session.closed then
    return failure(d, "ECLOSED", "the session was closed meanwhile at " .. session.closed)
  end
  for name, value in pairs(d.headers or {}) do headers[name] = value end
  if from then
    headers.range = ("bytes=%d-%s"):format(from, to or "")
    headers["if-range"] = version
  end
  d.o.headers, d.o.timeout = headers, limits(d)
  local res, err = session:get(d.url, d.o)
  if not res then return nil, err end
  if res.status == 200 or res.status == 206 and from then return res end
  policies.discard(res)
  return nil, task.err("EHTTP", ("the server answered %d"):format(res.status),
    {op = "download", target = res.url, status = res.status, response = res})
end

-- The first and last byte of the part that came, and the length of all, where it is told.
local function content_range(res)
  local first, last, total = (res.headers["content-range"] or ""):match(
    "^[Bb][Yy][Tt][Ee][Ss] +(%d+)%-(%d+)/([%d*]+)$")
  first, last = math.tointeger(tonumber(first)), math.tointeger(tonumber(last))
  local length = math.tointeger(tonumber(total))
  if not first or not last or last < first or not length and total ~= "*" then return nil end
  if length and last >= length then return nil end
  return first, last, length
end

-- What tells this version from others: a strong ETag, or a date that is as good.
local function validators(res)
  local etag = res.headers.etag
  if etag and etag:find('^"[^"]*"$') then return etag, nil end
  local modified = res.headers["last-modified"]
  local changed, sent = date.parse(modified or ""), date.parse(res.headers.date or "")
  if changed and sent and sent > changed then return nil, modified end
end

-- The server has another version, or the same and no ranges: all must be begun anew.
local function anew(d, why)
  d.is_stale = true
  return failure(d, "ESTALE", why)
end

-- What is wrong with the answer to the request for a range.
local function check_part(d, res, range)
  local first, last, length = content_range(res)
  local headers = res.headers
  local function is_other(name, expected)
    return headers[name] and headers[name] ~= expected
  end
  if d.etag and is_other("etag", d.etag) or d.modified and is_other("last-modified", d.modified)
    or is_other("content-encoding", d.coding) or d.length and length and length ~= d.length then
    return anew(d, "the server changed the file meanwhile")
  end
  if first ~= range.from or range.to and last > range.to then
    return failure(d, "EPROTO", ("bytes %d-%s were asked for, the server sent: %s"):format(
      range.from, range.to or "", headers["content-range"] or "no range"))
  end
  if not d.length and not length then
    return anew(d, "the server does not say how long the file is, so that its end is not known")
  end
  if not d.length then d.length, range.to = length, length - 1 end
  return last
end

-- Ask for what is missing of a range. Answers a response and the last byte that it has.
local function ask(d, range)
  local res, err = request(d, range.from, range.to, d.etag or d.modified)
  if not res then
    if err.status == 416 then return anew(d, "the server changed the file meanwhile") end
    return nil, err
  end
  local last
  if res.status == 200 then
    last, err = anew(d, "the server changed the file meanwhile, or gives no ranges of it")
  else
    last, err = check_part(d, res, range)
  end
  if last then return res, last end
  res:close()
  return nil, err
end

-- Ranges ------------------------------------------------------------------------------------------

-- The ranges that are missing, those that touch made one.
local function missing(d)
  local list = {}
  for _, r in ipairs(d.ranges) do
    if not r.to or r.from <= r.to then
      local last = list[#list]
      if last and last.to and last.to + 1 == r.from then
        last.to = r.to
      else
        list[#list + 1] = {from = r.from, to = r.to}
      end
    end
  end
  return list
end

-- Cut ranges so that each connection has some.
local function cut(list, parts)
  local last, left = list[#list], 0
  if parts == 1 or not last or not last.to then return list end
  for _, r in ipairs(list) do left = left + r.to - r.from + 1 end
  local size, pieces = math.max(PIECE, left // (parts * SHARE)), {}
  for _, r in ipairs(list) do
    for from = r.from, r.to, size do
      pieces[#pieces + 1] = {from = from, to = math.min(r.to, from + size - 1)}
    end
  end
  return pieces
end

local function is_resumable(d)
  return d.etag or d.modified
end

-- Note how far it is. What is written meanwhile is not in the note.
local function save(d)
  d.saved = now()
  return d.part:save(d, missing(d))
end

-- Bring to the disk what was written. Afterwards `unsynced` is what is missing there. A file system
-- that cannot do this is an error where it was asked for.
local function sync(d)
  local list = missing(d)
  d.written, d.synced = 0, now()
  local ok, err = d.part:sync()
  if ok then d.unsynced = list end
  return ok or not d.fsync and NO_SYNC[err.code], err
end

local function write(d, file, range, piece)
  local size = #piece
  local ok, err = file:write(piece)
  if not ok then return nil, err end
  range.from = range.from + size
  d.bytes = d.bytes + size
  if d.on_progress then d.on_progress(d.bytes, d.length) end
  d.written = d.written + size
  if d.fsync and d.written >= SYNC_EVERY or now() - d.saved > SAVE_EVERY then d.is_due:set() end
  return true
end

-- The body of the task that notes how far it is, and brings it to the disk now and then.
local function keep(d)
  while true do
    d.is_due:wait()
    d.is_due:clear()
    local is_noted = d.resume and is_resumable(d)
    local ok, err = true, nil
    if d.fsync and d.written >= SYNC_EVERY or is_noted and now() - d.synced > SYNC_AFTER then
      ok, err = sync(d)
    end
    if ok and now() - d.saved > SAVE_EVERY then
      if is_noted then ok, err = save(d) else d.saved = now() end
    end
    if not ok then return nil, err end
  end
end

-- Write the body of a response to a file, up to the byte `last` (nil: to its end): one block, while
-- the next is received.
local function pass(d, res, file, range, last, scope)
  local at, block, other = range.from, core.block(d.block_size), core.block(d.block_size)
  local piece, why, writing, fault
  local function put(bytes) -- its failure is for this task alone, also when it no longer waits
    local ok, err = write(d, file, range, bytes)
    if not ok then fault = err end
  end
  repeat
    piece, why = response.fill(res, block)
    if writing then writing:await() end
    if fault then return nil, fault end
    at = at + (piece and #piece or 0)
    if last and at - 1 > last then
      return failure(d, "EPROTO", "the server sent more bytes than it announced")
    end
    writing = piece and #piece > 0 and scope:async(put, piece)
    block, other = other, block
  until not piece
  return why == nil, why
end

-- Write the body of a response to where it belongs in the file.
local function copy(d, res, range, last)
  local file <close>, err = d.part:open()
  if not file then return nil, err end
  local ok
  local from = range.from
  ok, err = file:seek("set", from)
  if ok then
    ok, err = task.scope(function(s) return pass(d, res, file, range, last, s) end)
  end
  if ok then
    ok, err = file:close() -- some file systems say only now what could not be written
    if not ok then d.bytes, range.from = d.bytes - (range.from - from), from end
  end
  if not ok then return nil, err end
  if last and range.from <= last then
    return failure(d, "EOF", ("%d bytes are missing at the end of the answer"):format(
      last + 1 - range.from), true)
  end
  if not range.to then d.length, range.to = range.from, range.from - 1 end
  return true
end

-- Wait before the next try; false when there is none.
local function may_try_again(d, err, failures)
  if not err.retryable or failures >= d.tries then return false end
  local pauses = d.retries.pauses
  local pause = math.min(pauses.max, pauses.min * pauses.factor ^ (failures - 1))
  pause = pause * (1 - pauses.jitter * math.random())
  if d.deadline and now() + pause >= d.deadline then return false end
  d.session.counts.retries = d.session.counts.retries + 1
  d.session.pool:pause(pause)
  return true
end

-- Fetch all of a range. A response that is there already goes to the byte `last`.
local function fill(d, range, first, last)
  local failures, best = 0, range.from
  repeat
    local err, ok
    if not first then
      first, last = ask(d, range)
      if not first then return nil, last end
    end
    local res <close> = first
    first = nil
    ok, err = copy(d, res, range, last)
    if not ok then
      res:close()
      failures = range.from > best and 1 or failures + 1
      best = range.from
      if not may_try_again(d, err, failures) then return nil, err end
      if not is_resumable(d) then
        d.is_stale = true
        return nil, err
      end
    end
    local is_whole = ok and range.from > range.to
  until is_whole
  return true
end

local function next_range(d)
  d.next = d.next + 1
  return d.ranges[d.next - 1]
end

-- Fetch one range after the other, as long as any is left, from this one on.
local function work(d, range, res)
  while range do
    local ok, err = fill(d, range, res, range.to)
    if not ok then return nil, err end
    range, res = next_range(d), nil
  end
  return true
end

local function fetch(d, res)
  local fault
  -- saved, synced: when a note was written, when the file was brought to the disk
  d.next, d.saved, d.synced, d.written, d.is_due = 1, now(), now(), 0, event()
  if d.on_progress then d.on_progress(d.bytes, d.length) end
  task.scope(function(s)
    local function run(fn, ...) -- the first failure ends the others
      local ok, err = fn(d, ...)
      if ok or fault then return end
      fault = err
      s:cancel("the download has failed")
    end
    s:daemon(run, keep)
    for i = 1, math.min(d.parts, #d.ranges) do
      s:spawn(run, work, next_range(d), i == 1 and res or nil)
    end
  end)
  if fault then return nil, fault end
  return true
end

-- Downloads ---------------------------------------------------------------------------------------

-- The first answer, and the range that it has. Whether there are ranges shows when one is asked
-- for. Once the version has changed all is asked for at once: so a file is had too of hosts behind
-- one name that do not agree.
local function first_answer(d)
  local res, err
  if d.parts > 1 and d.starts == 0 then
    res, err = request(d, 0, PIECE - 1)
    if not res and err.status ~= 416 then return nil, err end -- there is no range of no bytes
    if res and res.status == 206 then
      local first, last, length = content_range(res)
      if first == 0 and length and last == math.min(PIECE, length) - 1 and validators(res) then
        return res, last, length
      end
      res:close()
      res = nil
    end
  end
  if not res then res, err = request(d) end
  if not res then return nil, err end
  return res, res.length and res.length - 1, res.length
end

-- Begin with the first byte, by the answer that came.
local function begin(d, res, last, length)
  local most = d.o.max_body or d.session.max_body
  if length and most and length > most then
    return failure(d, "EMSGSIZE", ("the file has %d bytes, over the limit of %d"):format(length,
      most))
  end
  local ok, err = d.part:create()
  if not ok then return nil, err end
  d.starts, d.begun, d.bytes, d.length, d.unsynced = d.starts + 1, true, 0, length, nil
  d.etag, d.modified = validators(res)
  d.coding = res.headers["content-encoding"]
  d.ranges = {{from = 0, to = last}}
  if length and last + 1 < length then
    local rest = cut({{from = last + 1, to = length - 1}}, d.parts)
    table.move(rest, 1, #rest, 2, d.ranges)
  end
  return true
end

-- Go on where an earlier download has ended. At least a byte is asked for, to see that the version
-- is still the server's.
local function go_on(d)
  local note = d.part:load(d.name)
  if not note then return end
  local list, length = note.missing, note.length
  local last = list[#list]
  if last and not last.to then
    last.from = math.max(0, last.from - 1)
  elseif not last then
    if length == 0 then return end
    list[1] = {from = length - 1, to = length - 1}
  end
  d.etag, d.modified, d.coding = note.etag, note.modified, note.coding
  d.length, d.begun, d.unsynced = length, true, note.unsynced
  d.bytes = length or last.from
  for _, r in ipairs(list) do
    if r.to then d.bytes = d.bytes - (r.to - r.from + 1) end
  end
  d.ranges = cut(list, d.parts)
end

-- Fetch what is missing, or all.
local function start(d)
  if d.ranges then return fetch(d) end
  local res <close>, last, length = first_answer(d)
  if not res then return nil, last end
  local ok, err = begin(d, res, last, length)
  if not ok then return nil, err end
  return fetch(d, res)
end

local function run(d)
  if d.resume then go_on(d) end
  while true do
    d.is_stale = false
    local ok, err = start(d)
    if ok then return true end
    if not d.is_stale or d.starts >= math.max(STARTS, d.tries) then return nil, err end
    d.ranges = nil
  end
end

-- Compare the digest, and put the file in its place.
local function finish(d)
  if d.sha256 then
    local hex, err = require("corun.codec").hash_file(d.part.path, "sha256")
    local st, taken = d.part:find() -- else it is the digest of another's
    if not hex or not st then return nil, taken or err end
    if hex ~= d.sha256 then
      d.is_stale = true
      return failure(d, "ECHECKSUM", ("the SHA-256 is %s, not %s"):format(hex, d.sha256))
    end
  end
  local ok, err = d.part:commit(d.length, d.fsync)
  if not ok then return nil, err end
  d.begun = false
  return d.length
end

-- Note what there is at the end; what was noted before stays true.
local function save_last(d)
  local ok = not d.fsync or sync(d)
  return ok and save(d) or d.part.noted
end

-- It ends without success: keep what can be gone on with.
local function leave(d)
  if not d.begun then return end
  task.shield(function()
    local is_kept = d.resume and is_resumable(d) and d.ranges and not d.is_stale and d.bytes > 0
      and save_last(d)
    if not is_kept then d.part:discard() end
  end)
end

local function check_headers(headers)
  for name in pairs(headers or {}) do
    if type(name) == "string" and RESERVED[name:lower()] then
      options.misuse(("header %q is set by download itself"):format(name), 3)
    end
  end
end

-- What the note knows the file by: what is asked for.
local function name_of(session, url, query)
  if type(query) == "table" then query = form(query) end
  return table.concat({session.base or "", url, query or ""}, " ")
end

-- The digest in small letters.
local function check_digest(text)
  if text and not (#text == 64 and text:find("^%x+$")) then
    options.misuse('option "sha256" for download must be 64 hexadecimal digits', 3)
  end
  return text and text:lower()
end

-- What corun.options takes, of what it takes for a request.
local function spec_of(request_options)
  local spec = {}
  for name, kind in pairs(request_options) do spec[name] = kind end
  for _, name in ipairs(NOT_HERE) do spec[name] = nil end
  for name, kind in pairs(OWN) do spec[name] = kind end
  return spec
end

local function new(session, url, o)
  local timeout = o.timeout
  if timeout == nil then timeout = session.timeout end
  local total = timeout
  if type(timeout) == "table" then total = timeout.total end
  local d = {
    session = session, url = url, shown = split_login(url), headers = o.headers, timeout = timeout,
    deadline = total and now() + total, resume = o.resume ~= false, parts = o.parts or 1,
    name = name_of(session, split_login(url), o.query),
    sha256 = check_digest(o.sha256), fsync = o.fsync, on_progress = o.on_progress, starts = 0,
    bytes = 0, o = {},
  }
  d.block_size = math.max(LEAST_BLOCK, BLOCKS // d.parts)
  check_headers(o.headers)
  local read = {}
  policies.read(read, {retries = o.retries}, session)
  d.retries, d.tries = read.retries, read.retries and read.retries.tries or 1
  for name, value in pairs(o) do
    if not OWN[name] then d.o[name] = value end
  end
  d.o.stream, d.o.check, d.o.decode = true, true, false
  return d
end

---Download a file; see lua/meta/http.lua. `request_options`: what corun.options takes for those of
---a request.
return function(session, url, path, o, request_options)
  if type(url) ~= "string" then options.misuse("the URL must be a string, got " .. type(url)) end
  if type(path) ~= "string" then
    options.misuse("the path must be a string, got " .. type(path))
  end
  if path == "" then options.misuse("the path must not be empty") end
  o = options.check(o, "download", spec_of(request_options))
  options.mode(o.mode, "download")
  local d = new(session, url, o)
  local err
  local part <close>, fault = partial.of(path, o.mode)
  if not part then return nil, fault end
  d.part = part
  local _ <close> = task.defer(leave, d)
  local ok
  ok, err = run(d)
  if not ok then return nil, err end
  return finish(d)
end
