-- SPDX-License-Identifier: MIT
-- WebSocket: what is compressed, and what many are sent. The rest is in websocket_spec.lua.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.websocket")

local client_frame, read_frame = support.client_frame, support.read_frame
local goodbye, echo = support.goodbye, support.echo

local TEXT, MORE, CLOSE, PING, PONG = 0x81, 0x80, 0x88, 0x89, 0x8A

describe("permessage-deflate", function()
  local OFFER = "permessage-deflate; client_max_window_bits"

  local function answer(offer, o)
    local server <close>, _, address = support.serve(echo, o)
    local stream <close>, head = support.connect(address, {["sec-websocket-extensions"] = offer})
    stream:close()
    server:close()
    return head:match("\r\nsec%-websocket%-extensions: (.-)\r\n")
  end

  it("is agreed on as the RFC says", function()
    local none = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    assert.equal(none, answer(OFFER))
    assert.equal(none, answer("x-other, permessage-deflate"))
    assert.equal("permessage-deflate", answer(OFFER, {deflate = {takeover = true}}))
    assert.equal("permessage-deflate; server_no_context_takeover",
      answer("permessage-deflate; server_no_context_takeover", {deflate = {takeover = true}}))
    assert.equal(none .. "; server_max_window_bits=10",
      answer("permessage-deflate; server_max_window_bits=10"))
    assert.equal(none .. "; server_max_window_bits=9", answer(OFFER, {deflate = {window = 9}}))
    assert.equal(none, answer("permessage-deflate; server_max_window_bits=8, permessage-deflate"))
    for _, bad in ipairs{"permessage-deflate; x=1", "permessage-deflate; server_max_window_bits",
      "permessage-deflate; server_max_window_bits=16", "x-webkit-deflate-frame",
      "permessage-deflate; client_no_context_takeover=1",
      "permessage-deflate; client_max_window_bits=7",
      "permessage-deflate; server_no_context_takeover; server_no_context_takeover"} do
      assert.is_nil(answer(bad), bad)
    end
    assert.is_nil(answer(OFFER, {deflate = false}))
  end)

  it("compresses what is long enough, and takes what is compressed, also in fragments", function()
    local server <close>, _, address = support.serve(echo, {deflate = {threshold = 5}})
    local stream <close> = support.connect(address, {["sec-websocket-extensions"] = OFFER})
    stream:write(client_frame(TEXT, "abcd") .. client_frame(0xC1, "\xF2\x48\xCD\xC9\xC9\x07\x00"))
    assert.same({TEXT, "abcd", false}, {read_frame(stream)})
    assert.same({TEXT, "Hello", false}, {read_frame(stream)}) -- it would not get shorter
    local text = ("Hello, World! "):rep(40)
    local bytes = support.packed(text)
    stream:write(client_frame(0x41, bytes:sub(1, 3)) .. client_frame(0x00, bytes:sub(4, 9)) ..
      client_frame(PING, "") .. client_frame(MORE, bytes:sub(10)))
    assert.same({PONG, "", false}, {read_frame(stream)})
    local first, payload = read_frame(stream)
    assert.equal(0xC1, first)
    assert.is_true(#payload < 60)
    stream:write(client_frame(0xC2, payload))
    assert.equal(payload, select(2, read_frame(stream))) -- what it sends is what it takes
    stream:write(client_frame(0xC1, ""))
    assert.same({TEXT, "", false}, {read_frame(stream)})
    stream:close()
    server:close()
  end)

  it("bounds what bombs become: 1009, and refuses what is damaged: 1007", function()
    local function judge(bytes, o)
      local server <close>, _, address = support.serve(function(ws) ws:recv() end, o)
      local stream <close> = support.connect(address, {["sec-websocket-extensions"] = OFFER})
      stream:write(bytes)
      local _, payload = read_frame(stream)
      stream:close()
      server:close()
      return (">I2"):unpack(payload), payload:sub(3)
    end
    local bomb = support.packed(("\0"):rep(20 << 20))
    assert.is_true(#bomb < 32 << 10)
    assert.equal(1009, (judge(client_frame(0xC2, bomb))))
    assert.equal(1009, (judge(client_frame(0xC2, support.packed(("a"):rep(101))),
      {max_message = 100})))
    assert.equal(1007, (judge(client_frame(0xC2, "\xFF\xFF\xFF"))))
    assert.equal(1007, (judge(client_frame(0xC1, support.packed("\xFF")))))
    assert.equal(1002, (judge(client_frame(0x41, "") .. client_frame(0xC0, ""))))
    assert.equal(1002, (judge(client_frame(0xC9, ""))))
  end)

  it("carries messages of all sizes both ways, with and without takeover and small windows",
    function()
      local options = {{}, {takeover = true}, {window = 9}, {takeover = true, window = 10},
        {threshold = 1}}
      for i, own in ipairs(options) do
        local server <close>, url = support.serve(echo, {deflate = own})
        for k, of_client in ipairs(options) do
          if i == 1 or k == 1 or i == k then
            local ws <close> = assert(http.websocket(url, {deflate = of_client}))
            local words = {}
            for n = 1, 20000 do words[n] = ("%d:%d,"):format(n, n * n % 97) end
            local text = table.concat(words)
            for _, n in ipairs{1, 1000, 1500, 30000, 65536, 65537, #text, 5000, 1025} do
              assert.is_true(ws:send(text:sub(1, n)))
              assert.equal(text:sub(1, n), (assert(ws:recv())))
            end
            ws:close()
          end
        end
        server:close()
      end
    end)

  it("lets others run while much is compressed and inflated", function()
    local server <close>, url = support.serve(echo, {max_message = 64 << 20})
    local ws <close> = assert(http.websocket(url, {max_message = 64 << 20}))
    local text, ticks = ("some words, again "):rep(1 << 20), 0
    corun.scope(function(s)
      s:daemon(function()
        while true do
          corun.sleep(0.001)
          ticks = ticks + 1
        end
      end)
      assert.is_true(ws:send(text))
      assert.is_true(text == ws:recv())
    end)
    assert.is_true(ticks >= 5)
    ws:close()
    server:close()
  end)

  it("lets others run while blocks that hold nothing are inflated", function()
    local server <close>, _, address = support.serve(echo)
    local stream <close> = support.connect(address, {["sec-websocket-extensions"] = OFFER})
    local blocks = ("\3\0"):rep(1 << 20) -- with a mask that changes nothing
    stream:write("\x42\xFF", (">I8"):pack(#blocks), "\0\0\0\0", blocks, client_frame(PING, ""))
    assert.same({PONG, "", false}, {read_frame(stream)}) -- all but the end has come
    local turns = 0
    local ticker = corun.daemon(function()
      while true do
        corun.sleep(0)
        turns = turns + 1
      end
    end)
    stream:write(client_frame(MORE, ""))
    assert.same({0x82, "", false}, {read_frame(stream)})
    ticker:cancel()
    assert.is_true(turns >= 20, turns .. " turns of the loop for 2 MiB")
    stream:close()
    server:close()
  end)

  it("a send or a recv cancelled in between loses nothing and breaks nothing", function()
    local server <close>, url = support.serve(echo, {deflate = {takeover = true}})
    local ws <close> = assert(http.websocket(url, {deflate = {takeover = true}}))
    local text = ("some words, again "):rep(40000)
    corun.timeout(0.0005, ws.send, ws, text)
    assert.is_true(ws:send("mark"))
    local data = ws:recv()
    if data ~= "mark" then
      assert.is_true(data == text)
      assert.equal("mark", (ws:recv()))
    end
    assert.is_true(ws:send(text))
    local got
    repeat
      corun.timeout(0.0005, function() got = ws:recv() end)
    until got
    assert.is_true(got == text)
    ws:close()
    server:close()
  end)
end)

describe("http.broadcast", function()
  it("reaches all that are open, of a list or a set, in both directions", function()
    local set, got = {}, {}
    local server <close>, url = support.serve(function(ws)
      set[ws] = true
      for data, kind in ws do got[#got + 1] = data .. kind end
      set[ws] = nil
    end)
    local clients = {}
    for i = 1, 5 do
      clients[i] = assert(http.websocket(url, {deflate = i % 2 == 0}))
    end
    support.eventually("five", function()
      local n = 0
      for _ in pairs(set) do n = n + 1 end
      return n == 5
    end)
    for _, text in ipairs{"hello", ("long "):rep(1000), ("x"):rep(100000)} do
      assert.same({5, 0}, {http.broadcast(set, text)})
      for _, ws in ipairs(clients) do assert.same({text, "text"}, {ws:recv()}) end
    end
    assert.same({5, 0}, {http.broadcast(clients, "up", "binary")})
    support.eventually("five messages", function() return #got == 5 end)
    assert.same({"upbinary", "upbinary", "upbinary", "upbinary", "upbinary"}, got)
    clients[1]:close()
    assert.same({4, 0}, {http.broadcast(clients, "less")})
    assert.same({0, 0}, {http.broadcast({}, "x")})
    for _, ws in ipairs(clients) do ws:close() end
    server:close()
  end)

  it("passes over those that are too slow, or closes them", function()
    local set = {}
    local server <close>, _, address = support.serve(function(ws)
      set[ws] = true
      ws:recv()
    end, {ping = false})
    local quick, slow = support.connect(address), support.connect(address)
    support.eventually("two", function() return next(set) and next(set, next(set)) end)
    local piece, passed, rounds = ("x"):rep(256 << 10), 0, 0
    while passed == 0 do
      local sent, skipped = http.broadcast(set, piece, "text", {queue = 512 << 10})
      assert.equal(2, sent + skipped)
      passed, rounds = skipped, rounds + 1
      assert.equal(#piece, #select(2, read_frame(quick)))
      assert.is_true(rounds < 1000)
    end
    local sent, closed = 2, 0
    while closed == 0 do -- its system may have taken some more meanwhile
      sent, closed = http.broadcast(set, piece, nil, {slow = "close", queue = 512 << 10})
      assert.equal(#piece, #select(2, read_frame(quick)))
    end
    assert.same({1, 1}, {sent, closed})
    assert.same({1, 0}, {http.broadcast(set, "x", "text", {slow = "close", queue = 512 << 10})})
    local first, payload
    repeat first, payload = read_frame(slow) until first ~= TEXT
    assert.same({CLOSE, goodbye(1013)}, {first, payload})
    quick:close()
    slow:close()
    server:close()
  end)

  it("refuses what is no WebSocket", function()
    assert.matches("needs a table of WebSockets, got one with 1", select(2, pcall(http.broadcast,
      {1}, "x")))
    assert.matches("needs a table of WebSockets, got nil", select(2, pcall(http.broadcast)))
    assert.matches('option "slow" for broadcast must be', select(2, pcall(http.broadcast, {}, "x",
      "text", {slow = "no"})))
    assert.matches("not UTF%-8", select(2, pcall(http.broadcast, {}, "\xFF")))
  end)
end)
