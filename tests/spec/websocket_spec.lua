-- SPDX-License-Identifier: MIT
-- WebSocket of both sides: handshakes, frames byte by byte, what breaks the rules, closing, signs
-- of life. Compression and broadcasts are in websocket_many_spec.lua, real peers in
-- websocket_peers_spec.lua.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.websocket")
local raw = require("tests.spec.support.http")
local proxies = require("tests.spec.support.proxies")
local certificates = require("tests.spec.support.tls")

local frame, client_frame, read_frame = support.frame, support.client_frame, support.read_frame
local goodbye, echo = support.goodbye, support.echo

local TEXT, BINARY, MORE, CLOSE, PING, PONG = 0x81, 0x82, 0x80, 0x88, 0x89, 0x8A

-- A bare connection to a server that echoes, and the server.
local function talk_to_echo(o, headers)
  local ended = {}
  local server, _, address = support.serve(function(ws)
    ended.ws = ws
    while true do
      local data, kind = ws:recv()
      if data == nil then
        ended.err, ended.done = kind, true
        return
      end
      ws:send(data, kind)
    end
  end, o)
  local stream, head = support.connect(address, headers)
  return stream, ended, server, head
end

-- What a server answers these frames with at the end: close code, reason; and the error of recv.
local function verdict(bytes, o)
  local stream, ended, server <close> = talk_to_echo(o)
  stream:write(bytes)
  local first, payload = read_frame(stream)
  while first and first ~= CLOSE do first, payload = read_frame(stream) end
  assert.equal(CLOSE, first)
  assert.is_nil(read_frame(stream))
  stream:close()
  support.eventually("the handler ends", function() return ended.done end)
  server:close()
  local code, why = (">I2"):unpack(payload)
  return code, payload:sub(why), ended.err, ended.ws
end

