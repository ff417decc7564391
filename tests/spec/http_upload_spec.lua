-- SPDX-License-Identifier: MIT
-- Bodies of requests: forms, functions, files, streams; Expect: 100-continue; answers that come
-- before the body was sent.

local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local net = require("corun.net")
local support = require("tests.spec.support.http")

local ok, raw = support.ok, support.raw

-- Read a body as the head frames it; nil when it is cut.
local function read_body(stream, head)
  local length = tonumber(head:lower():match("\r\ncontent%-length: (%d+)"))
  if length then return length > 0 and stream:read_exactly(length) or "", "length" end
  if not head:lower():find("\r\ntransfer-encoding: chunked\r\n", 1, true) then return "", "none" end
  local pieces = {}
  while true do
    local line = stream:read_until("\r\n")
    if not line then return nil end
    local size = tonumber(line:match("^%x+"), 16)
    if size > 0 then pieces[#pieces + 1] = assert(stream:read_exactly(size)) end
    assert(stream:read_until("\r\n") == "\r\n")
    if size == 0 then return table.concat(pieces), "chunked" end
  end
end

-- A server that says how each body came, and how many connections it served.
local function mirror()
  local seen = {connections = 0}
  local server, url = raw(function(stream, n)
    seen.connections = n
    while true do
      local head = stream:read_until("\r\n\r\n")
      if not head then return end
      seen.head = head
      if head:find("\r\nexpect: 100-continue\r\n", 1, true) then
        stream:write("HTTP/1.1 100 Continue\r\n\r\n")
      end
      local body, framing = read_body(stream, head)
      if not body then return end
      seen.body = body
      stream:write(ok(framing .. " " .. #body))
    end
  end)
  return server, url, seen
end

local function path_of(bytes)
  local path = os.tmpname()
  assert(fs.write(path, bytes))
  return path
end

local function is_idle(s, open)
  assert.equal(0, s.pool.active)
  assert.equal(open, s.pool.open)
end

describe("http request bodies", function()
  it("a form is encoded as browsers do", function()
    local server <close>, url, seen = mirror()
    local s <close> = http.session()
    assert.equal("length 15", assert(s:post(url, {form = {a = "b c", d = {1, "&"}}})).body)
    assert.equal("a=b+c&d=1&d=%26", seen.body)
    assert.matches("\r\ncontent%-type: application/x%-www%-form%-urlencoded\r\n", seen.head)
    s:post(url, {form = {a = 1}, headers = {["Content-Type"] = "x/y"}})
    assert.matches("\r\nContent%-Type: x/y\r\n", seen.head)
    server:close()
  end)

  it("a function is called until nil, and sent in chunks", function()
    local server <close>, url, seen = mirror()
    local s <close> = http.session()
    local n = 0
    local res = assert(s:post(url, {body = function()
      n = n + 1
      if n == 2 then corun.sleep(0.01) end
      return ({"abc", "", ("x"):rep(300000), "end"})[n]
    end}))
    assert.equal("chunked 300006", res.body)
    assert.matches("^abcx", seen.body)
    assert.equal("chunked 0", assert(s:put(url, {body = function() end})).body)
    assert.equal("length 0", assert(s:post(url)).body)
    is_idle(s, 1)
    assert.equal(1, seen.connections)
    server:close()
  end)

  it("a file is sent by its path, or from where it is open, with its length", function()
    local server <close>, url, seen = mirror()
    local s <close> = http.session()
    local bytes = ("0123456789"):rep(200000)
    local path = path_of(bytes)
    assert.equal("length 2000000", assert(s:put(url, {body = {path = path}})).body)
    assert.is_true(bytes == seen.body)
    local file <close> = assert(fs.open(path))
    file:seek("set", 1999990)
    assert.equal("length 10", assert(s:put(url, {body = file})).body)
    assert.equal("length 0", assert(s:put(url, {body = file})).body)
    is_idle(s, 1)
    local res, err = s:put(url, {body = {path = path .. ".none"}})
    assert.is_nil(res)
    assert.equal("ENOENT", err.code)
    res, err = s:put(url, {body = {path = "/"}})
    assert.is_nil(res)
    assert.equal("EINVAL", err.code)
    os.remove(path)
    server:close()
  end)

  it("a stream is sent as it comes: another response too", function()
    local server <close>, url, seen = mirror()
    local other <close>, from = raw(function(stream)
      support.read_request(stream)
      stream:write("HTTP/1.1 200 OK\r\n\r\n" .. ("y"):rep(1 << 20))
    end)
    local s <close> = http.session()
    local res <close> = assert(s:get(from, {stream = true}))
    assert.equal("chunked 1048576", assert(s:post(url, {body = res})).body)
    assert.equal(("y"):rep(10), seen.body:sub(1, 10))
    is_idle(s, 1)
    server:close()
    other:close()
  end)

  it("a file that says it is empty is sent with what it has", function()
    local server <close>, url, seen = mirror()
    local s <close> = http.session()
    local path = path_of("")
    finally(function() os.remove(path) end)
    assert.equal("length 0", assert(s:put(url, {body = {path = path}})).body)
    if not fs.stat("/proc/self/status") then return pending("there is no /proc") end
    local res = assert(s:put(url, {body = {path = "/proc/self/status"}}))
    assert.matches("^Name:", seen.body)
    assert.equal("length " .. #seen.body, res.body)
    server:close()
  end)

  it("the options about bodies are checked", function()
    local s <close> = http.session()
    local function raises(text, o)
      assert.error_matches(function() s:post("http://127.0.0.1:1", o) end, text, 1, true)
    end
    raises('"body" and "json" exclude each other', {body = "x", json = 1})
    raises('"json" and "form" exclude each other', {form = {}, json = 1})
    raises('"body" must be a string', {body = 7})
    raises('"body" must be a string', {body = io.stdout})
    for _, other in ipairs({{}, {"a", "b"}, {name = "x"}}) do
      raises('must be {path=}; others go into "json" or "form"', {body = other})
    end
    raises('unknown option "length"', {body = {path = "x", length = 1}})
  end)

  it("a body that fails ends the request with its error, and the connection", function()
    local server <close>, url = mirror()
    local s <close> = http.session()
    local n = 0
    local res, err = s:post(url, {body = function()
      n = n + 1
      if n == 1 then return "abc" end
      return nil, corun.err("EMINE", "no more")
    end})
    assert.is_nil(res)
    assert.equal("EMINE", err.code)
    is_idle(s, 0)
    local good, why = pcall(s.post, s, url, {body = function() error("raised", 0) end})
    assert.is_false(good)
    assert.equal("raised", why)
    is_idle(s, 0)
    good, why = pcall(s.post, s, url, {body = function() return 7 end})
    assert.is_false(good)
    assert.matches("must give strings, got number", why)
    is_idle(s, 0)
    server:close()
  end)

  it("a file that changes while it is sent is an error, never a wrong body", function()
    local server <close>, url = mirror()
    local s <close> = http.session()
    local path = path_of(("x"):rep(8 << 20))
    corun.scope(function(scope)
      scope:spawn(function() assert(fs.write(path, "short")) end)
      local res, err = s:post(url, {body = {path = path}})
      if not res then -- else it was read before
        assert.equal("EOF", err.code)
        is_idle(s, 0)
      end
    end)
    local shrinking <close> = http.session({retries = {min = 0.001}, on_request = function()
      assert(fs.write(path, "short"))
    end})
    assert(fs.write(path, "longer than that"))
    local res, err = shrinking:put(url, {body = {path = path}})
    assert.is_nil(res)
    assert.equal("the file ended 11 bytes before its length", err.message)
    assert.equal(0, shrinking:stats().retries) -- it would be no longer the next time
    os.remove(path)
    server:close()
  end)

  it("is sent again over a fresh connection only where it can be", function()
    local path = path_of("from a file")
    for name, body in pairs({file = function() return {path = path} end, ["function"] = function()
      local given = false
      return function()
        if given then return nil end
        given = true
        return "from a function"
      end
    end}) do
      local server <close>, url = raw(function(stream, n)
        local head = stream:read_until("\r\n\r\n")
        if not head then return end
        read_body(stream, head)
        stream:write(ok("1"))
        if n > 1 then return end
        head = stream:read_until("\r\n\r\n")
        if head then read_body(stream, head) end -- and no answer
      end)
      local s <close> = http.session()
      assert.equal("1", assert(s:put(url, {body = body()})).body)
      local res, err = s:put(url, {body = body()})
      if name == "file" then
        assert.equal("1", assert(res, err).body)
      else
        assert.is_nil(res)
        assert.equal("EOF", err.code)
      end
      server:close()
    end
    os.remove(path)
  end)

  it("holds its source back while the server does not read", function()
    local go = corun.event()
    local server <close>, url = raw(function(stream)
      local head = stream:read_until("\r\n\r\n")
      go:wait()
      stream:write(ok(tostring(#read_body(stream, head))))
    end)
    local s <close> = http.session()
    local given = 0
    corun.scope(function(scope)
      local t = scope:async(s.post, s, url, {body = function()
        if given == 64 << 20 then return nil end
        given = given + (1 << 18)
        return ("x"):rep(1 << 18)
      end})
      local before
      repeat
        before = given
        corun.sleep(0.05)
      until given == before and given > 0
      assert.is_true(given < 32 << 20)
      go:set()
      assert.equal(tostring(64 << 20), assert(t:await()).body)
    end)
    server:close()
  end)

  it("cancelled while it is sent it leaves nothing behind", function()
    local server <close>, url = raw(function(stream)
      stream:read_until("\r\n\r\n")
      corun.sleep(9)
    end)
    local s <close> = http.session()
    local res, err = corun.timeout(0.05, s.post, s, url, {body = function()
      return ("x"):rep(1 << 20)
    end})
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    is_idle(s, 0)
    server:close()
  end)

  it("time limits: the server is not silent while it is sent to", function()
    local server <close>, url = mirror()
    local s <close> = http.session({timeout = {read = 0.08}})
    local n = 0
    local res = assert(s:post(url, {body = function()
      n = n + 1
      corun.sleep(0.03)
      return n <= 6 and "abc" or nil
    end}))
    assert.equal("chunked 18", res.body)
    local stuck <close>, there = raw(function(stream)
      stream:read_until("\r\n\r\n")
      corun.sleep(9)
    end)
    local err
    res, err = s:post(there, {body = function() return ("x"):rep(1 << 20) end})
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("send", err.op)
    res, err = s:post(there, {body = function() corun.sleep(5) end, timeout = {total = 0.05}})
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    n = 0
    res, err = s:post(there, {body = function() -- sent, and then no answer
      n = n + 1
      return n == 1 and "x" or nil
    end})
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("read", err.op)
    is_idle(s, 1)
    server:close()
    stuck:close()
  end)
end)

describe("http answers before the body was sent", function()
  local refusal = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig"

  -- Answer the head at once, and read on, or not.
  local function hasty(answer, reads)
    return raw(function(stream)
      if not stream:read_until("\r\n\r\n") then return end
      stream:write(answer)
      if reads then while stream:recv() do end else corun.sleep(9) end
    end)
  end

  for name, reads in pairs({["reads on"] = true, ["reads no more"] = false}) do
    for _, stream in ipairs({false, true}) do
      it(("a 413 of a server that %s is given (stream = %s)"):format(name, stream), function()
        local server <close>, url = hasty(refusal, reads)
        local s <close> = http.session()
        local sent = 0
        local function endless()
          sent = sent + 1
          corun.sleep(0)
          return ("x"):rep(1 << 18)
        end
        for _, body in ipairs({endless, ("x"):rep(32 << 20)}) do
          local res = assert(s:post(url, {stream = stream, body = body}))
          assert.equal(413, res.status)
          assert.equal("big", res.body or res:read("a"))
          is_idle(s, 0) -- half a request was sent over it
        end
        server:close()
      end)
    end
  end

  it("a server that answers before it reads anything is heard, or the error is clear", function()
    for _, then_ in ipairs({"read", "close", "wait"}) do
      local server <close>, url = raw(function(stream)
        stream:write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly")
        if then_ == "read" then while stream:recv() do end end
        if then_ == "wait" then corun.sleep(9) end
      end)
      local s <close> = http.session({timeout = {read = 0.3}, limit = 1})
      for way, fetch in pairs(support.ways) do
        for _, size in ipairs({1, 8 << 20}) do
          local body, err = fetch(s, url, {body = ("x"):rep(size)})
          assert.is_true(body == "early" or err ~= nil, way)
          if err then
            assert.is_true(err.op == "send" or err.op == "read", tostring(err))
            assert.equal(server:address(), err.target)
            is_idle(s, 0)
          end
        end
      end
      server:close()
    end
  end)

  it("a server that answers and closes is heard", function()
    local server <close>, url = raw(function(stream)
      stream:read_until("\r\n\r\n")
      stream:write(refusal)
      stream:shutdown()
      stream:recv()
    end)
    local s <close> = http.session()
    for _, body in ipairs({("x"):rep(32 << 20), function() return ("x"):rep(1 << 18) end}) do
      local res, err = s:post(url, {body = body})
      assert.is_true(res and res.status == 413 or err.code == "ECONNRESET", tostring(err))
      is_idle(s, 0)
    end
    server:close()
  end)

  it("with status 200 the body is sent to its end", function()
    local got
    local server <close>, url = raw(function(stream)
      while true do
        local head = stream:read_until("\r\n\r\n")
        if not head then return end
        stream:write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nok")
        got = #read_body(stream, head)
        stream:write("!\n")
      end
    end)
    local s <close> = http.session()
    for _, stream in ipairs({false, true}) do
      local n = 0
      local res = assert(s:post(url, {stream = stream, body = function()
        n = n + 1
        return n <= 50 and ("x"):rep(1 << 16) or nil
      end}))
      assert.equal("ok!\n", res.body or res:read("a"))
      assert.equal(50 << 16, got)
    end
    server:close()
  end)

  it("a server that sends back what it gets is read from meanwhile", function()
    local server <close>, url = raw(function(stream)
      while stream:read_until("\r\n\r\n") do
        stream:write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        repeat
          local line = stream:read_until("\r\n")
          if not line then return end
          local size = tonumber(line:match("^%x+"), 16)
          stream:write(line, stream:read_exactly(size + 2))
        until size == 0
      end
    end)
    local s <close> = http.session({timeout = 20})
    local piece = ("0123456789abcdef"):rep(4096)
    for _, stream in ipairs({false, true}) do
      for _, pieces in ipairs({0, 1, 400}) do -- more than the sockets hold
        local n = 0
        local res = assert(s:post(url, {stream = stream, body = function()
          n = n + 1
          return n <= pieces and piece or nil
        end}))
        assert.is_true((res.body or res:read("a")) == piece:rep(pieces))
        is_idle(s, s.pool.open)
        assert.equal("", assert(s:post(url, {body = function() end})).body)
      end
    end
    server:close()
  end)

  it("what it sends meanwhile may come in tiny pieces", function()
    local pieces, sent = 20000, corun.event()
    local server <close>, url = raw(function(stream)
      stream:read_until("\r\n\r\n")
      stream:write(("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"):format(pieces))
      for _ = 1, pieces do
        stream:write("x")
        corun.sleep(0)
      end
      sent:set()
      stream:recv()
    end)
    local s <close> = http.session()
    local n = 0
    local res <close> = assert(s:post(url, {stream = true, body = function()
      n = n + 1
      sent:wait()
      return n == 1 and "the body" or nil
    end}))
    local began = os.clock()
    assert.equal(("x"):rep(pieces), res:read("a"))
    assert.is_true(os.clock() - began < 0.5, "it took too long to read")
    server:close()
  end)

  it("so it is where the body is a text", function()
    local server <close>, url = raw(function(stream)
      while true do
        local head = stream:read_until("\r\n\r\n")
        if not head then return end
        local left = tonumber(head:match("content%-length: (%d+)"))
        stream:write(("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"):format(left))
        while left > 0 do
          local piece = stream:recv()
          if not piece or not stream:write(piece) then return end
          left = left - #piece
        end
      end
    end)
    local s <close> = http.session({timeout = {read = 5}})
    local text = ("0123456789abcdef"):rep(2 << 20) -- more than the sockets hold
    for _, stream in ipairs({false, true}) do
      local res = assert(s:put(url, {stream = stream, body = text}))
      assert.is_true((res.body or res:read("a")) == text)
      is_idle(s, s.pool.open)
    end
    server:close()
  end)
end)

describe("http Expect: 100-continue", function()
  it("sends the body when the server wants it", function()
    local server <close>, url, seen = mirror()
    local s <close> = http.session({expect = true})
    assert.equal("length 3", assert(s:post(url, {body = "abc"})).body)
    assert.matches("\r\nexpect: 100%-continue\r\n", seen.head)
    assert.equal("length 0", assert(s:post(url)).body) -- nothing to expect anything for
    assert.is_nil(seen.head:find("expect"))
    local first = true
    assert.equal("chunked 2", assert(s:post(url, {body = function()
      if not first then return nil end
      first = false
      return "ab"
    end})).body)
    assert.equal("length 3", assert(s:post(url, {body = "abc", expect = false})).body)
    is_idle(s, 1)
    server:close()
  end)

  it("does not send it when the server refuses, and reuses nothing", function()
    local rest
    local server <close>, url = raw(function(stream)
      stream:read_until("\r\n\r\n")
      stream:write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno")
      rest = stream:read("a")
    end)
    local s <close> = http.session()
    local asked = false
    local res = assert(s:post(url, {expect = true, body = function() asked = true end}))
    assert.equal(401, res.status)
    assert.equal("no", res.body)
    assert.is_false(asked)
    is_idle(s, 0)
    support.eventually("the server sees the end", function() return rest end)
    assert.equal("", rest)
    server:close()
  end)

  it("asks again without it after a 417, and goes on when a server says nothing", function()
    local server <close>, url = raw(function(stream)
      local head = stream:read_until("\r\n\r\n")
      if head:find("expect:", 1, true) and head:find("/417", 1, true) then
        return stream:write("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n")
      end
      stream:write(ok(read_body(stream, head)))
    end)
    local s <close> = http.session({expect = true})
    assert.equal("abc", assert(s:post(url .. "/417", {body = "abc"})).body)
    local before = corun.now()
    assert.equal("abc", assert(s:post(url .. "/silent", {body = "abc"})).body)
    assert.is_true(corun.now() - before >= 0.9)
    server:close()
  end)

  it("other interim answers are none, and a flood of them is refused", function()
    local answers = {
      hints = ("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"):rep(3) .. "HTTP/1.1 100 C\r\n\r\n",
      flood = ("HTTP/1.1 102 Processing\r\n\r\n"):rep(40),
    }
    local server <close>, url = raw(function(stream)
      local head = stream:read_until("\r\n\r\n")
      stream:write(answers[head:match("/(%a+) ")])
      stream:write(ok(read_body(stream, head)))
    end)
    local s <close> = http.session({expect = true})
    assert.equal("abc", assert(s:post(url .. "/hints", {body = "abc"})).body)
    for _, expect in ipairs({true, false}) do
      local res, err = s:post(url .. "/flood", {body = "abc", expect = expect})
      assert.is_nil(res)
      assert.equal("EPROTO", err.code)
      assert.matches("interim", err.message)
      is_idle(s, 0)
    end
    server:close()
  end)

  it("over TLS, and to our own server", function()
    local server <close> = assert(http.serve("127.0.0.1:0", function(req) return req.body end))
    local s <close> = http.session({expect = true})
    for _, body in ipairs({"abc", ("x"):rep(3 << 20)}) do
      assert.is_true(body == assert(s:post("http://" .. server:address(), {body = body})).body)
    end
    is_idle(s, 1)
    server:close()
  end)

  it("a listener that never answers: connect is not the phase", function()
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local s <close> = http.session({expect = true})
    local res, err = s:post("http://" .. listener:address(), {body = "x", timeout = 0.05})
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("read", err.op)
  end)
end)
