-- SPDX-License-Identifier: MIT
-- Scrape a list that a JSON API gives in pages, with retries and a rate limit, into JSON lines or
-- CSV. Each page is added to FILE.part, then FILE.state says so. The same command goes on where a
-- run has stopped; what a killed one had added without saying so is cut off. FILE appears when it
-- is complete.
local corun = require "corun"
local http = require "corun.http"
local csv, fs, json, url = corun.csv, corun.fs, corun.json, corun.url

local opt = corun.args{
  output = {type = "string", short = "o", value = "FILE"}, fields = {type = "string", short = "f",
    value = "LIST"}, items = {type = "string", short = "i", value = "PATH"},
  next = {type = "string", value = "PATH"}, cursor = {type = "string", value = "NAME"},
  page = {type = "string", value = "NAME"}, offset = {type = "string", value = "NAME"},
  details = {type = "string", value = "PATH"}, concurrency = {8, min = 1},
  total = {type = "string", value = "PATH"}, max_pages = {type = "integer", min = 1},
  header = {short = "H", value = "LINE", many = true}, netrc = false,
  rate = {type = "number", min = 0.001}, retries = {4, min = 0}, timeout = {30.0, min = 0.001},
  cache = {type = "string", value = "DIR"}, restart = false, quiet = {false, short = "q"}, "URL",
  help = {"Scrape the list of a JSON API, page by page. The next page is that of the header Link, "
      .. "unless --next, --page or --offset says otherwise. A PATH is names with dots: meta.next.",
    URL = "the first page", output = "NAME.jsonl or NAME.csv (otherwise JSON lines are printed)",
    fields = "write only these, such as id,owner.name; in CSV the columns",
    items = "where in a page the list is (otherwise the page is the list)",
    next = "where a page has the URL of the next one, or with --cursor the cursor",
    cursor = "the parameter for the cursor", page = "the parameter that counts pages",
    offset = "the parameter that counts items", details = "where an item has a URL; what is there "
      .. "is written in its place", concurrency = "details at once",
    total = "where a page has the number of all items, for the progress",
    max_pages = "end after so many", header = "send this, such as 'Authorization: Bearer x'",
    netrc = "take user and password from ~/.netrc", rate = "requests a second at most",
    retries = "further tries of a request", timeout = "seconds of silence that end a try",
    cache = "keep answers here for as long as the API allows",
    restart = "begin anew, whatever a stopped run has left", quiet = "no progress, no summary"},
}

local function refuse(message)
  io.stderr:write("scrape_api.lua: ", message, " (--help tells more)\n")
  corun.exit(2)
end

local function fail(op, target, message)
  error(corun.err("ESCRAPE", message, {op = op, target = target}), 0)
end