describe("req:upgrade", function()
  it("answers the handshake of the RFC", function()
    local stream, _, server <close>, head = talk_to_echo()
    assert.matches("^HTTP/1.1 101 Switching Protocols\r\n", head)
    assert.matches("\r\nupgrade: websocket\r\n", head)
    assert.matches("\r\nconnection: upgrade\r\n", head)
    assert.matches("\r\nsec%-websocket%-accept: " .. support.ACCEPT:gsub("%p", "%%%0") .. "\r\n",
      head)
    assert.not_matches("sec%-websocket%-protocol", head)
    assert.not_matches("sec%-websocket%-extensions", head)
    stream:write(client_frame(TEXT, "Hello"))
    assert.equal("\x81\x05Hello", stream:read_exactly(7))
    stream:close()
    server:close()
  end)

  it("takes the frames that come with the request, in any pieces", function()
    local server <close>, _, address = support.serve(echo)
    local bytes = support.request() .. client_frame(TEXT, "one") .. client_frame(BINARY, "two")
    local stream <close> = support.connect(address, {}, client_frame(TEXT, "at once"))
    assert.same({TEXT, "at once", false}, {read_frame(stream)})
    local slow <close> = assert(require("corun.net").connect(address))
    for i = 1, #bytes do slow:write(bytes:sub(i, i)) end
    assert.matches(" 101 ", slow:read_until("\r\n\r\n"))
    assert.same({TEXT, "one", false}, {read_frame(slow)})
    assert.same({BINARY, "two", false}, {read_frame(slow)})
    stream:close()
    slow:close()
    server:close()
  end)

  it("refuses requests that are none with 400 or 426, and the connection serves on", function()
    local server <close>, _, address = support.serve(echo)
    local function status(headers, line)
      return tonumber(raw.talk(address, support.request(headers, line) ..
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"):match("^HTTP/1.1 (%d+)"))
    end
    for _, case in ipairs{
      {426, {upgrade = false}}, {426, {upgrade = "h2c"}}, {426, {connection = "close"}},
      {426, {connection = false}}, {426, {["sec-websocket-version"] = false}},
      {426, {["sec-websocket-version"] = "8"}}, {426, {["sec-websocket-version"] = "13, 8"}},
      {400, {["sec-websocket-key"] = false}}, {400, {["sec-websocket-key"] = "abc"}},
      {400, {["sec-websocket-key"] = ("A"):rep(24)}},
      {400, {["sec-websocket-key"] = support.KEY .. "=="}},
      {400, {}, "POST /chat HTTP/1.1"}, {400, {}, "GET /chat HTTP/1.0"},
      {400, {["content-length"] = "0"}, "PUT /chat HTTP/1.1"},
    } do
      assert.equal(case[1], status(case[2], case[3]), case[3] or next(case[2]))
    end
    local answer = raw.talk(address, support.request{["sec-websocket-version"] = "7",
      connection = "upgrade, close"})
    assert.matches("\r\nsec%-websocket%-version: 13\r\n", answer)
    server:close()
  end)

  it("refuses a request with a body", function()
    local server <close>, _, address = support.serve(echo)
    local answer = raw.talk(address, support.request{["content-length"] = "3",
      connection = "upgrade, close"} .. "abc")
    assert.matches("^HTTP/1.1 400 ", answer)
    server:close()
  end)

  it("lets pages of the same host in, or of those that are named", function()
    local function answer(origin, o)
      local server <close>, _, address = support.serve(echo, o)
      local stream <close>, head = support.connect(address, {origin = origin})
      stream:close()
      server:close()
      return tonumber(head:match(" (%d+) "))
    end
    assert.equal(101, answer("http://h"))
    assert.equal(101, answer("https://H"))
    assert.equal(101, answer(false))
    assert.equal(403, answer("http://evil"))
    assert.equal(403, answer("null"))
    assert.equal(403, answer("http://h:81"))
    assert.equal(101, answer("http://evil", {origin = "*"}))
    assert.equal(101, answer("http://a", {origin = "http://a"}))
    assert.equal(403, answer("http://h", {origin = {"http://a", "http://b"}}))
    assert.equal(101, answer("http://B", {origin = {"http://a", "http://b"}}))
    assert.equal(101, answer("x", {origin = function(origin) return origin == "x" end}))
    assert.equal(403, answer("y", {origin = function(origin) return origin == "x" end}))
  end)

  it("chooses the first of its subprotocols that is offered", function()
    local got = {}
    local server <close>, url = support.serve(function(ws) got[#got + 1] = ws.protocol or false end,
      {protocols = {"b", "a"}, headers = {["X-Made"] = "yes"}})
    for _, offered in ipairs{{"a", "b"}, {"a"}, {"c"}} do
      local ws <close> = assert(http.websocket(url, {protocols = offered}))
      assert.is_nil(ws:recv())
    end
    support.eventually("three handlers", function() return #got == 3 end)
    assert.same({"b", "a", false}, got)
    server:close()
  end)

  it("can be asked once, by a handler that checks its options", function()
    local errors = {}
    local server <close>, _, address = support.serve(function(_, req)
      errors[#errors + 1] = tostring(select(2, pcall(req.upgrade, req)))
      errors[#errors + 1] = tostring(select(2, pcall(req.upgrade, req, {protocol = {}})))
      errors[#errors + 1] = tostring(select(2, pcall(req.upgrade, req, {protocols = {"a b"}})))
      errors[#errors + 1] = tostring(select(2, pcall(req.upgrade, req,
        {headers = {["Sec-WebSocket-Accept"] = "x"}})))
      errors[#errors + 1] = tostring(select(2, pcall(req.upgrade, req, {origin = {5}})))
    end)
    local stream <close> = support.connect(address)
    assert.same({CLOSE, goodbye(1000), false}, {read_frame(stream)})
    assert.matches('header "Sec%-WebSocket%-Accept" is set by corun itself', errors[4])
    assert.matches('option "origin" for upgrade must be a list of strings, got 5', errors[5])
    assert.matches("the request was upgraded before %(ECLOSED%)", errors[1])
    assert.matches('unknown option "protocol" for upgrade', errors[2])
    assert.matches('option "protocols" for upgrade must be a list of names, got "a b"', errors[3])
    stream:close()
    server:close()
  end)
end)

describe("a WebSocket receives", function()
  it("messages of all lengths, whole, and tells their kind", function()
    local stream, _, server <close> = talk_to_echo()
    for _, n in ipairs{0, 1, 125, 126, 127, 128, 65535, 65536, 200000} do
      local data = ("\u{E4}x"):rep(n // 3) .. ("y"):rep(n % 3)
      stream:write(client_frame(n % 2 == 0 and TEXT or BINARY, data))
      local first, payload, masked = read_frame(stream)
      assert.equal(n % 2 == 0 and TEXT or BINARY, first)
      assert.equal(data, payload)
      assert.is_false(masked)
    end
    stream:close()
    server:close()
  end)

  it("messages in fragments, with control frames between them", function()
    local stream, _, server <close> = talk_to_echo()
    stream:write(client_frame(0x01, "a\xC3") .. client_frame(PING, "p") ..
      client_frame(0x00, "") .. client_frame(0x00, "\xA4b") .. client_frame(MORE, "c"))
    assert.same({PONG, "p", false}, {read_frame(stream)})
    assert.same({TEXT, "a\u{E4}bc", false}, {read_frame(stream)})
    stream:write(client_frame(0x02, "") .. client_frame(MORE, ""))
    assert.same({BINARY, "", false}, {read_frame(stream)})
    stream:write(client_frame(PONG, "unasked") .. client_frame(TEXT, "on"))
    assert.same({TEXT, "on", false}, {read_frame(stream)})
    stream:close()
    server:close()
  end)

  it("byte by byte what it receives at once", function()
    local bytes = client_frame(0x01, "a\u{20AC}") .. client_frame(PING, ("p"):rep(125)) ..
      client_frame(MORE, "\u{1F600}") .. client_frame(BINARY, ("z"):rep(130)) ..
      client_frame(CLOSE, goodbye(1000, "bye"))
    for _, size in ipairs{1, 2, 3, 7, #bytes} do
      local stream, ended, server <close> = talk_to_echo()
      for i = 1, #bytes, size do stream:write(bytes:sub(i, i + size - 1)) end
      assert.same({PONG, ("p"):rep(125), false}, {read_frame(stream)})
      assert.same({TEXT, "a\u{20AC}\u{1F600}", false}, {read_frame(stream)})
      assert.same({BINARY, ("z"):rep(130), false}, {read_frame(stream)})
      assert.same({CLOSE, goodbye(1000), false}, {read_frame(stream)})
      support.eventually("the handler ends", function() return ended.done end)
      assert.same({1000, "bye"}, {ended.ws.code, ended.ws.reason})
      stream:close()
      server:close()
    end
  end)

  it("nothing that breaks the rules: 1002", function()
    for why, bytes in pairs{
      ["a reserved bit is set"] = client_frame(0xC1, "x"),
      ["the opcode is reserved"] = client_frame(0x83, "x"),
      ["the frame is not masked"] = frame(TEXT, "x"),
      ["a control frame is fragmented"] = client_frame(0x09, "x"),
      ["a control frame is too long"] = client_frame(PING, ("x"):rep(126)),
      ["a message begins inside of another"] = client_frame(0x01, "x") .. client_frame(TEXT, "y"),
      ["nothing has begun that the frame continues"] = client_frame(MORE, "x"),
      ["the length of a frame is not written as it must be"] =
        client_frame(TEXT, "x", {form = 126}),
      ["a close frame has no valid code"] = client_frame(CLOSE, "x"),
    } do
      local code, said, err, ws = verdict(bytes)
      assert.same({1002, why}, {code, said})
      assert.equal("EPROTO", err.code)
      assert.equal(1002, err.status)
      assert.equal(why, err.message)
      assert.equal(1002, ws.code)
    end
    for _, bytes in ipairs{
      client_frame(0xA1, "x"), client_frame(0x91, "x"), client_frame(0xC9, "x"),
      client_frame(0x8B, "x"), client_frame(0x8F, ""), client_frame(0x87, ""),
      client_frame(0x08, goodbye(1000)), client_frame(0x0A, ""),
      client_frame(TEXT, ("x"):rep(125), {form = 126}),
      client_frame(TEXT, ("x"):rep(65535), {form = 127}),
      "\x81\xFF" .. ("\xFF"):rep(12), "\x81\xFF\x80" .. ("\0"):rep(11),
      client_frame(0x02, "x") .. client_frame(BINARY, "y"),
      client_frame(TEXT, "x") .. client_frame(MORE, "y"),
    } do
      assert.equal(1002, (verdict(bytes)))
    end
    for _, code in ipairs{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} do
      assert.equal(1002, (verdict(client_frame(CLOSE, goodbye(code)))))
    end
    for _, code in ipairs{1000, 1001, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999} do
      assert.equal(code, (verdict(client_frame(CLOSE, goodbye(code)))))
    end
  end)

  it("two bytes are enough to see that", function()
    for _, bytes in ipairs{"\x83\x80", "\xF1\x80", "\x81\x01", "\x89\xFE", "\x09\x80"} do
      assert.equal(1002, (verdict(bytes)))
    end
  end)

  it("no text that is not UTF-8: 1007, as soon as that is seen", function()
    for _, text in ipairs{"\xFF", "a\x80", "\xC0\xAF", "\xC1\x81", "\xE0\x80\xAF", "\xED\xA0\x80",
      "\xF0\x80\x80\xAF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xF0\x9F\x98",
      ("x"):rep(70) .. "\xC3", ("x"):rep(64) .. "\xC3("} do
      local code, why, err = verdict(client_frame(TEXT, text))
      assert.same({1007, "a text is not UTF-8", "EPROTO"}, {code, why, err.code})
    end
    assert.equal(1007, (verdict(client_frame(CLOSE, goodbye(1000, "\xFF")))))
    -- the rest of the frame, of the message, never comes
    assert.equal(1007, (verdict(client_frame(TEXT, "ab\xFF", {length = 1000}))))
    assert.equal(1007, (verdict(client_frame(0x01, "a\xC3") .. client_frame(0x00, "x"))))
    assert.equal(1007, (verdict(client_frame(0x01, "a\xC3") .. client_frame(MORE, ""))))
    local stream, _, server <close> = talk_to_echo()
    stream:write(client_frame(BINARY, "\xFF"))
    assert.same({BINARY, "\xFF", false}, {read_frame(stream)})
    stream:close()
    server:close()
  end)

  it("no message that is too long: 1009, with nothing set aside for it", function()
    collectgarbage()
    local before = collectgarbage("count")
    for _, n in ipairs{(16 << 20) + 1, 1 << 32, math.maxinteger} do
      local code, why, err = verdict(client_frame(BINARY, "x", {length = n, form = 127}))
      assert.same({1009, "a message is too long", "EMSGSIZE"}, {code, why, err.code})
    end
    assert.is_true(collectgarbage("count") - before < 1024)
    assert.equal(1009, (verdict(client_frame(TEXT, ("x"):rep(11)), {max_message = 10})))
    assert.equal(1009, (verdict(client_frame(0x01, "123456") .. client_frame(0x00, "7890") ..
      client_frame(0x00, "1"), {max_message = 10})))
    local stream, _, server <close> = talk_to_echo{max_message = 10}
    stream:write(client_frame(0x01, "12345") .. client_frame(MORE, "67890"))
    assert.same({TEXT, "1234567890", false}, {read_frame(stream)})
    stream:close()
    server:close()
  end)

  it("by one task at a time; a second one is misuse", function()
    local server <close>, url = support.serve(echo)
    local ws <close> = assert(http.websocket(url))
    corun.scope(function(s)
      local first = raw.blocked(s, ws.recv, ws)
      local ok, err = pcall(ws.recv, ws)
      assert.is_false(ok)
      assert.equal("EBUSY", err.code)
      assert.is_true(ws:send("for the first"))
      assert.same({"for the first", "text"}, {first:await()})
    end)
    ws:close()
    server:close()
  end)

  it("nothing is lost to a time limit or a cancellation", function()
    local go = corun.event()
    local server <close>, url = support.raw_server(function(stream)
      local bytes = frame(0x01, ("a"):rep(300)) .. frame(0x00, "") .. frame(MORE, ("b"):rep(70000))
      for i = 1, #bytes, 1500 do
        stream:write(bytes:sub(i, i + 1499))
        corun.sleep(0.0005)
      end
      go:wait()
      stream:write(frame(BINARY, "next"))
      read_frame(stream)
    end)
    local ws <close> = assert(http.websocket(url))
    local data, kind
    for i = 1, 10000 do
      if i % 2 == 0 then
        data, kind = ws:recv{timeout = 0.001}
      else
        data = corun.timeout(0.001, function() data, kind = ws:recv() return data end)
      end
      if data then break end
    end
    assert.equal(("a"):rep(300) .. ("b"):rep(70000), data)
    assert.equal("text", kind)
    go:set()
    assert.same({"next", "binary"}, {ws:recv()})
    ws:close()
    server:close()
  end)

  it("answers pings and goodbyes while it sends alone", function()
    local pongs, ended = 0, false
    local server <close>, _, address = support.serve(function(ws)
      while ws:send("tick") do corun.sleep(0.001) end
      ended = true
    end)
    local stream <close> = support.connect(address)
    stream:write(client_frame(PING, "1") .. client_frame(PING, "2"))
    while pongs < 2 do
      local first = read_frame(stream)
      if first == PONG then pongs = pongs + 1 end
    end
    stream:write(client_frame(CLOSE, goodbye(1001)))
    repeat local first = read_frame(stream) until first == CLOSE
    support.eventually("send tells", function() return ended end)
    stream:close()
    server:close()
  end)
end)

describe("a WebSocket sends", function()
  it("masked as a client, each frame with another mask", function()
    local masks = {}
    local server <close>, url = support.raw_server(function(stream)
      for _ = 1, 100 do
        local head = stream:read_exactly(6)
        assert.equal("\x81\x85", head:sub(1, 2))
        masks[head:sub(3)] = true
        assert.equal("hello", support.masked(stream:read_exactly(5), head:sub(3)))
      end
      stream:write(frame(CLOSE, goodbye(1000)))
      read_frame(stream)
    end)
    local ws <close> = assert(http.websocket(url))
    for _ = 1, 100 do assert.is_true(ws:send("hello")) end
    assert.is_nil(ws:recv())
    local n = 0
    for _ in pairs(masks) do n = n + 1 end
    assert.is_true(n > 90)
    server:close()
  end)

  it("text by default, which must be UTF-8, or binary", function()
    local server <close>, url = support.serve(echo)
    local ws <close> = assert(http.websocket(url))
    assert.is_true(ws:send("\u{E4}"))
    assert.same({"\u{E4}", "text"}, {ws:recv()})
    assert.is_true(ws:send("\xFF", "binary"))
    assert.same({"\xFF", "binary"}, {ws:recv()})
    local ok, err = pcall(ws.send, ws, "\xFF")
    assert.is_false(ok)
    assert.matches('the message is not UTF%-8: send it as "binary"', err)
    assert.matches("expected, got", select(2, pcall(ws.send, ws, {})))
    assert.matches("invalid option 'json'", select(2, pcall(ws.send, ws, "x", "json")))
    ws:close()
    server:close()
  end)

  it("no faster than the peer reads", function()
    local sent, piece = 0, ("x"):rep(100 << 10)
    local read = corun.event()
    local server <close>, url = support.raw_server(function(stream)
      read:wait()
      for _ = 1, 200 do assert(stream:read_exactly(14 + #piece)) end
      stream:write(frame(CLOSE, goodbye(1000)))
      stream:read("a")
    end)
    local ws <close> = assert(http.websocket(url, {ping = false}))
    corun.scope(function(s)
      s:spawn(function()
        for _ = 1, 200 do
          assert(ws:send(piece))
          sent = sent + 1
        end
      end)
      local before
      repeat
        before = sent
        corun.sleep(0.05)
      until sent == before
      assert.is_true(sent < 150)
      read:set()
    end)
    assert.equal(200, sent)
    assert.is_nil(ws:recv())
    server:close()
  end)

  it("and receives at once, by two tasks", function()
    local server <close>, url = support.serve(echo)
    local ws <close> = assert(http.websocket(url, {deflate = false}))
    local n = 2000
    corun.scope(function(s)
      s:spawn(function()
        for i = 1, n do assert(ws:send(("%d "):format(i):rep(i % 50 + 1))) end
      end)
      for i = 1, n do assert.equal(("%d "):format(i):rep(i % 50 + 1), (assert(ws:recv()))) end
    end)
    ws:close()
    server:close()
  end)

  it("and a cancelled send is whole or not at all", function()
    local server <close>, url = support.serve(echo)
    local ws <close> = assert(http.websocket(url))
    local piece, count, sent, cut = ("y"):rep(300 << 10), 0, 0, 0
    corun.scope(function(s)
      s:spawn(function()
        local seconds = 0.001
        while sent + cut < 30 or sent == 0 or cut == 0 do
          if corun.timeout(seconds, function() return ws:send(piece) end) then
            sent, seconds = sent + 1, seconds / 2
          else
            cut, seconds = cut + 1, seconds * 1.5
          end
        end
        ws:send("end")
      end)
      for data in ws do
        if data == "end" then break end
        assert.equal(#piece, #data)
        count = count + 1
      end
    end)
    assert.is_true(count >= sent and count <= sent + cut)
    ws:close()
    server:close()
  end)
end)

describe("a WebSocket ends", function()
  it("with the code and the reason of who closes it", function()
    local got = {}
    local server <close>, url = support.serve(function(ws)
      got.data, got.err = ws:recv()
      got.ws = ws
    end)
    local ws = assert(http.websocket(url))
    assert.is_true(ws:close(4001, "enough"))
    support.eventually("the server sees it", function() return got.ws end)
    assert.is_nil(got.data)
    assert.equal("ECLOSED", got.err.code)
    assert.equal(4001, got.err.status)
    assert.equal("enough", got.err.reason)
    assert.same({4001, "enough"}, {got.ws.code, got.ws.reason})
    assert.equal(4001, ws.code)
    assert.is_nil(ws:recv())
    assert.equal("ECLOSED", select(2, pcall(ws.send, ws, "x")).code)
    assert.is_true(ws:close())
    assert.matches("^websocket %(127%.0%.0%.1:%d+, closed%)$", tostring(ws))
    server:close()
  end)

  it("normally with 1000, 1001 and no code", function()
    for _, payload in ipairs{goodbye(1000), goodbye(1001), ""} do
      local server <close>, url = support.raw_server(function(stream)
        stream:write(frame(CLOSE, payload))
        assert.same({CLOSE, payload, true}, {read_frame(stream)})
        assert.is_nil(read_frame(stream))
      end)
      local ws <close> = assert(http.websocket(url))
      assert.same({}, {ws:recv()})
      assert.equal(payload == "" and 1005 or (">I2"):unpack(payload), ws.code)
      local ok, err = ws:send("x")
      assert.is_nil(ok)
      assert.equal("ECLOSED", err.code)
      server:close()
    end
  end)

  it("with an error when the connection does so without a goodbye", function()
    local server <close>, url = support.raw_server(function(stream)
      stream:write(frame(0x01, "half"))
    end)
    local ws <close> = assert(http.websocket(url))
    local data, err = ws:recv()
    assert.is_nil(data)
    assert.equal("EOF", err.code)
    assert.equal(1006, err.status)
    assert.equal(1006, ws.code)
    local again, same = ws:recv()
    assert.is_nil(again)
    assert.equal("EOF", same.code)
    assert.has_error(function() for _ in ws do assert(false) end end)
    assert.equal("EOF", select(2, ws:send("x")).code)
    server:close()
  end)

  it("within a bound when the peer does not answer, and drops what comes meanwhile", function()
    local server <close>, url = support.raw_server(function(stream)
      corun.scope(function(s)
        s:daemon(function() while stream:write(frame(TEXT, ("x"):rep(1000))) do end end)
        corun.sleep(20)
      end)
    end)
    local ws = assert(http.websocket(url))
    local start = corun.now()
    assert.is_true(ws:close())
    assert.is_true(corun.now() - start < 8)
    assert.equal(1006, ws.code)
    assert.is_nil(ws:recv())
    server:close()
  end)

  it("at once for a task that receives while another closes", function()
    local server <close>, url = support.serve(echo)
    local ws = assert(http.websocket(url))
    corun.scope(function(s)
      local receiver = raw.blocked(s, ws.recv, ws)
      assert.is_true(ws:close())
      assert.equal(1, select("#", receiver:await()))
      assert.is_nil((receiver:await()))
    end)
    server:close()
  end)

  it("may be cancelled while it waits for the peer's goodbye", function()
    local server <close>, url = support.raw_server(function(stream)
      assert.equal(CLOSE, (read_frame(stream)))
      stream:read("a")
    end)
    local ws = assert(http.websocket(url))
    local done, err = corun.timeout(0.02, ws.close, ws)
    assert.is_nil(done)
    assert.equal("ETIMEDOUT", err.code)
    assert.is_true(ws:close())
    server:close()
  end)

  it("logged when the client breaks a rule, not when it is just gone", function()
    local ended, errors = 0, io.stderr
    local server <close>, _, address = support.serve(function(ws)
      local _ <close> = corun.defer(function() ended = ended + 1 end)
      for data in ws do ws:send(data) end
    end)
    local log = assert(io.tmpfile())
    io.stderr = log -- luacheck: ignore 122
    local function go(n, bytes)
      local stream = support.connect(address)
      if bytes then stream:write(bytes) end
      if bytes then read_frame(stream) end
      stream:close()
      support.eventually("the handler ends", function() return ended == n end)
      support.eventually("the connection ends", function() return server.count == 0 end)
    end
    local ok, err = pcall(function()
      go(1)
      go(2, client_frame(TEXT, "x"))
      assert.equal(0, log:seek("end"))
      go(3, "\xFF\xFF")
    end)
    io.stderr = errors -- luacheck: ignore 122
    assert(ok, err)
    log:seek("set")
    assert.matches("GET /chat failed: .*a reserved bit is set", log:read("a"))
    log:close()
    server:close()
  end)

  it("with 1000 when the handler returns, 1011 when it fails, 1001 when cancelled", function()
    local codes, errors = {}, io.stderr
    local server, _, address = support.serve(function(ws)
      local order = ws:recv()
      if order == "fail" then error("oops") end
      if order == "wait" then corun.sleep(100) end
    end)
    local function run(order)
      local stream <close> = support.connect(address)
      stream:write(client_frame(TEXT, order))
      if order == "wait" then
        corun.sleep(0.02)
        corun.spawn(server.close, server)
      end
      local first, payload = read_frame(stream)
      assert.equal(CLOSE, first)
      codes[#codes + 1] = (">I2"):unpack(payload)
      stream:write(client_frame(CLOSE, payload))
      assert.is_nil(read_frame(stream))
    end
    run("return")
    local log = assert(io.tmpfile())
    io.stderr = log -- luacheck: ignore 122
    local ok, err = pcall(run, "fail")
    io.stderr = errors -- luacheck: ignore 122
    assert(ok, err)
    log:seek("set")
    assert.matches("GET /chat failed: .*oops", log:read("a"))
    log:close()
    run("wait")
    assert.same({1000, 1011, 1001}, codes)
  end)

  it("with 1001 for all when the server closes gracefully", function()
    local server, url = support.serve(echo)
    local list = {}
    for i = 1, 20 do list[i] = assert(http.websocket(url)) end
    corun.scope(function(s)
      for _, ws in ipairs(list) do
        s:spawn(function()
          assert.is_nil((ws:recv()))
          assert.equal(1001, ws.code)
        end)
      end
      corun.yield()
      local start = corun.now()
      server:close{drain = 10}
      assert.is_true(corun.now() - start < 5)
    end)
  end)

  it("by a <close> variable: 1000, or 1001 in a scope that is cancelled", function()
    local codes = {}
    local server <close>, url = support.serve(function(ws)
      ws:recv()
      codes[#codes + 1] = ws.code
    end)
    do
      local _ <close> = assert(http.websocket(url))
    end
    corun.timeout(0.02, function()
      local _ <close> = assert(http.websocket(url))
      corun.sleep(10)
    end)
    support.eventually("two ends", function() return #codes == 2 end)
    assert.same({1000, 1001}, codes)
    server:close()
  end)

  it("with the answer to what broke the rules, though the peer goes on sending", function()
    local stream, _, server <close> = talk_to_echo{max_message = 1000}
    stream:write(client_frame(BINARY, ("x"):rep(900000)))
    assert.same({CLOSE, goodbye(1009, "a message is too long"), false}, {read_frame(stream)})
    stream:close()
    server:close()
  end)

  it("refuses codes and reasons that cannot be sent", function()
    local server <close>, url = support.serve(echo)
    local ws <close> = assert(http.websocket(url))
    for _, code in ipairs{0, 1005, 1006, 1015, 2000, 5000, 1 << 40} do
      assert.matches("is no close code that can be sent: those are 1000 to 1003, 1007 to 1014 and",
        select(2, pcall(ws.close, ws, code)))
    end
    assert.matches("longer than 123 bytes", select(2, pcall(ws.close, ws, 1000, ("x"):rep(124))))
    assert.matches("not UTF%-8", select(2, pcall(ws.close, ws, 1000, "\xFF")))
    ws:close(1000, ("x"):rep(123))
    server:close()
  end)
end)

describe("a WebSocket asks for a sign of life", function()
  it("and goes on with a peer that answers", function()
    local pings = 0
    local server <close>, url = support.raw_server(function(stream)
      while pings < 3 do
        local first, payload = read_frame(stream)
        assert.equal(PING, first)
        pings = pings + 1
        stream:write(frame(PONG, payload))
      end
      stream:write(frame(TEXT, "alive"))
      read_frame(stream)
    end)
    local ws <close> = assert(http.websocket(url, {ping = 0.02}))
    assert.equal("alive", (assert(ws:recv())))
    assert.equal(3, pings)
    ws:close()
    server:close()
  end)

  it("and gives up one that does not", function()
    local server <close>, url = support.raw_server(function(stream) stream:read("a") end)
    local ws <close> = assert(http.websocket(url, {ping = 0.05}))
    local data, err = ws:recv()
    assert.is_nil(data)
    assert.equal("ECONNRESET", err.code)
    assert.equal("the peer gave no sign of life for too long", err.message)
    assert.equal(1006, ws.code)
    server:close()
  end)

  it("not of one that sends, nor when nobody receives", function()
    local server <close>, url = support.raw_server(function(stream)
      corun.scope(function(s)
        s:daemon(function()
          for _, payload in read_frame, stream do stream:write(frame(PONG, payload)) end
        end)
        for _ = 1, 20 do
          stream:write(frame(TEXT, "x"))
          corun.sleep(0.005)
        end
        corun.sleep(0.3)
        stream:write(frame(CLOSE, goodbye(1000)))
        corun.sleep(0.1)
      end)
    end)
    local ws <close> = assert(http.websocket(url, {ping = 0.08}))
    for _ = 1, 19 do assert.equal("x", (ws:recv())) end
    corun.sleep(0.35) -- one message is unread: the answers to pings are behind it
    assert.equal("x", (ws:recv()))
    assert.is_nil((ws:recv()))
    assert.equal(1000, ws.code)
    server:close()
  end)
end)

describe("http.websocket", function()
  it("refuses answers that are none", function()
    local function try(answer, headers)
      local server <close>, url = support.raw_server(function() end, headers, answer)
      local ws, err = http.websocket(url)
      server:close()
      assert.is_nil(ws)
      return err
    end
    local err = try("HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnope")
    assert.same({"EHTTP", 403, "nope"}, {err.code, err.status, err.response.body})
    err = try("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n")
    assert.same({"EHTTP", 302}, {err.code, err.status})
    err = try("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n" ..
      "sec-websocket-accept: " .. support.ACCEPT .. "\r\n\r\n")
    assert.same({"EPROTO", "the server's answer is not that to the key of the WebSocket"},
      {err.code, err.message})
    err = try("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n")
    assert.equal("the server switched to a protocol that nobody asked for", err.message)
    err = try(nil, "Sec-WebSocket-Protocol: x\r\n")
    assert.equal("the server chose a subprotocol that was not offered", err.message)
    err = try(nil, "Sec-WebSocket-Extensions: x\r\n")
    assert.equal("the server chose extensions that were not offered", err.message)
    assert.equal("EURL", select(2, http.websocket("ftp://h/")).code)
    assert.equal("ECONNREFUSED", select(2, http.websocket("ws://127.0.0.1:" ..
      raw.free_port())).code)
  end)

  it("sends what the session and the options have", function()
    local head
    local server <close>, url = support.raw_server(function(stream, text)
      head = text:lower()
      read_frame(stream)
    end, "set-cookie: b=2\r\n")
    local address = url:gsub("^ws", "http")
    local s <close> = http.session{base = address .. "/v1", headers = {["x-all"] = "1"}}
    local ws = assert(s:websocket("/chat", {query = {q = 1}, headers = {["X-Own"] = "2"},
      origin = "http://page", protocols = {"a", "b"}, auth = {"u", "p"}}))
    ws:close()
    assert.matches("^get /v1/chat%?q=1 http/1.1\r\n", head)
    for _, line in ipairs{"x%-all: 1", "x%-own: 2", "origin: http://page", "upgrade: websocket",
      "connection: upgrade", "sec%-websocket%-protocol: a, b", "sec%-websocket%-version: 13",
      "authorization: basic dtpw", "sec%-websocket%-extensions: permessage%-deflate"} do
      assert.matches("\r\n" .. line, head)
    end
    ws = assert(s:websocket("/chat", {deflate = false}))
    ws:close()
    assert.matches("\r\ncookie: b=2\r\n", head)
    assert.not_matches("extensions", head)
    assert.equal(0, s.pool.open)
    s:close()
    server:close()
  end)

  it("goes over TLS, and through proxies by a tunnel", function()
    if not certificates.has_openssl then return pending("the openssl command is not installed") end
    local folder = certificates.make_certificates()
    local _ <close> = corun.defer(certificates.remove, folder)
    local heads = {}
    local through <close>, proxy = proxies.tunnel{heads = heads}
    for _, secure in ipairs{true, false} do
      local tls = secure and {cert = folder .. "good.pem", key = folder .. "key.pem"}
      local server <close>, _, address = support.serve(echo, nil, {tls = tls or nil})
      local url = ("%s://localhost:%s/"):format(secure and "wss" or "ws", address:match("%d+$"))
      local options = {tls = secure and {ca = folder .. "ca.pem"} or nil}
      for _, way in ipairs{false, proxy} do
        options.proxy = way
        local ws <close> = assert(http.websocket(url, options))
        for _, n in ipairs{5, 70000, 3000000} do
          assert.is_true(ws:send(("z"):rep(n), "binary"))
          assert.is_true(ws:recv() == ("z"):rep(n))
        end
        ws:close()
        assert.equal(1000, ws.code)
      end
      server:close()
    end
    assert.equal(2, #heads)
    assert.matches("^CONNECT localhost:%d+ HTTP/1.1\r\n", heads[2])
    through:close()
  end)

  it("goes over Unix sockets", function()
    local path = os.tmpname()
    os.remove(path)
    local server <close> = assert(http.serve("unix:" .. path, function(req)
      echo(req:upgrade())
    end))
    local ws <close> = assert(http.websocket("ws+unix://" .. path:gsub("/", "%%2F") .. "/chat"))
    assert.is_true(ws:send("x"))
    assert.equal("x", (ws:recv()))
    ws:close()
    server:close()
  end)

  it("keeps to its time limit", function()
    local server <close>, url = raw.raw(function(stream) stream:read("a") end)
    local ws, err = http.websocket((url:gsub("^http", "ws")), {timeout = 0.05})
    assert.is_nil(ws)
    assert.equal("ETIMEDOUT", err.code)
    server:close()
  end)

  it("refuses what it is not given as it should be", function()
    assert.matches('unknown option "protocol"', select(2, pcall(http.websocket, "ws://h",
      {protocol = "x"})))
    assert.matches("the URL must be a string", select(2, pcall(http.websocket, 1)))
    assert.matches("is set by corun itself", select(2, pcall(http.websocket, "ws://h",
      {headers = {Upgrade = "x"}})))
    assert.matches("9 to 15", select(2, pcall(http.websocket, "ws://h", {deflate = {window = 8}})))
  end)

  it("wants frames of servers that are not masked", function()
    local server <close>, url = support.raw_server(function(stream)
      stream:write(client_frame(TEXT, "x"))
      assert.same({CLOSE, goodbye(1002, "the frame is masked"), true}, {read_frame(stream)})
    end)
    local ws <close> = assert(http.websocket(url))
    assert.equal("EPROTO", select(2, ws:recv()).code)
    ws:close()
    server:close()
  end)
end)
