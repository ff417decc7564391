-- SPDX-License-Identifier: MIT
-- WebSocket and peers that are cut off, that say things by chance, and that want memory: nothing is
-- lost that came whole, the rest is an error, and the server goes on.

local corun = require("corun")
local http = require("corun.http")
local net = require("corun.net")
local program = dofile("tests/fixtures/cli/program.lua")
local support = require("tests.spec.support.websocket")

local fs = corun.fs
local frame, client_frame = support.frame, support.client_frame
local goodbye = support.goodbye

local CLOSE, PING = 0x88, 0x89
local OFFER = {["sec-websocket-extensions"] = "permessage-deflate"}

-- Chance that is the same in each run with the same seed.
local chance = math.random
math.randomseed(tonumber(os.getenv("CORUN_SEED")) or 1)

-- All that a WebSocket receives: texts in a list, and its error.
local function receive_all(ws)
  local got = {}
  while true do
    local data, err = ws:recv{timeout = 20}
    if data == nil then return got, err end
    got[#got + 1] = data
  end
end

-- A server whose handlers tell `ended` what they got: {texts, error, WebSocket}.
local function listening(o)
  local ended = corun.channel(100)
  local server, _, address = support.serve(function(ws)
    local got, err = receive_all(ws)
    ended:send{got, err, ws}
  end, o)
  return server, address, ended
end

local function is_fine(address, ended)
  local stream <close> = support.connect(address)
  stream:write(client_frame(0x81, "still there"), client_frame(CLOSE, goodbye(1000)))
  stream:read("a", {timeout = 10})
  assert.same({"still there"}, ended:recv()[1])
end

describe("a WebSocket that is cut off", function()
  -- Three messages, and where each is complete.
  local function script(make)
    local bytes, complete = "", {}
    for _, part in ipairs{
      {make(0x81, "one"), true}, {make(0x01, "t\u{20AC}")}, {make(PING, "?")},
      {make(0x80, "\u{1F600}"), true}, {make(0x82, ("x"):rep(130)), true},
      {make(0xC1, support.packed("packed")), true},
    } do
      bytes = bytes .. part[1]
      if part[2] then complete[#complete + 1] = #bytes end
    end
    return bytes, complete
  end
  local texts = {"one", "t\u{20AC}\u{1F600}", ("x"):rep(130), "packed"}

  -- A peer that is gone before it has read our answers resets.
  local function check(at, complete, got, err, code)
    local n = 0
    while complete[n + 1] and complete[n + 1] <= at do n = n + 1 end
    assert.same({table.unpack(texts, 1, n)}, got)
    assert.is_true(err.code == "EOF" or err.code == "ECONNRESET", tostring(err))
    assert.same({1006, 1006}, {err.status, code})
  end

  it("as a server, at every byte", function()
    local server <close>, address, ended = listening()
    local bytes, complete = script(client_frame)
    for at = 0, #bytes do
      local stream <close> = support.connect(address, OFFER)
      stream:write(bytes:sub(1, at))
      stream:shutdown()
      local got, err, ws = table.unpack(ended:recv())
      check(at, complete, got, err, ws.code)
      stream:close()
    end
    server:close()
  end)

  it("as a client, at every byte", function()
    local bytes, complete = script(frame)
    local at = 0
    local server <close>, url = support.raw_server(function(stream)
      stream:write(bytes:sub(1, at))
    end, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
    for cut = 0, #bytes do
      at = cut
      local ws <close> = assert(http.websocket(url))
      local got, err = receive_all(ws)
      check(at, complete, got, err, ws.code)
    end
    server:close()
  end)

  it("by a reset, while it sends and receives", function()
    local server <close>, address, ended = listening()
    for _ = 1, 10 do
      local stream = support.connect(address)
      stream:write(client_frame(PING, "answer me"), client_frame(0x01, "half"))
      stream:close() -- with the answer unread
      local got, err, ws = table.unpack(ended:recv())
      assert.same({}, got)
      assert.equal(1006, ws.code)
      assert.is_true(err.code == "EOF" or err.code == "ECONNRESET" or err.code == "EPIPE")
    end
    is_fine(address, ended)
    server:close()
  end)
end)

describe("a WebSocket told things by chance", function()
  local function pieces(stream, bytes)
    local at = 1
    while at <= #bytes do
      local n = chance(4) == 1 and chance(20000) or chance(40)
      if not stream:write(bytes:sub(at, at + n - 1)) then return end
      at = at + n
      if chance(3) == 1 then corun.yield() end
    end
  end

  -- The frames of a message: fragments of any length, with pings between them.
  local function said(text, make)
    local packed = chance(3) == 1
    local payload, first, out = packed and support.packed(text) or text, 2, {}
    if chance(2) == 1 and utf8.len(text) then first = 1 end
    if packed then first = first | 0x40 end
    local at = 1
    repeat
      local n = chance(3) == 1 and 0 or chance(#payload + 1)
      local last = at + n > #payload and chance(2) == 1
      out[#out + 1] = make(first | (last and 0x80 or 0), payload:sub(at, at + n - 1))
      if chance(4) == 1 then out[#out + 1] = make(PING, ("p"):rep(chance(0, 125))) end
      first, at = 0, at + n
    until last
    return table.concat(out)
  end

  it("gives the messages that were sent, whatever the fragments and the pieces", function()
    local server <close>, address, ended = listening()
    for _ = 1, 40 do
      local texts, bytes = {}, {}
      for i = 1, chance(12) do
        texts[i] = chance(2) == 1 and ("\u{E4}\u{20AC}x"):rep(chance(0, 2000))
          or ("\xFF\x80z"):rep(chance(0, 30))
        bytes[i] = said(texts[i], client_frame)
      end
      bytes[#bytes + 1] = client_frame(CLOSE, goodbye(1000, "done"))
      local stream <close> = support.connect(address, OFFER)
      corun.scope(function(s)
        s:daemon(function() while stream:recv() do end end)
        pieces(stream, table.concat(bytes))
        local got, err, ws = table.unpack(ended:recv())
        assert.same(texts, got)
        assert.is_nil(err)
        assert.same({1000, "done"}, {ws.code, ws.reason})
      end)
      stream:close()
    end
    server:close()
  end)

  it("ends with a code when a few bits are others, and serves the next", function()
    local server <close>, address, ended = listening{max_message = 1 << 20}
    local codes = {}
    for _ = 1, 150 do
      local bytes = said(("some text, "):rep(chance(0, 50)), client_frame)
        .. said("another", client_frame) .. client_frame(CLOSE, goodbye(1000))
      for _ = 1, chance(3) do
        local at = chance(#bytes)
        bytes = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1 << chance(0, 7))
          .. bytes:sub(at + 1)
      end
      local stream <close> = support.connect(address, OFFER)
      corun.scope(function(s)
        s:daemon(function() while stream:recv() do end end)
        stream:write(bytes)
        stream:shutdown()
        local _, err, ws = table.unpack(ended:recv())
        codes[ws.code] = (codes[ws.code] or 0) + 1
        if err then assert.equal(ws.code, err.status) end
      end)
      stream:close()
    end
    for code in pairs(codes) do
      assert.is_true(code >= 1000 and code <= 1014 or code >= 3000 and code <= 4999, code)
    end
    assert.is_true((codes[1002] or 0) > 0)
    is_fine(address, ended)
    server:close()
  end)

  it("ends with a code, or waits for more, when all is chance", function()
    local server <close>, address, ended = listening()
    for _ = 1, 100 do
      local bytes = {}
      for i = 1, chance(200) do bytes[i] = string.char(chance(0, 255)) end
      local stream <close> = support.connect(address)
      stream:write(table.concat(bytes))
      stream:shutdown()
      local answer = stream:read("a", {timeout = 10})
      assert.is_true(#answer < 4096)
      ended:recv()
      stream:close()
    end
    is_fine(address, ended)
    server:close()
  end)
end)

describe("memory that the peers of a WebSocket want", function()
  local function resident()
    collectgarbage()
    collectgarbage()
    local kb = (fs.read("/proc/self/status") or ""):match("\nVmRSS:%s+(%d+)")
    return kb and tonumber(kb) * 1024
  end

  it("is not given on their word", function()
    local server <close>, _, address = support.serve(function(ws) ws:recv() end)
    local streams = {}
    local function announce(n)
      for _ = 1, n do
        local stream = support.connect(address, nil,
          client_frame(0x82, ("x"):rep(100), {length = 16 << 20, form = 127}))
        streams[#streams + 1] = stream
      end
    end
    announce(10)
    local before = resident()
    announce(200)
    if before then assert.is_true(resident() - before < 200 * 64 << 10) end
    for _, stream in ipairs(streams) do stream:close() end
    server:close()
  end)

  it("is not spent on answers that nobody reads", function()
    local server <close>, _, address = support.serve(function(ws) ws:recv() end, {ping = false})
    local stream <close> = assert(net.connect(address))
    stream:write(support.request())
    local before, sent = resident(), 0
    local pings = client_frame(PING, ("p"):rep(125)):rep(1000)
    while sent < 64 << 20 and stream:write(pings, {timeout = 10}) do sent = sent + #pings end
    assert.is_true(sent >= 64 << 20)
    if before then
      -- As many answers would be 64 MiB. A sanitizer keeps for a while what was freed.
      local grown = resident() - before
      assert.is_true(grown < 24 << 20, grown)
    end
    stream:close()
    server:close()
  end)
end)

-- A program in which finalisers receive from the WebSocket that is just giving a message. The
-- client sends messages, then the server: both receive so. Prints for each whether a finaliser has
-- got some, or there was none, and whether every message was given once.
local ROBBED = [[
  local corun, http = require "corun", require "corun.http"
  local o, size, most = {deflate = %s}, %d, %d

  local function receiver(ws)
    local given, thefts = {}, 0
    local function trap()
      setmetatable({}, {__gc = function()
        local ok, data = pcall(ws.recv, ws)
        if ok and data then
          given[#given + 1] = data
          thefts = thefts + 1
        end
        if ok or data.code ~= "ECLOSED" then trap() end
      end})
    end
    trap()
    return function()
      local data = ws:recv()
      if data then given[#given + 1] = data end
      return data
    end, given, function() return thefts end
  end

  local function message(i) return ("x"):rep(size - 8) .. ("%%08d"):format(i) end

  local function report(who, given, thefts, count)
    table.sort(given) -- the finaliser may have got a later one first
    local right = #given == count
    for i = 1, #given do right = right and given[i] == message(i) end
    print(who, thefts() > 0 or #given == most, right)
  end

  local sent, is_enough

  local function send_all(ws)
    sent, is_enough = 0, corun.event()
    while sent < most and not is_enough:is_set() do
      sent = sent + 1
      ws:send(message(sent), sent %% 2 == 0 and "text" or "binary")
      corun.yield()
    end
    ws:close()
  end

  local function receive_all(who, ws)
    local next_one, given, thefts = receiver(ws)
    while next_one() do
      if thefts() >= 3 then is_enough:set() end
    end
    report(who, given, thefts, sent)
  end

  local server_done = corun.event()
  local server = http.serve("127.0.0.1:0", function(req)
    receive_all("server", req:upgrade(o))
    server_done:set()
  end)
  send_all(http.websocket("ws://" .. server:address(), o))
  server_done:wait()
  server:close()

  server = http.serve("127.0.0.1:0", function(req) send_all(req:upgrade(o)) end)
  local ws = http.websocket("ws://" .. server:address(), o)
  receive_all("client", ws)
  ws:close()
  server:close()
]]

describe("a WebSocket from which a finaliser receives", function()
  local cases = {
    whole = {false, 1000},
    ["in pieces"] = {false, 70000},
    compressed = {true, 1000},
    ["compressed, in slices"] = {true, 200000},
    long = {false, 600000}, -- its bytes are not copied
    ["long, compressed"] = {true, 600000},
  }
  for name, case in pairs(cases) do
    it("within a recv gives each message once: " .. name, function()
      local r = program.code(ROBBED:format(case[1], case[2], case[2] < 300000 and 3000 or 100))
      assert.equal("", r.err)
      assert.equal("server\ttrue\ttrue\nclient\ttrue\ttrue\n", r.out)
    end)
  end

  local function prints(expected, code)
    local r = program.code([[
      local corun, http = require "corun", require "corun.http"
      local support = require "tests.spec.support.websocket"
      local frame = support.frame
    ]] .. code)
    assert.equal("", r.err)
    assert.equal(expected, r.out)
  end

  it("more than once gives no message twice, and no part of the next", function()
    prints("true\ttrue\n", [[
      local rounds, thefts, got = 200, 0, {}
      local server <close>, url = support.raw_server(function(s)
        for i = 1, rounds do
          local first, second = ("A%07d"):format(i):rep(2500), ("B%07d"):format(i):rep(2500)
          s:write(frame(0x02, first) .. frame(0x80) .. frame(0x02, second))
          s:read_exactly(7)
          s:write(frame(0x80, "end"))
          s:read_exactly(7)
        end
      end)
      local ws = assert(http.websocket(url, {deflate = false}))
      local is_on = true
      local function trap()
        setmetatable({}, {__gc = function()
          for _ = 1, 2 do -- the second one finds half a message, and fails
            local ok, data = pcall(ws.recv, ws)
            if not ok or not data then break end
            got[#got + 1] = data
            thefts = thefts + 1
          end
          if is_on then trap() end
        end})
      end
      trap()
      local right = true
      for i = 1, rounds do
        got = {}
        for count = 1, 2 do
          for _ = 1, 100 do -- a finaliser may have got it
            local data = #got < count and ws:recv{timeout = 0.01}
            if data then got[#got + 1] = data end
          end
          ws:send("x")
        end
        right = right and #got == 2 and got[1] == ("A%07d"):format(i):rep(2500) and
          got[2] == ("B%07d"):format(i):rep(2500) .. "end"
      end
      is_on = false
      print(thefts > 0, right)]])
  end)

  it("while another call fails takes it none of what it wants", function()
    prints("true\ttrue\n", [[
      local server <close>, url = support.raw_server(function(s) s:write(frame(0x83, "x")) end)
      local ws = assert(http.websocket(url, {deflate = false}))
      local runs, is_on = 0, true
      local function trap()
        setmetatable({}, {__gc = function()
          runs = runs + 1
          pcall(ws.recv, ws) -- gives an error
          if is_on then trap() end
        end})
      end
      trap()
      local all_raised = true
      for _ = 1, 20000 do all_raised = not pcall(ws) and all_raised end -- raises it
      is_on = false
      print(runs > 0, all_raised)]])
  end)

  it("and which is collected is closed: calls say so, broadcasts pass it over", function()
    prints("true\t1\t0\tfalse\ttrue\ttrue\nhello\n", [[
      local got = corun.channel(1)
      local server <close> = http.serve("127.0.0.1:0", function(req)
        for data in req:upgrade() do got:send(data) end
      end)
      local url = "ws://" .. server:address()
      local holder = setmetatable({}, {__gc = function(o)
        local ok, sent, left = pcall(http.broadcast, o, "hello")
        local received, err = pcall(o[1].recv, o[1])
        print(ok, sent, left, received, err.code == "ECLOSED", o[1]:close())
      end})
      local live <close> = assert(http.websocket(url))
      holder[1], holder[2] = assert(http.websocket(url)), live
      holder = nil
      collectgarbage()
      collectgarbage()
      print(got:recv())]])
  end)
end)

describe("a WebSocket", function()
  it("whose close was given up gives no part of a message", function()
    for _, deflate in ipairs{false, true} do
      local given_up = corun.event()
      local server, url = support.raw_server(function(s)
        s:write(frame(0x82, ("A"):rep(1000), {length = 2000, form = 126}))
        given_up:wait()
        s:write(("B"):rep(1000) .. frame(0x82, "next") .. frame(CLOSE, goodbye(1000)))
      end)
      local ws = assert(http.websocket(url, {deflate = deflate}))
      local _, err = corun.timeout(0.1, ws.close, ws)
      assert.equal("ETIMEDOUT", err.code)
      given_up:set()
      assert.equal("next", (ws:recv{timeout = 10}))
      assert.is_nil((ws:recv{timeout = 10}))
      server:close()
    end
  end)

  it("keeps a long message for which there is no memory", function()
    local server <close> = http.serve("127.0.0.1:0", function(req)
      local ws = req:upgrade()
      for _, n in ipairs{1000000, 100} do ws:send(("x"):rep(n), "binary") end
      ws:recv()
    end)
    local workers <close> = corun.pool.new{size = 1, memory = 8 << 20}
    local failed, sizes = workers:run(function(url)
      local ws <close> = assert(require("corun.http").websocket(url, {deflate = false}))
      local ballast = {}
      while (8 << 20) - collectgarbage("count") * 1024 > 150000 do
        ballast[#ballast + 1] = ("b"):rep(20000 + #ballast)
        collectgarbage()
      end
      local ok, why = pcall(ws.recv, ws)
      for i = #ballast, 1, -1 do ballast[i] = nil end
      collectgarbage()
      local function size() return #(ws:recv{timeout = 10} or "") end
      return not ok and why, {size(), size()}
    end, "ws://" .. server:address())
    assert.equal("not enough memory", failed)
    assert.same({1000000, 100}, sizes)
  end)
end)
