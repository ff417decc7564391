-- SPDX-License-Identifier: MIT
-- A load generator: so many requests on so many connections, or as many as come in so many seconds,
-- as fast as they go or at a fixed rate. With a rate, latency counts from the instant at which a
-- request was due, not from when a connection was free for it: a server that stalls cannot hide
-- those that had to wait (the "coordinated omission"). Only for servers that are yours. Exit status
-- 1 when a request got no answer; Ctrl-C ends it with the summary.
local corun = require "corun"
local http = require "corun.http"
local tty = require "corun.tty"

local opt = corun.args{
  connections = {64, min = 1, short = "c"}, requests = {type = "integer", min = 1, short = "n"},
  duration = {type = "number", min = 0.001, short = "d", value = "S"},
  rate = {type = "number", min = 0.001, short = "r"},
  method = {short = "m", value = "METHOD"}, header = {many = true, short = "H", value = "LINE"},
  body = {short = "b", value = "TEXT|@FILE"}, timeout = {10.0, min = 0.001, value = "S"},
  insecure = {false, short = "k"}, "URL",
  help = {"Put load on an HTTP server, and draw how long it took to answer.",
    connections = "at once", requests = "end after so many",
    duration = "begin none after so many seconds (10 without --requests)",
    rate = "requests a second (default: as many as go)", method = "GET, or POST with a body",
    header = "such as 'Accept: text/plain'", body = "of each request", timeout = "for each request",
    insecure = "do not verify certificates", URL = "what to ask for"},
}

local ROWS = 12 -- of the drawing at most
local STEP = math.log(1.01) -- latencies are kept to 1 %
local WHOLE = 1 << 20 -- bytes of an answer that may be in memory
local TICK = 0.002 -- seconds by which a sleep may end late: the clock's fault, not the server's

local function refuse(message)
  io.stderr:write("load.lua: ", message, "\n")
  corun.exit(2)
end

local function read_headers()
  local headers = {}
  for _, line in ipairs(opt.header) do
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if not name then refuse(("--header must be 'Name: value', got '%s'"):format(line)) end
    headers[name] = headers[name] or {}
    table.insert(headers[name], value)
  end
  return headers
end

local function read_body()
  local path = opt.body and opt.body:match("^@(.*)$")
  if not path then return opt.body end
  local text, err = corun.fs.read(path)
  if not text then refuse(tostring(err)) end
  return text
end

-- What has happened ------------------------------------------------------------------------------

local start, stop, count -- when it began, when the last request may begin, how many there may be
local begun, answered, failed = 0, 0, 0
local statuses, errors = {}, {}
local latencies, longest = {}, 0 -- how many there were, by the logarithm

local function add(counts, key) counts[key] = (counts[key] or 0) + 1 end

