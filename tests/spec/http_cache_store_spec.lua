-- SPDX-License-Identifier: MIT
-- Where a cache keeps what it has: memory and a directory, their limits, what is damaged, other
-- processes, cancellation. What is kept at all is for http_cache_spec.lua.
local corun = require("corun")
local codec = require("corun.codec")
local fs = require("corun.fs")
local http = require("corun.http")
local disk = require("corun.http_cache_disk")
local memory = require("corun.http_cache_memory")
local message = require("corun.http_message")
local support = require("tests.spec.support.http")

local function entry(body, epoch)
  local block = "\r\netag: \"x\"\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n"
  return {url = "http://h/", status = 200, sent = 1.5, received = 2, decode = true, body = body,
    vary = epoch and "accept" or "", epoch = epoch or "", block = block,
    headers = message.headers(block)}
end

-- A directory, and a store in it.
local function folder(max)
  local dir = assert(fs.temp({dir = true}))
  local store = disk.new(dir:path(), max or 1 << 20)
  assert(store:prepare())
  return dir, store, dir:path()
end

local function names(path) return (assert(fs.list(path))) end

local function total(path)
  local sum = 0
  for _, name in ipairs(names(path)) do sum = sum + assert(fs.stat(path .. "/" .. name)).size end
  return sum
end

-- A server whose answers are fresh for years, and how often it was asked.
local function lasting()
  local asked = {n = 0}
  local server, url = support.kept(function(head)
    asked.n = asked.n + 1
    return support.ok("body of " .. head:match("^%S+ (%S+)"),
      "cache-control: max-age=100000000\r\n")
  end)
  return server, url, asked
end

