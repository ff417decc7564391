-- SPDX-License-Identifier: MIT
-- The main job: fetch the pages of a JSON API, so many at once and within a deadline; keep what
-- failed beside what came; add up. Without a URL it serves itself a small API on which some pages
-- fail. A page is {"items": [{"kind": "tea", "price": 12}, ...]}. What goes on
-- where it stopped, and follows pages that name the next, is scrape_api.lua.
local corun = require "corun"
local http = require "corun.http"

local opt = corun.args{
  pages = {60, min = 1}, limit = {16, min = 1}, deadline = {10.0, min = 0}, "[URL]",
  help = {"Scrape a JSON API.", pages = "fetch ?page=1 to this one", limit = "requests at once",
    deadline = "seconds for everything", URL = "the API (default: one of our own)"},
}
local function answer(req)
  local page, items = tonumber(req.query.page), {}
  corun.sleep(0.05)
  if page % 25 == 7 then return {status = 503, body = "come back later"} end
  if page % 30 == 11 then return '{"items": [' end
  if page % 40 == 23 then corun.sleep(60) end
  for i, kind in ipairs{"tea", "coffee", "cocoa"} do
    items[i] = {kind = kind, price = i * 10 + page % 7}
  end
  return {json = {items = items}}
end
local server <close> = not opt.url and assert(http.serve("127.0.0.1:0", answer)) or nil
local url = opt.url or ("http://%s/items"):format(server:address())

local function fetch(page)
  local data, err = http.getjson(url, {query = {page = page}, timeout = 0.5, check = true})
  if data == nil then return nil, err end
  local items = type(data) == "table" and data.items
  for _, item in ipairs(type(items) == "table" and items or {"none"}) do
    local fits = type(item) == "table" and item.kind and math.type(item.price)
    if not fits then return nil, corun.err("EPAGE", "the page has another shape") end
  end
  return items
end

local pages, rows, kinds, failures, good = {}, {}, {}, {}, 0
for page = 1, opt.pages do pages[page] = page end
local _, late = corun.timeout(opt.deadline, function()
  local results = corun.each(pages, fetch, {limit = opt.limit})
  for page, items, err in corun.progress(results, {total = opt.pages, label = "pages"}) do
    if items then good = good + 1 else failures[#failures + 1] = {page, err} end
    for _, item in ipairs(items or {}) do
      if not rows[item.kind] then rows[item.kind], kinds[#kinds + 1] = {0, 0}, item.kind end
      rows[item.kind] = {rows[item.kind][1] + 1, rows[item.kind][2] + item.price}
    end
  end
end)
table.sort(kinds)
print(("%-8s %5s %8s"):format("kind", "items", "mean"))
for _, kind in ipairs(kinds) do
  print(("%-8s %5d %8.2f"):format(kind, rows[kind][1], rows[kind][2] / rows[kind][1]))
end
table.sort(failures, function(a, b) return a[1] < b[1] end)
for _, failure in ipairs(failures) do print(("page %d: %s"):format(failure[1], failure[2])) end
if late then print(("%s; %d pages not fetched"):format(late, #pages - good - #failures)) end
if good == 0 then corun.exit(1) end
