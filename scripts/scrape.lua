-- SPDX-License-Identifier: MIT
-- The main job: fetch the pages of a JSON API, so many at once and within a deadline; keep what
-- failed beside what came; add up. Without a URL it serves itself a small API, on which some pages
-- fail. Each page is {"items": [{"kind": "tea", "price": 12}, ...]}.
local corun = require "corun"
local http = require "corun.http"

local opt = corun.args{
  pages = {60, min = 1}, limit = {16, min = 1}, deadline = {10.0, min = 0}, "[URL]",
  help = {"Scrape a JSON API.", pages = "fetch ?page=1 to this one", limit = "requests at once",
    deadline = "seconds for everything", URL = "the API (default: one of our own)"},
}

local function answer(req)
  local page = tonumber(req.query.page)
  corun.sleep(0.05)
  if page % 25 == 7 then return {status = 503, body = "try later"} end
  if page % 30 == 11 then return '{"items": [' end
  if page % 40 == 23 then corun.sleep(60) end
  local items = {}
  for i, kind in ipairs{"tea", "coffee", "cocoa"} do
    items[i] = {kind = kind, price = i * 10 + page % 7}
  end
  return {json = {items = items}}
end

local totals, kinds, failures, fetched = {}, {}, {}, 0

local function add(page, data, err)
  if not data then
    failures[#failures + 1] = {page = page, err = err}
    return
  end
  fetched = fetched + 1
  for _, item in ipairs(data.items) do
    local t = totals[item.kind]
    if not t then
      t, kinds[#kinds + 1] = {count = 0, sum = 0}, item.kind
      totals[item.kind] = t
    end
    t.count, t.sum = t.count + 1, t.sum + item.price
  end
end

local server <close> = not opt.url and assert(http.serve("127.0.0.1:0", answer)) or nil
local url = opt.url or "http://" .. server:address() .. "/items"
local pages = {}
for page = 1, opt.pages do pages[page] = page end

local _, late = corun.timeout(opt.deadline, function()
  local function fetch(page) return http.getjson(url, {query = {page = page}, timeout = 0.5}) end
  for page, data, err in corun.each(pages, fetch, {limit = opt.limit}) do
    add(page, data, err)
    io.stderr:write(("\r%d of %d pages, %d failed"):format(fetched, opt.pages, #failures))
  end
end)
io.stderr:write("\n")

table.sort(kinds)
print(("%-8s %5s %8s"):format("kind", "items", "mean"))
for _, kind in ipairs(kinds) do
  local t = totals[kind]
  print(("%-8s %5d %8.2f"):format(kind, t.count, t.sum / t.count))
end
table.sort(failures, function(a, b) return a.page < b.page end)
for _, f in ipairs(failures) do print(("page %d: %s"):format(f.page, f.err)) end
if late then print(late) end