local is_csv = opt.output and opt.output:find("%.csv$") ~= nil
local fields
if opt.fields then
  fields = {}
  for name in opt.fields:gmatch("[^,]+") do fields[#fields + 1] = name end
  if #fields == 0 then refuse("--fields has no names") end
end
local origin = opt.url:match("^https?://[^/?#]+")
if not origin then refuse("the URL must begin with http:// or https://") end
local parsed, fault = url.parse(opt.url)
if not parsed then refuse(fault.message) end
if opt.output and not is_csv and not opt.output:find("%.jsonl$") then
  refuse("--output is a NAME.jsonl or a NAME.csv")
end
if is_csv and not fields then refuse("CSV needs --fields, its columns") end
if opt.cursor and not opt.next then refuse("--cursor needs --next, where the cursor is") end
if (opt.next and 1 or 0) + (opt.page and 1 or 0) + (opt.offset and 1 or 0) > 1 then
  refuse("--next, --page and --offset exclude each other")
end
local headers = {Accept = "application/json"}
for _, line in ipairs(opt.header) do
  local name, value = line:match("^([%w!#$%%&'*+.^_`|~-]+):%s*([^%c]-)%s*$")
  if not name then refuse(("--header=%s is no header line, NAME: VALUE"):format(line)) end
  headers[name:lower() == "accept" and "Accept" or name] = value
end

-- What is in a page -------------------------------------------------------------------------------

local function look_up(value, path)
  for name in path:gmatch("[^.]+") do
    if type(value) ~= "table" then return nil end
    value = value[name]
  end
  return value
end

local function is_list(value)
  return type(value) == "table" and (value[1] ~= nil or next(value) == nil)
end

-- The options --items that would find something.
local function lists_in(page)
  local found = {}
  for name, value in pairs(type(page) == "table" and page or {}) do
    if type(name) == "string" and is_list(value) then found[#found + 1] = "--items=" .. name end
  end
  table.sort(found)
  return #found > 0 and "; try " .. table.concat(found, " or ") or ""
end

local function items_of(res, page)
  local items = look_up(page, opt.items or "")
  if items == json.null then return {} end
  if not is_list(items) then
    local what = opt.items and "the page has no list at " .. opt.items or "the page is no list"
    fail("read", res.url, what .. lists_in(page))
  end
  return items
end

-- The URL with the parameter `name` set, and what the parameter was.
local function with(target, name, value)
  local u = assert(url.parse(target))
  local values, pairs_ = url.query(u.query or "")
  local query = {}
  for _, pair in ipairs(pairs_) do
    if pair[1] ~= name then query[#query + 1] = pair end
  end
  query[#query + 1] = {name, value}
  u.query = url.query(query)
  return tostring(u), values[name]
end

-- The URL with the number `name` in its query, which is `first` at first, larger by `step`.
local function count_on(target, name, first, step)
  local _, value = with(target, name, "")
  local number = value and math.tointeger(tonumber(value)) or first
  return (with(target, name, number + step))
end

-- The URL of the page after this one, which is that of `target` and has `count` items; or nil.
local function find_next(target, res, page, count)
  if opt.page then return count > 0 and count_on(target, opt.page, 1, 1) or nil end
  if opt.offset then return count > 0 and count_on(target, opt.offset, 0, count) or nil end
  if not opt.next then return res.links.next and res.links.next.url end
  local found = look_up(page, opt.next)
  if found == nil or found == false or found == json.null or found == "" then return nil end
  if opt.cursor and (type(found) == "string" or math.type(found)) then
    return (with(opt.url, opt.cursor, found))
  elseif type(found) ~= "string" then
    fail("read", res.url, ("what is at %s is no %s"):format(opt.next,
      opt.cursor and "cursor" or "URL"))
  end
  return assert(url.join(res.url, found))
end

-- Where it all goes -------------------------------------------------------------------------------

local part, state_path = (opt.output or "") .. ".part", (opt.output or "") .. ".state"
local job = json.encode({url = opt.url, items = opt.items, next = opt.next, cursor = opt.cursor,
  page = opt.page, offset = opt.offset, details = opt.details, fields = fields,
  max_pages = opt.max_pages}, {sort = true})

-- How far it is: the URL of the next page, and what is in the part file for certain.
local state = {job = job, next = opt.url, pages = 0, items = 0, gone = 0, bytes = 0}

local function text_of(items)
  local out = {}
  for i, item in ipairs(items) do
    local row = fields and {} or item
    for k, name in ipairs(fields or {}) do
      local value = look_up(item, name)
      if value == nil then value = json.null end
      if is_csv and type(value) == "table" then value = json.encode(value, {sort = true}) end
      row[is_csv and k or name] = value
    end
    out[i] = is_csv and row or json.encode(row, {sort = true}) .. "\n"
  end
  if is_csv then
    return csv.encode(out, {header = fields, append = state.pages > 0, newline = "\n"})
  end
  return table.concat(out)
end

-- What a run has left that was stopped; nil when there is nothing.
local function read_state()
  if opt.restart and fs.exists(state_path) then assert(fs.remove(state_path)) end
  local text, err = fs.read(state_path)
  if not text then return err.code ~= "ENOENT" and error(err, 0) or nil end
  local left = json.decode(text)
  if type(left) ~= "table" or left.job ~= job then
    fail("resume", state_path, "it is of another scrape; --restart begins anew")
  end
  return left
end

-- The part file, to be written behind what is certain.
local function open_part(is_resumed)
  if not is_resumed then return assert(fs.open(part, "w")) end
  local file = assert(fs.open(part, "r+"))
  if assert(file:seek("end")) < state.bytes then
    fail("resume", part, "it is shorter than it was; --restart begins anew")
  end
  assert(file:truncate(state.bytes))
  assert(file:seek("set", state.bytes))
  return file
end

-- Bring a page to the disk, then the state that counts it: never the other way round.
local function save(file, text, count, following)
  if file then
    assert(file:write(text))
    assert(file:sync())
  else
    assert(corun.stdout:write(text))
  end
  state.next, state.pages, state.items = following, state.pages + 1, state.items + count
  state.bytes = state.bytes + #text
  state.done = not following or state.pages == opt.max_pages
  if file then assert(fs.write(state_path, json.encode(state), {atomic = true})) end
end

local function finish()
  if fs.exists(part) then assert(fs.rename(part, opt.output)) end -- or it was done before a kill
  assert(fs.remove(state_path))
end

-- The scrape --------------------------------------------------------------------------------------

local statuses, times = {}, {}

local session <close> = http.session{
  base = origin, headers = headers, netrc = opt.netrc, retries = opt.retries, -- to no other origin
  rate = opt.rate and {opt.rate, 1, burst = 1}, timeout = {read = opt.timeout},
  cache = opt.cache or false,
  on_response = function(res)
    statuses[res.status] = (statuses[res.status] or 0) + 1
    if res.cache ~= "hit" then times[#times + 1] = res.times.total end
  end,
}

-- The details of an item, or the item itself if there are none any more.
local function details_of(item, page_url)
  local target = look_up(item, opt.details)
  if type(target) ~= "string" then
    fail("read", page_url, "an item has no URL at " .. opt.details)
  end
  target = assert(url.join(page_url, target))
  if not target:find("^https?:") then fail("read", page_url, "an item leads to " .. target) end
  local res = assert(session:get(target))
  if res.status == 404 or res.status == 410 then
    state.gone = state.gone + 1
    return item
  elseif not res.ok then
    fail("get", res.url, "the server answered " .. res.status)
  end
  return assert(res:json())
end

local function scrape(file, bar)
  local following, before
  for res in session:paginate(state.next, function() return following end) do
    local page = assert(res:json())
    local items = items_of(res, page)
    local count = #items
    if count > 0 and res.body == before and (opt.page or opt.offset) then
      fail("read", res.url, "the page is the one before it again; the API does not heed "
        .. (opt.page or opt.offset))
    end
    following, before = find_next(state.next, res, page, count), res.body
    if opt.details then
      items = corun.map(items, function(item) return details_of(item, res.url) end,
        {limit = opt.concurrency})
    end
    save(file, text_of(items), count, following)
    bar:set(state.items, opt.total and math.tointeger(look_up(page, opt.total)) or nil)
    if state.done then break end
  end
end

-- The summary -------------------------------------------------------------------------------------

local function amount(n)
  if n < 1000 then return n .. " B" end
  if n < 1e6 then return ("%.1f kB"):format(n / 1e3) end
  return ("%.1f MB"):format(n / 1e6)
end

local function plural(n, word)
  return ("%d %s%s"):format(n, word, n == 1 and "" or "s")
end

-- Of sorted times, in milliseconds.
local function percentile(p)
  return times[math.max(1, math.ceil(#times * p))] * 1000
end

local function report(began)
  local stats, answers = session:stats(), {}
  local cached = stats.cache
  for status, count in pairs(statuses) do
    answers[#answers + 1] = ("%d x %d"):format(count, status)
  end
  table.sort(answers, function(a, b) return a:match("%d+$") < b:match("%d+$") end)
  table.sort(times)
  local lines = {
    ("%s on %s%s%s"):format(plural(state.items, "item"), plural(state.pages, "page"),
      state.done and (opt.output and " in " .. opt.output or "")
        or opt.output and " so far; the same command goes on" or " so far",
      state.gone > 0 and (", %d without details"):format(state.gone) or ""),
    ("answers: %s; %s%s"):format(#answers > 0 and table.concat(answers, ", ") or "none",
      stats.retries == 1 and "1 retry" or stats.retries .. " retries",
      opt.cache and ("; %d out of the cache, %d of them confirmed"):format(
        cached.hit + cached.revalidated + cached.stale, cached.revalidated) or ""),
    ("bytes: %s received, %s sent"):format(amount(stats.bytes_in), amount(stats.bytes_out)),
  }
  if #times > 0 then
    lines[4] = ("time: p50 %.1f ms, p99 %.1f ms, %.1f s in all"):format(percentile(0.5),
      percentile(0.99), corun.now() - began)
  end
  io.stderr:write(table.concat(lines, "\n"), "\n")
end

local function run()
  local left = opt.output and read_state()
  state = left or state
  local began = corun.now()
  local _ <close> = corun.defer(function()
    if not opt.quiet then report(began) end
  end)
  if not state.done then
    local file <close> = opt.output and open_part(left) or nil
    local bar <close> = corun.progress.bar{label = "items", quiet = opt.quiet, done = state.items}
    scrape(file, bar)
  end
  if opt.output then finish() end
end

local ok, err = corun.try(run)
if not ok then
  -- When nobody reads the output any more the program is ended, which may take a moment.
  if err.code == "EPIPE" then corun.sleep(1) end
  io.stderr:write(("scrape_api.lua: %s\n"):format(err))
  corun.exit(1)
end
