-- SPDX-License-Identifier: MIT
-- What a build is measured on before it is optimised for it (CORUN_PROFILE in cmake/flags.cmake):
-- a little of everything that scripts do often, a few seconds in all. Prints what it does.
local corun = require "corun"
local http = require "corun.http"
local json = require "corun.json"
local net = require "corun.net"

local parts = {}

local function part(name, fn) parts[#parts + 1] = {name = name, fn = fn} end

-- Tasks -----------------------------------------------------------------------------------------

part("tasks", function()
  for _ = 1, 60000 do
    local t = corun.async(function() corun.yield() end)
    corun.await(t)
  end
  for _ = 1, 5000 do
    corun.scope(function(s)
      for i = 1, 4 do s:spawn(function() corun.yield() return i end) end
    end)
    corun.gather(function() return 1 end, function() return 2, 3 end)
    corun.timeout(10, function() corun.yield() end)
    corun.try(error, "no")
  end
  for _ = 1, 200 do
    corun.map({1, 2, 3, 4, 5, 6, 7, 8}, function(x) corun.yield() return x * 2 end, {limit = 3})
    corun.race{a = function() corun.sleep(0) end, b = function() corun.sleep(10) end}
  end
end)

part("texts", function()
  local codec, url = corun.codec, corun.url
  local bytes = codec.random(3000)
  for i = 1, 20000 do
    local u = assert(url.parse("https://example.com:8443/items/" .. i .. "?page=2&size=50"))
    url.join("http://example.com/a/b/c", "../d?x=" .. i)
    url.query(u.query)
    url.decode(url.encode("a name with spaces & more"))
  end
  local rows = {}
  for i = 1, 2000 do rows[i] = {i, "name " .. i, 'a "quoted" text, long', "2024-01-01", ""} end
  for _ = 1, 20 do
    local text = corun.csv.encode(rows)
    assert(#corun.csv.decode(text) == #rows)
    assert(#corun.csv.decode(text, {header = {"a", "b", "c", "d", "e"}}) == #rows)
  end
  for _ = 1, 2000 do
    assert(codec.base64.decode(codec.base64.encode(bytes)) == bytes)
    assert(codec.hex.decode(codec.hex.encode(bytes)) == bytes)
  end
end)

part("sleepers", function()
  for _ = 1, 3 do
    corun.scope(function(s)
      for i = 1, 15000 do
        s:spawn(function() corun.sleep(i % 50 / 1000) end)
      end
    end)
  end
end)

part("channels", function()
  for _, size in ipairs{0, 1, 64} do
    local c, done = corun.channel(size), corun.event()
    corun.scope(function(s)
      s:spawn(function()
        for i = 1, 20000 do c:send(i) end
        c:close()
      end)
      s:spawn(function()
        local sum = 0
        for v in c do sum = sum + v end
        done:set(sum)
      end)
      done:wait()
    end)
  end
  local m, c = corun.mutex(), corun.channel(4)
  for i = 1, 5000 do
    local _ <close> = m:acquire()
    c:try_send(i)
    corun.select{a = c}
  end
end)

part("coroutines", function()
  for _ = 1, 3000 do
    local numbers = coroutine.wrap(function()
      for i = 1, 10 do
        if i % 5 == 0 then corun.yield() end
        coroutine.yield(i)
      end
    end)
    for _ in numbers do end
  end
end)

-- Network ---------------------------------------------------------------------------------------

part("echo", function()
  local server = net.serve("127.0.0.1:0", function(s)
    while true do
      local data = s:recv()
      if not data then return end
      s:write(data)
    end
  end)
  corun.scope(function(s)
    for size = 1, 16 do
      s:spawn(function()
        local c <close> = assert(net.connect(server:address()))
        local message = ("x"):rep(size * size)
        for _ = 1, 600 do
          c:write(message)
          c:read_exactly(#message)
        end
        for _ = 1, 200 do
          c:write("a line\n")
          c:read("l")
        end
      end)
    end
  end)
  server:close()
end)

local function make_items(n)
  local items = json.array{}
  for i = 1, n do
    items[i] = {id = i * 7919, name = "item " .. i, price = i / 7, tags = {"a", "b\n", "ünïcode"},
      active = i % 3 == 0, nested = {x = i, y = {-i, i * 1e20}, none = json.null}}
  end
  return items
end

part("tls", function()
  local folder = os.tmpname()
  local cert, key = folder .. ".cert", folder .. ".key"
  local _ <close> = corun.defer(function()
    for _, path in ipairs{folder, cert, key} do os.remove(path) end
  end)
  if not os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \z
    -subj /CN=localhost -addext subjectAltName=DNS:localhost -out %s -keyout %s 2>/dev/null")
    :format(cert, key)) then return end
  local server = net.serve("127.0.0.1:0", function(s)
    while true do
      local data = s:recv()
      if not data or not s:write(data) then return end
    end
  end, {tls = {cert = cert, key = key}})
  local own = {ca = cert, server_name = "localhost"}
  for _, size in ipairs{64, 65536} do
    corun.map({1, 2, 3, 4, 5, 6, 7, 8}, function()
      local text = ("x"):rep(size)
      for _ = 1, 3 do
        local c <close> = assert(net.connect(server:address(), {tls = own}))
        for _ = 1, size > 1000 and 40 or 1000 do
          c:write(text)
          c:read_exactly(size)
        end
      end
    end)
  end
  server:close()
end)

part("http", function()
  local server = http.serve("127.0.0.1:0", function(req)
    if req.path == "/text" then return "hello" end
    return {json = {path = req.path, items = make_items(3)}}
  end)
  local base = "http://" .. server:address()
  local session <close> = http.session{base = base}
  corun.scope(function(s)
    for _ = 1, 16 do
      s:spawn(function()
        for i = 1, 150 do
          assert(session:getjson("/items/" .. i))
          local res = assert(session:post("/text", {body = "some body", headers = {["X-N"] = i}}))
          assert(res.body == "hello")
        end
      end)
    end
  end)
  server:close()
end)

-- Clients that write and read bytes: so the server has as much of the work as it has at a load
-- generator's other end.
part("serving", function()
  local count = 0
  local server = http.serve("127.0.0.1:0", function(req)
    count = count + 1
    if req.path == "/text" then return "hello" end
    if req.path == "/item" then
      return {status = 201, headers = {["X-Page"] = req.query.page}, json = req:json()}
    end
    return {json = {id = count, message = "Hello, World!", ok = true}}
  end)
  local plain = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
  local text = "GET /text HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: train\r\n" ..
    "Accept: */*\r\n\r\n"
  local item = "POST /item?page=2 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 17\r\n" ..
    "Content-Type: application/json\r\n\r\n" .. '{"name": "value"}'
  local function ask(c, request, n)
    c:write(n and request:rep(n) or request)
    for _ = 1, n or 1 do
      local head = c:read_until("\r\n\r\n")
      assert(c:read_exactly(tonumber(head:match("content%-length: (%d+)"))))
    end
  end
  corun.scope(function(s)
    for _ = 1, 48 do
      s:spawn(function()
        local c <close> = assert(net.connect(server:address()))
        for i = 1, 500 do
          ask(c, plain)
          if i % 8 == 0 then ask(c, text) end
          if i % 16 == 0 then ask(c, item) end
          if i % 50 == 0 then ask(c, plain, 16) end
        end
      end)
    end
  end)
  server:close()
end)

part("websockets", function()
  local server = http.serve("127.0.0.1:0", function(req)
    local ws = req:upgrade()
    for message, kind in ws do ws:send(message, kind) end
  end)
  local handshake = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n" ..
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" ..
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
  local short = "\x82\xFD\1\2\3\4" .. ("x"):rep(125) -- masked
  local long = "\x81\xFE\x08\0\0\0\0\0" .. ("x"):rep(2048)
  corun.scope(function(s)
    for _ = 1, 48 do
      s:spawn(function()
        local c <close> = assert(net.connect(server:address()))
        c:write(handshake)
        c:read_until("\r\n\r\n")
        for i = 1, 500 do
          c:write(short)
          c:read_exactly(127)
          if i % 10 == 0 then
            c:write(long)
            c:read_exactly(2052)
          end
        end
        c:write("\x88\x82\0\0\0\0\x03\xE8") -- goodbye
        c:read_exactly(4)
      end)
    end
  end)
  local url = "ws://" .. server:address()
  corun.map({1, 2, 3, 4}, function(i)
    local ws <close> = assert(http.websocket(url, {deflate = i % 2 == 0}))
    for n = 1, 200 do
      assert(ws:send(("message %d "):format(n):rep(i)))
      assert(ws:recv())
    end
  end)
  server:close()
end)

part("json", function()
  local small, large = json.encode(make_items(2)), json.encode(make_items(2000))
  for _ = 1, 8000 do assert(json.decode(small)) end
  for _ = 1, 8 do
    local value = assert(json.decode(large))
    json.encode(value)
  end
end)

-- Pools -----------------------------------------------------------------------------------------

part("pool", function()
  local p <close> = corun.pool.new{size = 2}
  local function echo(...) return ... end
  local numbers, items, texts = {}, make_items(30), {}
  for i = 1, 3000 do
    numbers[i] = i % 4 == 0 and i / 3 or i * 50
    texts["key " .. i % 200] = ("text %d "):format(i):rep(i % 10)
  end
  for _ = 1, 100 do
    for _, value in ipairs{numbers, items, texts} do p:run(echo, value, 1, "a word") end
  end
  corun.scope(function(s)
    for i = 1, 32 do
      s:spawn(function()
        for n = 1, 200 do p:run(echo, i, n) end
      end)
    end
  end)
  for _ = 1, 5 do p:map(numbers, function(x) return x + 1 end) end
  for i = 1, 100 do pcall(p.run, p, error, "no " .. i) end
end)

-- Lua -------------------------------------------------------------------------------------------

local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end

local point = {}
point.__index = point
function point.__add(a, b) return setmetatable({x = a.x + b.x, y = a.y + b.y}, point) end
function point.__eq(a, b) return a.x == b.x and a.y == b.y end
function point:length() return (self.x * self.x + self.y * self.y) ^ 0.5 end

part("numbers and calls", function()
  assert(fib(25) == 75025)
  local sum = setmetatable({x = 0, y = 0}, point)
  for i = 1, 30000 do
    sum = sum + setmetatable({x = i, y = -i}, point)
    if sum:length() < 0 then return end
  end
  local function count(...) return select("#", ...) end
  local n = 0
  for i = 1, 50000 do
    n = n + count(i, i // 3, i % 7, i & 255, i << 2, i / 2) + math.max(i, 5) + math.floor(i / 3)
  end
end)

part("tables", function()
  for _ = 1, 30 do
    local list, map = {}, {}
    for i = 1, 2000 do
      list[#list + 1] = (i * 7919) % 1000
      map["k" .. i % 300] = i
    end
    table.sort(list)
    table.sort(list, function(a, b) return a > b end)
    for k, v in pairs(map) do map[k] = v + 1 end
    local s = 0
    for _, v in ipairs(list) do s = s + v end
    table.insert(list, 1, s)
    table.remove(list)
    table.concat(list, ",", 1, 200)
    table.unpack(list, 1, 20)
    table.move(list, 1, 100, 50)
  end
end)

part("strings", function()
  local text = ("The quick brown fox, 42 years old, jumps over: the lazy dog.\n"):rep(20)
  for _ = 1, 120 do
    local words = {}
    for word in text:gmatch("%a+") do words[#words + 1] = word:lower() end
    text:gsub("(%a+), (%d+)", "%2 %1")
    text:gsub("%s+", function(space) return #space end)
    text:find("lazy", 1, true)
    text:match("^(.-)%s*$")
    for i = 1, 100 do
      local s = ("%d:%s:%.3f"):format(i, words[i], i / 3)
      if tonumber(s:match("^%d+")) ~= i or s:byte(1) == 0 then return end
      string.unpack("<I4d", string.pack("<I4d", i, i / 2))
    end
  end
  for i = 1, 2000 do
    pcall(error, {i})
    assert(load("local x = ... return x + " .. i))(1)
  end
end)

for _, p in ipairs(parts) do
  local start = corun.now()
  p.fn()
  print(("%-20s %.2f s"):format(p.name, corun.now() - start))
end
