-- SPDX-License-Identifier: MIT
-- corun.json beside lua-cjson in one process, in turn, so that both meet the same machine: decoding
-- and encoding of one record of 548 B, of 5.4 MB of such records, of 5.4 MB of short mixed values
-- and of 1 MB of floats. CPU time, median of the rounds. Usage: json.lua [ROUNDS]
local json = require("corun.json")
local cjson = require("cjson")

local rounds = tonumber(arg and arg[1]) or 11

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

local function records(item, size)
  local list, total, i = {}, 0, 0
  while total < size do
    local record = item:gsub('"id":20413186', ('"id":%d'):format(20413186000 + i), 1)
      :gsub("BK%-2041%-XL", ("BK-%05d"):format(i), 1)
      :gsub('"price":12.95', ('"price":%.2f'):format(i / 100 + 0.49), 1)
    i = i + 1
    list[i] = record
    total = total + #record + 1
  end
  return "[" .. table.concat(list, ",") .. "]"
end

local function mixed(size)
  local words = {"alpha", "river", "stone", "cloud", "orchard", "lantern", "harbour", "meadow"}
  local random, list, total = math.random, {}, 0
  math.randomseed(1)
  local function word() return words[random(#words)] end
  while total < size do
    local record = ('{"id":%d,"name":"%s %s","mail":"%s.%d@example.org","on":%s,"score":%.3f,'
      .. '"at":"2024-%02d-%02dT%02d:%02d:00Z","tags":["%s","%s"],"place":{"lat":%.6f,"lon":%.6f},'
      .. '"parent":%s,"note":"%s \\"%s\\" caf\u{e9}\\n%s","counts":[%d,%d,%d]}'):format(
      random(10 ^ 9), word(), word(), word(), random(9999), tostring(random(2) == 1),
      random() * 1000, random(12), random(28), random(0, 23), random(0, 59), word(), word(),
      random() * 180 - 90, random() * 360 - 180, random(3) == 1 and "null" or random(10 ^ 6),
      word(), word(), word(), random(10), random(10 ^ 4), random(10 ^ 7))
    list[#list + 1] = record
    total = total + #record + 1
  end
  return "[" .. table.concat(list, ",") .. "]"
end

local function floats(size)
  local list, total = {}, 0
  while total < size do
    local pair = ("[%.14f,%.14f]"):format(math.random() * 180 - 90, math.random() * 360 - 180)
    list[#list + 1] = pair
    total = total + #pair + 1
  end
  return "[" .. table.concat(list, ",") .. "]"
end

local function timed(fn, value, n)
  collectgarbage()
  local start = os.clock()
  for _ = 1, n do fn(value) end
  return (os.clock() - start) / n
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- Times both functions on `value`, the first one first in every other round.
local function compare(name, size, ours, theirs, value, n)
  local a, b = {}, {}
  timed(ours, value, n)
  timed(theirs, value, n)
  for i = 1, rounds do
    if i % 2 == 0 then b[i] = timed(theirs, value, n) end
    a[i] = timed(ours, value, n)
    if i % 2 == 1 then b[i] = timed(theirs, value, n) end
  end
  local function show(who, list)
    local t = median(list)
    print(("%-18s %-10s %9.1f us (%.1f..%.1f) %6.1f MB/s"):format(name, who, t * 1e6,
      list[1] * 1e6, list[#list] * 1e6, size / t / 1e6))
    return t
  end
  local x, y = show("corun.json", a), show("cjson", b)
  print(("ratio json %s speed corun.json/cjson %.2f"):format(name, y / x))
end

collectgarbage("incremental", 200)
local item = read((arg and arg[0] or "bench/json.lua"):gsub("[^/]*$", "") .. "scrape/item.json")
for _, case in ipairs{{"548B", item, 20000}, {"5.4MB", records(item, 5400000), 1},
  {"5.4MB_mixed", mixed(5400000), 1}, {"1MB_floats", floats(1000000), 5}} do
  local name, text, n = table.unpack(case)
  compare("decode_" .. name, #text, json.decode, cjson.decode, text, n)
  local value, float_value = json.decode(text), cjson.decode(text)
  assert(#json.encode(value) > 0 and float_value)
  compare("encode_" .. name, #text, json.encode, cjson.encode, value, n)
end
