-- SPDX-License-Identifier: MIT
-- Check the links of a web site: its pages are crawled level by level, as far as they are of one
-- origin; what they lead to, be it theirs or others', is asked for once. The report names, page by
-- page, each link and image that is broken, and why. Ctrl-C ends it with the report of so far.
local corun = require "corun"
local http = require "corun.http"
local json, tty, url = corun.json, corun.tty, corun.url

local opt = corun.args{
  depth = {type = "integer", min = 0}, max_pages = {2000, min = 1}, concurrency = {16, min = 1},
  per_host = {6, min = 1}, rate = {type = "number", min = 0.001}, external = true, robots = false,
  accept = {type = "integer", many = true}, ignore = {value = "PATTERN", many = true},
  retries = {1, min = 0}, timeout = {20.0, min = 0.001}, netrc = false, json = false,
  quiet = {false, short = "q"}, "URL",
  help = {"Check the links of a web site. The exit status is 1 if some are broken.",
    URL = "the page to begin with", depth = "go so many links far; 0: this page alone",
    max_pages = "read so many pages at most", concurrency = "requests at once",
    per_host = "connections to one host", rate = "requests a second to one host at most",
    external = "check links to other origins too",
    robots = "leave out what robots.txt of the site forbids",
    accept = "a status that counts as good, such as 403", ignore = "leave out URLs with this "
      .. "(a Lua pattern)", retries = "further tries of a request",
    timeout = "seconds of silence that end a try", netrc = "take user and password from ~/.netrc",
    json = "print the report as JSON", quiet = "no progress"},
}

local MAX_PAGE = 16 << 20
local SHORT = 64 << 10 -- what is not wanted is read so far, so that its connection can be kept

-- HTML ------------------------------------------------------------------------------------------

-- The attributes that lead somewhere, and the elements that lead to what may be pages.
local LEADS = {
  a = "href", area = "href", iframe = "src", frame = "src", link = "href", img = "src srcset",
  script = "src", source = "src srcset", video = "src poster", audio = "src", track = "src",
  embed = "src", input = "src", object = "data",
}
local PAGES = {a = true, area = true, iframe = true, frame = true}
local RAW = {} -- elements that have text alone, whatever it looks like
for name in ("script style textarea title xmp iframe noembed noframes"):gmatch("%a+") do
  RAW[name] = true
end
local ENTITIES = {amp = "&", lt = "<", gt = ">", quot = '"', apos = "'", nbsp = "\u{A0}"}

