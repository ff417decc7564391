-- SPDX-License-Identifier: MIT
-- http.serve: requests that a script keeps longer than their answers take, answers that have no
-- body whatever the handler returns, and what the log is told of what no handler sees.

local corun = require("corun")
local http = require("corun.http")
local net = require("corun.net")
local support = require("tests.spec.support.http")
local websocket = require("tests.spec.support.websocket")

local serve = support.serve

local function get(stream, path)
  stream:write(("GET %s HTTP/1.1\r\nhost: h\r\n\r\n"):format(path or "/"))
  return support.read_response(stream)
end

describe("a request that a script keeps", function()
  local function assert_closed(why, ok, err)
    assert.is_false(ok)
    assert.equal("ECLOSED", err.code)
    assert.matches(why, tostring(err), 1, true)
  end

  it("cannot be upgraded in the middle of another answer", function()
    local kept, outcome
    local server <close> = serve(function(req)
      if kept then
        corun.sleep(0)
        outcome = table.pack(pcall(kept.upgrade, kept))
      end
      kept = kept or req
      return req.path
    end)
    local stream <close> = assert(net.connect(server:address()))
    stream:write(websocket.request(nil, "GET /first HTTP/1.1"))
    assert.equal("/first", select(3, support.read_response(stream)))
    assert_closed("was answered before", pcall(kept.upgrade, kept))
    assert.equal("/second", select(3, get(stream, "/second")))
    assert_closed("was answered before", table.unpack(outcome))
    assert.equal("/third", select(3, get(stream, "/third")))
    server:close()
  end)

  it("nor while its own answer is written, nor when that has failed", function()
    local kept, outcome
    local server <close> = serve(function(req)
      kept = req
      if req.path == "/error" then error({}) end
      return function(w)
        outcome = table.pack(pcall(req.upgrade, req))
        w:write("x")
      end
    end, {log = function() end})
    local stream <close> = assert(net.connect(server:address()))
    stream:write(websocket.request())
    assert.matches("\r\n\r\n1\r\nx\r\n0\r\n\r\n$", stream:read_until("0\r\n\r\n"))
    assert_closed("was answered before", table.unpack(outcome))
    local original = io.stderr
    io.stderr = {write = function() end} -- luacheck: ignore 122
    stream:write(websocket.request(nil, "GET /error HTTP/1.1"))
    assert.equal(500, (support.read_response(stream)))
    io.stderr = original -- luacheck: ignore 122
    assert_closed("was answered before", pcall(kept.upgrade, kept))
    stream:close()
    assert_closed("was answered before", pcall(kept.upgrade, kept))
    server:close()
  end)

  it("nor twice, by two tasks at once either", function()
    local asked, go, outcome = 0, corun.event(), nil
    local server <close> = serve(function(req)
      local function welcome()
        asked = asked + 1
        if asked == 2 then go:set() end
        return go:wait() or true
      end
      local function upgrade()
        return table.pack(pcall(req.upgrade, req, {origin = welcome}))
      end
      outcome = corun.gather{upgrade, upgrade}
      if not outcome[1][1] then outcome[1], outcome[2] = outcome[2], outcome[1] end
      outcome[1][2]:close()
    end)
    local stream <close> = websocket.connect(server:address(), {origin = "http://elsewhere"})
    websocket.eventually("both have asked", function() return outcome end)
    assert_closed("was upgraded before", table.unpack(outcome[2]))
    assert.same({0x88, websocket.goodbye(1000), false}, {websocket.read_frame(stream)})
    stream:write(websocket.client_frame(0x88, websocket.goodbye(1000)))
    server:close()
  end)

  it("gives no body of another request", function()
    local kept, text, err
    local server <close> = serve(function(req)
      if not kept then
        kept = req
        return "first"
      end
      text, err = kept:read("a")
      return req.body
    end, {stream = true})
    local stream <close> = assert(net.connect(server:address()))
    local head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s"
    stream:write(head:format(5, "12345"))
    assert.equal("first", select(3, support.read_response(stream)))
    stream:write(head:format(3, "abc"))
    assert.equal("abc", select(3, support.read_response(stream)))
    assert.is_nil(text)
    assert.equal("ECLOSED", err.code)
    server:close()
  end)

  it("is refused an upgrade while the server closes", function()
    local asked, go = corun.event(), corun.event()
    local server <close> = serve(function(req)
      req:upgrade{origin = function()
        asked:set()
        go:wait()
        return true
      end}
    end)
    local stream <close> = assert(net.connect(server:address()))
    stream:write(websocket.request{origin = "http://elsewhere"})
    asked:wait()
    corun.scope(function(s)
      s:spawn(server.close, server, {drain = 10})
      support.eventually("nobody listens", function()
        local other <close> = net.connect(server:address())
        return not other
      end)
      go:set()
      assert.equal(503, (support.read_response(stream)))
    end)
  end)
end)