local function sorted(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

-- The latency that a share of the answers did not exceed.
local function percentile(indices, share)
  local left = share * answered
  for _, i in ipairs(indices) do
    left = left - latencies[i]
    if left <= 1e-9 then return math.min(math.exp((i + 1) * STEP), longest) end
  end
  return longest
end

-- Texts ------------------------------------------------------------------------------------------

local function grouped(n)
  local text = ("%.0f"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

-- Three digits and a unit, from a list of {factor, unit} that falls.
local function with_unit(value, units)
  for _, unit in ipairs(units) do
    local n = value / unit[1]
    if n >= 0.9995 or unit == units[#units] then
      return ("%." .. (n < 9.995 and 2 or n < 99.95 and 1 or 0) .. "f %s"):format(n, unit[2])
    end
  end
end

local function seconds(s) return with_unit(s, {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}}) end
local function bytes(n) return with_unit(n, {{1e9, "GB"}, {1e6, "MB"}, {1e3, "KB"}, {1, "B"}}) end

local EIGHTHS = {"▏", "▎", "▍", "▌", "▋", "▊", "▉"}

-- A bar of `share` of the width: Unicode on terminals that have it, else plain.
local function bar(share, width, is_fancy)
  if not is_fancy then return ("#"):rep(math.max(1, math.floor(share * width + 0.5))) end
  local n = math.max(1, math.floor(share * width * 8 + 0.5))
  return ("█"):rep(n // 8) .. (EIGHTHS[n % 8] or "")
end

local function draw(indices)
  local is_fancy = tty.is("stdout") and
    (os.getenv("LC_ALL") or os.getenv("LC_CTYPE") or os.getenv("LANG") or ""):lower():find("utf")
  local width = math.max(10, math.min(tty.is("stdout") and tty.size("stdout") or 80, 100) - 30)
  local first, last = indices[1], indices[#indices]
  local size = math.max(1, math.ceil((last - first + 1) / ROWS)) -- of a row, in steps of 1 %
  local rows, most = {}, 0
  for _, i in ipairs(indices) do
    local row = (i - first) // size + 1
    rows[row] = (rows[row] or 0) + latencies[i]
    most = math.max(most, rows[row])
  end
  print()
  for row = 1, (last - first) // size + 1 do
    local n = rows[row] or 0
    local upto = math.min(math.exp((first + row * size) * STEP), longest)
    print((("%10s  %12s  %s"):format(seconds(upto), grouped(n),
      n > 0 and bar(n / most, width, is_fancy) or ""):gsub("%s+$", "")))
  end
end

local function list(counts, form)
  local out = {}
  for _, key in ipairs(sorted(counts)) do out[#out + 1] = form:format(key, grouped(counts[key])) end
  return table.concat(out, ", ")
end

local function report(session)
  local took = math.min(corun.now(), stop) - start
  local received = session:stats().bytes_in
  local function say(what, ...) print(("%-10s %s"):format(what, (...):format(select(2, ...)))) end
  say("requests", "%s answered in %s, %s/s", grouped(answered), seconds(took),
    grouped(answered / took))
  say("received", "%s, %s/s", bytes(received), bytes(received / took))
  if answered > 0 then say("statuses", "%s", list(statuses, "%d: %s")) end
  if failed > 0 then say("errors", "%s", list(errors, "%s: %s")) end
  local under_way = begun - answered - failed
  if under_way > 0 then say("under way", "%s when it was interrupted", grouped(under_way)) end
  local unsent = opt.rate and math.min(count, math.ceil(took * opt.rate)) - begun or 0
  if unsent > 0 then say("unsent", "%s that were due: no connection was free", grouped(unsent)) end
  if answered == 0 then return end
  local indices, shown = sorted(latencies), {}
  for i, share in ipairs{50, 90, 99, 99.9} do
    shown[i] = ("p%g %s"):format(share, seconds(percentile(indices, share / 100)))
  end
  say("latency", "%s, max %s%s", table.concat(shown, ", "), seconds(longest),
    opt.rate and ", from when they were due" or "")
  draw(indices)
end

-- The load ---------------------------------------------------------------------------------------

local claimed = 0 -- requests, which may be for later
local wrong -- the mistake of who typed the command

-- Wait until it is time for one more request: the instant from which it counts; nil at the end.
local function turn()
  local now = corun.now()
  if claimed >= count or now >= stop or wrong then return nil end
  claimed = claimed + 1
  local since = now
  if opt.rate then
    since = start + (claimed - 1) / opt.rate
    if since > now then
      corun.sleep(since - now)
      now = corun.now()
      if now - since < TICK then since = now end
    end
  end
  begun = begun + 1
  return since
end

-- What no other request would be answered better than: the message for who typed it.
local function mistake(err)
  if type(err) == "string" then return (err:gsub("^[^:]*:%d+: ", "")) end
  return err.code == "EURL" and tostring(err) or nil
end

-- A request whose answer is thrown away as it comes.
local function ask_in_pieces(session, method, body)
  local res <close>, err = session:request(method, opt.url, {body = body, stream = true,
    max_body = math.maxinteger})
  if not res then return nil, err end
  local piece
  repeat
    piece, err = res:recv()
  until not piece
  if err then return nil, err end
  return res
end

-- To take an answer whole costs half as much, until one is too large for that: it is asked for once
-- more, and all others in pieces.
local is_large = false
local function ask(session, method, o)
  if not is_large then
    local res, err = session:request(method, opt.url, o)
    if res or err.code ~= "EMSGSIZE" then return res, err end
    is_large = true
  end
  return ask_in_pieces(session, method, o and o.body)
end

local function work(session, method, o, progress)
  for since in turn do
    local res, err = corun.try(ask, session, method, o)
    local now = corun.now()
    if res then
      answered = answered + 1
      add(statuses, res.status)
      add(latencies, math.floor(math.log(math.max(now - since, 1e-6)) / STEP))
      longest = math.max(longest, now - since)
    else
      wrong = wrong or mistake(err)
      if wrong then return end
      failed = failed + 1
      add(errors, ("%s (%s)"):format(err.code, err.op))
    end
    progress:add(1)
  end
end

local body = read_body()
local method = opt.method or body and "POST" or "GET"
local session <close>, why = corun.try(http.session, {
  limit = opt.connections, headers = read_headers(), timeout = opt.timeout, redirects = 0,
  cookies = false, decode = false, max_body = WHOLE,
  tls = opt.insecure and {insecure = true} or nil,
})
if not session then refuse(mistake(why) or tostring(why)) end
if not opt.requests and not opt.duration then opt.duration = 10 end

start = corun.now()
stop = start + (opt.duration or math.huge)
count = math.min(opt.requests or math.huge,
  opt.rate and opt.duration and math.ceil(opt.rate * opt.duration) or math.huge)
do
  local _ <close> = corun.defer(function()
    if wrong then return end
    print(("%s %s, %d connections"):format(method, opt.url, opt.connections))
    report(session)
  end)
  local progress <close> = corun.progress.bar{label = "requests", quiet = not tty.is("stderr"),
    total = count < math.huge and count or nil}
  corun.scope(function(s)
    for _ = 1, opt.connections do
      s:spawn(work, session, method, body and {body = body} or nil, progress)
    end
  end)
end
if wrong then refuse(wrong) end
if failed > 0 then corun.exit(1) end