local function entity(name, semicolon)
  local digits, hex = name:match("^#(%d+)$"), name:match("^#[xX](%x+)$")
  local code = digits and tonumber(digits) or hex and tonumber(hex, 16)
  if not code then return semicolon == ";" and ENTITIES[name] or nil end
  if code == 0 or code > 0x10FFFF or code >= 0xD800 and code <= 0xDFFF then return "\u{FFFD}" end
  return utf8.char(code // 1 | 0)
end

local function unescape(text)
  return (text:gsub("&(#?%w+)(;?)", entity))
end

-- The name and the attributes of the tag at `at`, and the place behind it; nil if it has no end.
local function read_tag(html, at)
  local attributes = {}
  local name, p = html:match("^</?([^%s/>]+)()", at)
  while true do
    p = html:match("^[%s/]*()", p)
    if html:find("^>", p) then return name:lower(), attributes, p + 1 end
    local key, after = html:match("^(=?[^%s/>=]*)()", p)
    if key == "" then return nil end
    local value, begin = "", html:match("^%s*=%s*()", after)
    local quote = begin and html:match("^[\"']", begin)
    if quote then
      local last = html:find(quote, begin + 1, true)
      if not last then return nil end
      value, after = html:sub(begin + 1, last - 1), last + 1
    elseif begin then
      value, after = html:match("^([^%s>]*)()", begin)
    end
    p, key = after, key:lower()
    if attributes[key] == nil then attributes[key] = unescape(value) end
  end
end

-- The end of what begins with the "<" at `open`; nil if it has none.
local function skip(html, lower, open, on_tag)
  if html:find("^<!%-%-", open) then return select(2, html:find("%-%-!?>", open + 2)) end
  if html:find("^<[!?]", open) or html:find("^</%A", open) then
    return html:find(">", open, true)
  elseif not html:find("^</?%a", open) then
    return open
  end
  local name, attributes, after = read_tag(html, open)
  if not name then return nil end
  if html:find("^</", open) then return after - 1 end
  on_tag(name, attributes, open)
  if not RAW[name] then return after - 1 end
  local closing = lower:find("</" .. name, after, true)
  return closing and closing - 1
end

-- Call on_tag(name, attributes, place) for each start tag.
local function scan(html, on_tag)
  local lower, last = html:lower(), 0
  while last do
    local open = html:find("<", last + 1, true)
    last = open and skip(html, lower, open, on_tag)
  end
end

-- The URLs of a srcset: "a.png 1x, b.png 2x".
local function each_of_set(text)
  local p = 1
  return function()
    local found, after = text:match("^[%s,]*(%S+)()", p)
    if not found then return nil end
    p = found:sub(-1) == "," and after or text:match("^[^,]*()", after)
    return (found:gsub(",+$", ""))
  end
end

-- The links of a page in order, a set of what fragments can lead to, and the page's base.
local function read_page(html)
  local links, ids, base = {}, {}, nil
  local line, counted = 1, 1
  local function add(element, reference)
    links[#links + 1] = {element = element, link = reference:match("^%s*(.-)%s*$"), line = line}
  end
  scan(html, function(name, attributes, place)
    line = line + select(2, html:sub(counted, place - 1):gsub("\n", ""))
    counted = place
    if attributes.id then ids[attributes.id] = true end
    if name == "a" and attributes.name then ids[attributes.name] = true end
    if name == "base" then base = base or attributes.href end
    local rel = name == "link" and (attributes.rel or ""):lower() or ""
    if rel:find("preconnect", 1, true) or rel:find("dns-prefetch", 1, true) then return end
    for attribute in (LEADS[name] or ""):gmatch("%a+") do
      local value = attributes[attribute]
      if value and attribute == "srcset" then
        for one in each_of_set(value) do add(name, one) end
      elseif value then
        add(name, value)
      end
    end
  end)
  return links, ids, base
end

-- robots.txt ------------------------------------------------------------------------------------

-- Whether a path begins as a rule says: "*" is anything, "$" at its end the end.
local function fits(rule, path)
  local text, at_end = rule:gsub("%$$", "")
  local last, from, after = nil, 1, 1
  for piece in (text .. "*"):gmatch("([^*]*)%*") do
    local at = path:find(piece, after, true)
    if not at or not last and at ~= 1 then return false end
    last, from, after = piece, after, at + #piece
  end
  if at_end == 0 or after > #path then return true end
  return from > 1 and #path - #last + 1 >= from and path:sub(#path - #last + 1) == last
end

-- The rules for all, or those for us where there are some.
local function read_rules(text)
  local rules, agents, is_open = {["*"] = {}, corun = {}}, {}, false
  local is_named = false
  for line in text:gmatch("[^\r\n]+") do
    local key, value = line:gsub("#.*", ""):match("^%s*([%a-]+)%s*:%s*(.-)%s*$")
    key = key and key:lower()
    if key == "user-agent" then
      if not is_open then agents, is_open = {}, true end
      agents[#agents + 1] = value:lower()
      is_named = is_named or value:lower() == "corun"
    elseif key == "allow" or key == "disallow" then
      is_open = false
      for _, agent in ipairs(value ~= "" and agents or {}) do
        table.insert(rules[agent] or {}, {text = value, allows = key == "allow"})
      end
    end
  end
  return is_named and rules.corun or rules["*"]
end

-- The longest rule that fits decides.
local function is_allowed(rules, target)
  local path, best = target:match("^%a+://[^/?]*([^#]*)"), nil
  for _, rule in ipairs(rules) do
    local longer = not best or #rule.text > #best.text
    if (longer or #rule.text == #best.text and rule.allows) and fits(rule.text, path) then
      best = rule
    end
  end
  return not best or best.allows
end

-- Asking ----------------------------------------------------------------------------------------

local start = url.parse(opt.url)
if not start or start.scheme ~= "http" and start.scheme ~= "https" then
  io.stderr:write("link_check.lua: the URL must be one of http or https (--help tells more)\n")
  corun.exit(2)
end
start.fragment = nil
for _, pattern in ipairs(opt.ignore) do
  local is_pattern, why = pcall(string.find, "", pattern)
  if not is_pattern then
    io.stderr:write(("link_check.lua: --ignore=%s: %s (--help tells more)\n"):format(pattern, why))
    corun.exit(2)
  end
end

local function origin_of(target)
  return target:match("^%a+://[^/?#]*")
end
local origin = origin_of(tostring(start))

local good = {}
for _, status in ipairs(opt.accept) do good[status] = true end

local session <close> = http.session{
  limit = opt.concurrency, per_host = opt.per_host,
  rate = opt.rate and {opt.rate, 1, burst = 1},
  retries = opt.retries, timeout = {connect = math.min(10, opt.timeout), read = opt.timeout},
  netrc = opt.netrc,
}

-- Why an answer is no good; nil if it is.
local function fault_of(res, err)
  if not res then return tostring(err) end
  if res.status < 400 or good[res.status] then return nil end
  return "the server answered " .. res.status
end

-- Whether a link is good: {fault=, status=, url=}.
local function probe(target)
  local res, err = session:head(target)
  if res and res.status >= 400 or err and err.op == "read" then -- servers that know no HEAD
    res, err = session:get(target, {stream = true})
    if res then res:close() end
  end
  return {fault = fault_of(res, err), status = res and res.status, url = res and res.url}
end

-- Let go of a body that nobody wants.
local function discard(res)
  if res.length and res.length <= SHORT then res:read("a") end
  res:close()
end

-- The same of a link to the site itself, which may be a page: then with links, ids and base too.
local function read(target)
  local res, err = session:get(target, {stream = true})
  local found = {fault = fault_of(res, err), status = res and res.status, url = res and res.url}
  if not res then return found end
  local kind = (res.headers["content-type"] or ""):lower()
  local is_page = kind:find("^text/html") or kind:find("^application/xhtml%+xml")
  if found.fault or not is_page or origin_of(res.url) ~= origin then
    discard(res)
    return found
  end
  local html, cut = res:text{max = MAX_PAGE}
  res:close()
  found.fault = not html and tostring(cut) or nil
  found.links, found.ids, found.base = read_page(html or "")
  return found
end

-- The crawl -------------------------------------------------------------------------------------

local rules = {}
if opt.robots then
  local res = session:get(origin .. "/robots.txt")
  if res and res.ok then rules = read_rules(res:text() or "") end
end

local targets = {} -- by URL: what is known of it
local pages, seen, skipped = {}, {}, 0 -- the pages that were read, by number and by URL
local crawled, is_cut = 0, false -- pages that are or will be read; there are more than may be
local checked, is_whole = 0, false -- links; all were

local function is_wanted(target)
  local is_own = origin_of(target) == origin
  for _, pattern in ipairs(opt.ignore) do
    if target:find(pattern) then return false end
  end
  return is_own and is_allowed(rules, target) or not is_own and opt.external
end

-- Resolve the links of a page; those that are new go into the queue.
local function follow(page, depth, queue)
  local base = page.base and url.join(page.url, page.base) or page.url
  for _, link in ipairs(page.links) do
    local u, err = url.parse(link.link, base)
    if not u then
      link.fault = tostring(err)
    elseif u.scheme == "http" or u.scheme == "https" then
      link.fragment, u.fragment = u.fragment, nil
      link.url = tostring(u)
      local known = targets[link.url]
      local crawl = PAGES[link.element] and origin_of(link.url) == origin
        and (not opt.depth or depth < opt.depth)
      if crawl and not known and crawled == opt.max_pages then crawl, is_cut = false, true end
      if known == nil and not is_wanted(link.url) then
        targets[link.url] = false
        skipped = skipped + 1
      elseif known == nil or known and crawl and not known.crawl then
        targets[link.url] = {crawl = crawl}
        if crawl then crawled = crawled + 1 end
        queue[#queue + 1] = link.url
      end
    end
  end
end

-- Read and check a level of the site; the next one is what it answers.
local function visit(level, depth, bar)
  local results = corun.each(level, function(target)
    return targets[target].crawl and read(target) or probe(target)
  end, {limit = opt.concurrency})
  for target, found in results do
    found.crawl, targets[target] = targets[target].crawl, found
    checked = checked + 1
    bar:add(1)
  end
  local queue = {}
  for _, target in ipairs(level) do
    local found = targets[target]
    if found.links and not seen[found.url] then
      seen[found.url] = true
      pages[#pages + 1] = found
      follow(found, depth, queue)
    end
  end
  return queue
end

local function crawl()
  local bar <close> = corun.progress.bar{label = "links", quiet = opt.quiet}
  local level, depth, total = {tostring(start)}, 0, 0
  targets[level[1]], crawled = {crawl = true}, 1
  while #level > 0 do
    total = total + #level
    bar:set(total - #level, total)
    level, depth = visit(level, depth, bar), depth + 1
  end
  is_whole = true
end

-- The report ------------------------------------------------------------------------------------

local function fragment_fault(link, target)
  local name = link.fragment
  if not target.ids or not name or name == "" or name:find(":~:", 1, true) then return nil end
  local plain = url.decode(name)
  if target.ids[name] or target.ids[plain] or plain:lower() == "top" then return nil end
  return ("the page has no #%s"):format(name)
end

-- What is wrong with the links of a page, each once.
local function broken_on(page)
  local list, told = {}, {}
  for _, link in ipairs(page.links) do
    local target = link.url and targets[link.url]
    local fault = link.fault or target and (target.fault or fragment_fault(link, target))
    local key = (link.url or link.link) .. "#" .. (link.fragment or "")
    if fault and not told[key] then
      told[key] = true
      list[#list + 1] = {page = page.url, line = link.line, element = link.element,
        link = link.link, url = link.url, status = target and target.status, cause = fault}
    end
  end
  return list
end

-- What a page says is shown, not obeyed, by a terminal.
local function visible(text)
  return (text:gsub("%c", function(c) return ("\\x%02X"):format(c:byte()) end))
end

local function find_broken()
  local broken, first = {}, targets[tostring(start)]
  if first.fault then
    broken[1] = {page = tostring(start), status = first.status, cause = first.fault}
  end
  for _, page in ipairs(pages) do
    for _, link in ipairs(broken_on(page)) do broken[#broken + 1] = link end
  end
  return broken
end

local function show(broken, seconds)
  local is_coloured = tty.is("stdout") and not os.getenv("NO_COLOR")
  local bold, red, plain = "", "", ""
  if is_coloured then bold, red, plain = "\27[1m", "\27[31m", "\27[0m" end
  local page
  for _, link in ipairs(broken) do
    if link.page ~= page then print(bold .. link.page .. plain) end
    page = link.page
    print(link.link and ("  line %d: <%s> %s: %s%s%s"):format(link.line, link.element,
      visible(link.link), red, link.cause, plain) or ("  %s%s%s"):format(red, link.cause, plain))
  end
  print(("links: %d%s, pages: %d%s, broken: %d, left out: %d; %.1f s"):format(checked,
    is_whole and "" or " so far", #pages, is_cut and " (and more, see --max-pages)" or "", #broken,
    skipped, seconds))
end

local began, broken = corun.now(), nil
do
  local _ <close> = corun.defer(function()
    broken = find_broken()
    if not opt.json then return show(broken, corun.now() - began) end
    print(json.encode({pages = #pages, checked = checked, skipped = skipped, complete = is_whole,
      broken = json.array(broken)}, {pretty = true, sort = true}))
  end)
  crawl()
end
if #broken > 0 then corun.exit(1) end