describe("an answer without a body", function()
  local answers = {
    string = {body = "text"}, json = {json = {1}}, ["function"] = {stream = function(w)
      w:write("text")
      w:write("text")
    end},
    ["function of known length"] = {length = 4, stream = function(w) w:write("text") end},
    source = {body = function() return "text" end}, nothing = {},
  }
  for what, answer in pairs(answers) do
    it("has none when the handler gives a " .. what, function()
      local server <close> = serve(function(req)
        local copy = {status = tonumber(req.path:sub(2))}
        for name, value in pairs(answer) do copy[name] = value end
        return copy
      end)
      for _, version in ipairs{"1.1", "1.0"} do
        local stream <close> = assert(net.connect(server:address()))
        for _, method in ipairs{"GET", "HEAD", "POST"} do
          for _, status in ipairs{204, 205, 304} do
            stream:write(("%s /%d HTTP/%s\r\nhost: h\r\nconnection: keep-alive\r\n\r\n"):format(
              method, status, version))
            local got, head = support.read_response(stream, true)
            assert.equal(status, got)
            assert.is_nil(head:find("transfer-encoding", 1, true))
            assert.equal(status == 205 and "0" or nil, head:match("content%-length: (%d+)"))
          end
        end
        if version == "1.1" then
          stream:write("HEAD /200 HTTP/1.1\r\nhost: h\r\n\r\n")
          assert.equal(200, (support.read_response(stream, true)))
        end
        assert.equal(204, (get(stream, "/204")))
      end
      server:close()
    end)
  end
end)

-- Whether this program keeps what it has freed, as one with a sanitizer does.
local function is_sanitized()
  local cache = io.open((os.getenv("CORUN_BUILD") or "") .. "/CMakeCache.txt")
  if not cache then return false end
  local text = cache:read("a")
  cache:close()
  return text:find("CORUN_SANITIZE:STRING=%a") ~= nil
end

describe("memory of connections that idle", function()
  local function resident()
    local f = assert(io.open("/proc/self/statm"))
    local _, pages = f:read("n", "n")
    f:close()
    return pages * 4096
  end

  it("is not what their last body took", function()
    if is_sanitized() or not io.open("/proc/self/statm") then return end
    local half, streams = ("x"):rep(6000), {}
    local server <close> = serve(function(req) return tostring(#req.body) end, {idle = 60})
    local function connect(n)
      for _ = 1, n do
        local stream = assert(net.connect(server:address()))
        streams[#streams + 1] = stream
        stream:write("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 12000\r\n\r\n", half)
        corun.sleep(0.001)
        stream:write(half)
        assert.equal("12000", select(3, support.read_response(stream)))
      end
      collectgarbage()
      collectgarbage()
      return resident()
    end
    local before = connect(290) -- 256 keep theirs, for those that are back soon
    local each = (connect(150) - before) / 150
    assert.is_true(each < 13000, each .. " bytes for both ends of a connection")
    for _, stream in ipairs(streams) do stream:close() end
    server:close()
  end)
end)

describe("limits that nobody can count to", function()
  it("are as good as none", function()
    local server <close> = serve(function() return "x" end, {
      max_head = (1 << 32) + 100, max_url = 1 << 32, max_headers = (1 << 40) + 1,
      max_body = math.maxinteger, limit = math.maxinteger,
    })
    local stream <close> = assert(net.connect(server:address()))
    stream:write("GET /", ("x"):rep(20000), " HTTP/1.1\r\nhost: h\r\n")
    stream:write(("a: b\r\n"):rep(200), "\r\n")
    assert.equal("x", select(3, support.read_response(stream)))
    server:close()
  end)
end)

describe("the log of a server is told", function()
  it("of CONNECT, and of connections over the limits", function()
    local entries = {}
    local server <close> = serve(function() return "x" end, {limit = 1, log = function(entry)
      entries[#entries + 1] = entry
    end})
    local stream <close> = assert(net.connect(server:address()))
    assert.equal("x", select(3, get(stream)))
    assert.matches("^HTTP/1.1 503 ", support.talk(server:address(), "GET / HTTP/1.1\r\n"))
    stream:write("CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n")
    assert.equal(501, (support.read_response(stream)))
    stream:close()
    support.eventually("three entries", function() return #entries == 3 end)
    assert.same({200, 503, 501}, {entries[1].status, entries[2].status, entries[3].status})
    assert.same({"EAGAIN", "ENOTSUP"}, {entries[2].error.code, entries[3].error.code})
    for _, entry in ipairs(entries) do
      assert.matches("^127%.0%.0%.1:%d+$", entry.peer)
      assert.is_true(entry.bytes > 50 and entry.seconds >= 0)
      assert.matches(" " .. entry.status .. " %d+$", http.common_log(entry))
    end
    server:close()
  end)
end)