describe("http cache stores", function()
  for name, make in pairs{
    memory = function() return corun.defer(function() end), memory.new(1 << 20) end,
    disk = folder,
  } do
    it(name .. ": find, replace, remove, clear", function()
      local _ <close>, store = make()
      assert.is_nil(store:get("a"))
      assert(store:put("a", entry("one")))
      assert(store:put("b", entry("", "epoch")))
      assert.same(entry("one"), store:get("a"))
      assert.same(entry("", "epoch"), store:get("b"))
      assert(store:put("a", entry("two\0\255")))
      assert.equal("two\0\255", store:get("a").body)
      assert(store:remove("a"))
      assert(store:remove("a"))
      assert.is_nil(store:get("a"))
      assert(store:put("c", entry("three")))
      assert(store:clear())
      assert.is_nil(store:get("b"))
      assert.is_nil(store:get("c"))
      assert(store:put("c", entry("four")))
      assert.equal("four", store:get("c").body)
    end)

    it(name .. ": what is larger than an eighth is not kept, nor what it replaces", function()
      local _ <close>, store = make()
      assert(store:put("a", entry("small")))
      assert(store:put("a", entry(("x"):rep(1 << 17))))
      assert.is_nil(store:get("a"))
      assert(store:put("a", entry(("x"):rep(100000))))
      assert.equal(100000, #store:get("a").body)
    end)
  end

  it("memory: drops what was not used for the longest, never over the limit", function()
    local store = memory.new(80000)
    local body = ("x"):rep(4000)
    for i = 1, 100 do
      assert(store:put("n" .. i, entry(body)))
      assert(store:get("n1"))
      assert.is_true(store.size <= 80000)
    end
    assert.is_nil(store:get("n2"))
    assert.is_not_nil(store:get("n100"))
    local n, sum = 0, 0
    for _, node in pairs(store.nodes) do n, sum = n + 1, sum + node.size end
    assert.equal(sum, store.size)
    assert.is_true(n > 10)
    for i = 1, 100 do store:remove("n" .. i) end
    assert.equal(0, store.size)
    assert.equal(store.ring, store.ring.next)
  end)

  it("disk: drops what was not used for the longest, never over the limit", function()
    local _ <close>, store, path = folder(80000)
    local body = ("x"):rep(4000)
    assert(store:put("first", entry(body)))
    local first = path .. "/" .. names(path)[1]
    assert(fs.write(path .. "/notes.txt", "not ours"))
    for i = 1, 60 do
      assert(fs.utime(first, os.time() + 1000))
      assert(store:put("n" .. i, entry(body)))
      assert.is_true(total(path) <= 80000 + 8)
    end
    assert.is_not_nil(store:get("first"))
    assert.is_nil(store:get("n1"))
    assert.is_not_nil(store:get("n60"))
    assert(store:clear())
    assert.same({"notes.txt"}, names(path))
  end)

  it("disk: removes what others have left half written, once it is old", function()
    local _ <close>, store, path = folder(80000)
    local old = path .. "/" .. ("a"):rep(64) .. ".cache.0123"
    local young = path .. "/" .. ("b"):rep(64) .. ".cache.0123"
    assert(fs.write(old, "x"))
    assert(fs.utime(old, os.time() - 7200))
    assert(fs.write(young, "x"))
    for i = 1, 10 do assert(store:put("n" .. i, entry(("x"):rep(4000)))) end
    assert.is_false(fs.exists(old))
    assert.is_true(fs.exists(young))
  end)

  it("disk: is for its user alone", function()
    local _ <close>, _, path = folder()
    local store = disk.new(path .. "/a/b", 1 << 20)
    assert(store:prepare())
    assert(store:put("a", entry("x")))
    assert.equal(448, fs.stat(path .. "/a/b").mode) -- 0700
    local list = names(path .. "/a/b")
    assert.equal(1, #list)
    assert.equal(384, fs.stat(path .. "/a/b/" .. list[1]).mode) -- 0600
  end)
end)

describe("http cache files that are damaged", function()
  -- The only file of a store, and its bytes.
  local function one(path)
    local file = path .. "/" .. names(path)[1]
    return file, assert(fs.read(file))
  end

  it("are a miss and go: cut anywhere, or with any byte changed", function()
    local _ <close>, store, path = folder()
    assert(store:put("a", entry("the body")))
    local file, bytes = one(path)
    assert.is_not_nil(store:get("a"))
    for i = 0, #bytes - 1 do
      assert(fs.write(file, bytes:sub(1, i)))
      assert.is_nil(store:get("a"))
      assert.same({}, names(path), "cut at " .. i)
      local changed = string.char(bytes:byte(i + 1) ~ (1 << math.random(0, 7)))
      assert(fs.write(file, bytes:sub(1, i) .. changed .. bytes:sub(i + 2)))
      assert.is_nil(store:get("a"))
      assert.same({}, names(path), "changed at " .. i)
    end
    for _, more in ipairs{bytes .. "x", "", ("\255"):rep(1000), ("x"):rep(1 << 20)} do
      assert(fs.write(file, more))
      assert.is_nil(store:get("a"))
      assert.same({}, names(path))
    end
  end)

  it("and those of another name, are a miss", function()
    local _ <close>, store, path = folder()
    assert(store:put("a", entry("the body")))
    local file, bytes = one(path)
    assert(store:put("b", entry("another")))
    for _, name in ipairs(names(path)) do
      if path .. "/" .. name ~= file then assert(fs.write(path .. "/" .. name, bytes)) end
    end
    assert.is_nil(store:get("b"))
    assert.equal("the body", store:get("a").body)
  end)

  it("are fetched anew, and kept again", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local server, url, asked = lasting()
    local s <close> = http.session({cache = dir:path()})
    assert.equal("miss", assert(s:get(url)).cache)
    local file, bytes = one(dir:path())
    assert(fs.write(file, bytes:sub(1, -2)))
    assert.equal("miss", assert(s:get(url)).cache)
    assert.same({"hit", "body of /"}, {assert(s:get(url)).cache, assert(s:get(url)).body})
    assert.equal(2, asked.n)
    server:close()
  end)

  it("fail no request where they can be neither read nor replaced", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local server, url = lasting()
    local cache = http.cache({dir = dir:path()})
    local s <close> = http.session({cache = cache})
    assert(s:get(url))
    assert.is_nil(cache.err)
    local file = one(dir:path())
    assert(fs.remove(file))
    assert(fs.mkdir(file .. "/full", {parents = true}))
    assert.same({"miss", "body of /"}, {assert(s:get(url)).cache, assert(s:get(url)).body})
    assert.equal("EISDIR", cache.err.code)
    assert.equal(1, #names(dir:path()))
    server:close()
  end)
end)

describe("http cache directory", function()
  it("outlives the session, and is found by the next", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local server, url, asked = lasting()
    for _, outcome in ipairs{"miss", "hit", "hit"} do
      local s <close> = http.session({cache = dir:path() .. "/cache"})
      local res = assert(s:get(url .. "/x"))
      assert.same({outcome, "body of /x", "100000000"}, {res.cache, res.body,
        res.headers["cache-control"]:match("%d+")})
    end
    assert.equal(1, asked.n)
    server:close()
  end)

  it("that cannot be made fails the request, and says which", function()
    local file <close> = assert(fs.temp())
    local server, url, asked = lasting()
    local s <close> = http.session({cache = file:path() .. "/cache"})
    for _, method in ipairs{"GET", "POST"} do
      local _, err = s:request(method, url)
      assert.equal("ENOTDIR", err.code)
      assert.matches(file:path(), tostring(err), 1, true)
    end
    assert.equal(0, asked.n)
    server:close()
  end)

  it("that was removed is made again", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local path = dir:path() .. "/cache"
    local server, url = lasting()
    local s <close> = http.session({cache = path})
    assert(s:get(url))
    for _, name in ipairs(names(path)) do assert(fs.remove(path .. "/" .. name)) end
    assert(fs.remove(path))
    for _, outcome in ipairs{"miss", "miss", "hit"} do
      assert.equal(outcome, assert(s:get(url)).cache)
    end
    server:close()
  end)

  it("has no credentials of a request in its files", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local server, url = lasting()
    local s <close> = http.session({cache = dir:path()})
    assert(s:get(url, {auth = "secret-token"}))
    for _, name in ipairs(names(dir:path())) do
      assert.is_nil(assert(fs.read(dir:path() .. "/" .. name)):find("secret", 1, true))
      assert.matches("^%x+%.cache$", name)
    end
    server:close()
  end)

  it("is read and written by several processes at once, within its limit", function()
    local dir <close> = assert(fs.temp({dir = true}))
    local path = dir:path() .. "/cache"
    local script = dir:path() .. "/get.lua"
    assert(fs.write(script, [[
local corun, http = require "corun", require "corun.http"
local s = http.session{cache = http.cache{dir = arg[2], max = 80000}, limit = 8}
local outcomes = {hit = 0, miss = 0}
local urls = {}
for i = 1, 400 do urls[i] = "/" .. (i * 7919 + arg[3]) % 40 end
corun.map(urls, function(target)
  local res = assert(s:get(arg[1] .. target))
  assert(res.body == "body of " .. target, res.body)
  outcomes[res.cache] = outcomes[res.cache] + 1
end, {limit = 8})
print("hits " .. outcomes.hit)
s:close()]]))
    local server, url, asked = lasting()
    local outs = corun.map({1, 2, 3}, function(n)
      return (support.run(support.corun(), script, url, path, tostring(n)))
    end)
    local hits = 0
    for _, out in ipairs(outs) do
      hits = hits + assert(tonumber(out:match("^hits (%d+)\n$")), out)
    end
    assert.equal(1200, hits + asked.n)
    assert.is_true(hits > 600, hits .. " hits")
    for _, name in ipairs(names(path)) do assert.matches("^%x+%.cache$", name) end
    server:close()
  end)
end)

describe("http cache directory, cancelled", function()
  -- Let fn run with fs[op] cancelling the task that calls it: before, in, or after its n-th call.
  local function cancelled(op, when, n, fn)
    local real, calls = fs[op], 0
    local _ <close> = corun.defer(function() fs[op] = real end)
    return corun.scope(function(s)
      local task
      fs[op] = function(...)
        if corun.current() ~= task then return real(...) end
        calls = calls + 1
        if calls ~= n then return real(...) end
        if when == "before" then task:cancel() end
        if when == "while" then s:spawn(function() task:cancel() end) end
        local result = table.pack(real(...))
        if when == "after" then task:cancel() end
        return table.unpack(result, 1, result.n)
      end
      task = s:async(fn)
      local _, err = task:await()
      return calls >= n, err
    end)
  end

  for _, case in ipairs{{"mkdir", 1}, {"read", 1}, {"write", 1}, {"rename", 1}, {"list", 1},
    {"stat", 3}, {"remove", 2}} do
    local op, n = case[1], case[2]
    it("at " .. op .. " leaves whole entries and nothing half", function()
      for _, when in ipairs{"before", "while", "after"} do
        local _ <close>, filled, path = folder(80000)
        for i = 1, 12 do assert(filled:put("n" .. i, entry(("x"):rep(6000)))) end
        local server, url = lasting()
        local cache = http.cache({dir = path, max = op == "remove" and 20000 or 80000})
        cache.store.written = cache.store.quantum -- so that it makes room first
        local s <close> = http.session({cache = cache})
        local reached, err = cancelled(op, when, n, function() return s:get(url) end)
        assert.is_true(reached, when)
        assert.is_true(err == nil or err.code == "ECANCELED", tostring(err))
        assert.is_nil(next(cache.flights))
        assert.is_false(cache.store.sweeping)
        for _, name in ipairs(names(path)) do assert.matches("^%x+%.cache$", name, when) end
        assert(s:get(url))
        assert.same({"hit", "body of /"}, {assert(s:get(url)).cache, assert(s:get(url)).body})
        server:close()
          end
    end)
  end

  it("in the hash of a long body leaves nothing", function()
    local _ <close>, store, path = folder(80 << 20)
    corun.scope(function(s)
      local t = s:async(store.put, store, "a", entry(codec.random(1 << 20):rep(8)))
      repeat corun.yield() until t:status() ~= "ready"
      t:cancel()
      t:await()
    end)
    assert.same({}, names(path))
  end)
end)
