-- SPDX-License-Identifier: MIT
-- http.recorder where something fails, or is given up: what of it is recorded, and that it fails
-- the same way when it is replayed.

local corun = require("corun")
local support = require("tests.spec.support.http")
local recorder = require("tests.spec.support.recorder")

local ok, folder, with, offline = support.ok, recorder.folder, recorder.with, recorder.offline
local told, count = recorder.told, recorder.count

describe("http.recorder failures", function()
  -- A server whose nth answer is the nth of these; the last one again and again.
  local function script(...)
    local answers, n = {...}, 0
    return support.raw(function(stream)
      if not support.read_request(stream) then return end
      n = n + 1
      stream:write(answers[math.min(n, #answers)])
    end)
  end

  local SHORT = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort"

  it("of tries are recorded by record, so that retries take the same course", function()
    local _ <close>, path = folder()
    local server <close>, url = script("", "HTTP/1.1 2oo OK\r\n\r\n", SHORT, ok("well"))
    local dead = "http://127.0.0.1:" .. support.free_port()
    local function all(s)
      local list = {told(s:get(dead)), told(s:get(url)), told(s:get(url)), told(s:get(url)),
        told(s:get(url))}
      list[6] = told(s:get(url .. "/again", {retries = 2}))
      return list
    end
    local recorded = with(path, "record", all)
    assert.equal("ECONNREFUSED", recorded[1].code)
    assert.equal("EPROTO", recorded[3].code)
    assert.equal("EOF", recorded[4].code) -- a short body is never called whole
    assert.equal("well", recorded[5].body)
    server:close()
    assert.same(recorded, offline(path, all))
  end)

  it("of tries are not recorded by auto, which asks again", function()
    local _ <close>, path = folder()
    local server <close>, url = script(SHORT, SHORT, ok("well"))
    with(path, "auto", function(s)
      assert.equal("EOF", select(2, s:get(url)).code)
      local res = assert(s:get(url, {stream = true}))
      assert.equal("short", res:read(5))
      assert.equal("EOF", select(2, res:read("a")).code)
      res:close()
      assert.equal(0, count(path))
      assert.same({}, recorder.contents(path))
      assert.equal("well", assert(s:get(url)).body)
    end)
    server:close()
    offline(path, function(s) assert.equal("well", assert(s:get(url)).body) end)
  end)

  it("within a streamed body come after the bytes that had come", function()
    local _ <close>, path = folder()
    local server <close>, url = script(SHORT)
    local function all(s)
      local res = assert(s:get(url, {stream = true}))
      local first = res:read(5)
      local rest, err = res:read("a")
      res:close()
      return first, rest, tostring(err), err.code
    end
    local recorded = {with(path, "record", all)}
    assert.equal("short", recorded[1])
    assert.equal("EOF", recorded[4])
    server:close()
    assert.same(recorded, {offline(path, all)})
    assert.equal("EOF", offline(path, function(s) return select(2, s:get(url)).code end))
  end)

  it("of the script's own are not recorded: cancelled, closed, forgotten", function()
    local _ <close>, path = folder()
    local _ <close>, url = support.raw(function(stream)
      local head = support.read_request(stream)
      if head and head:find("/begun", 1, true) then
        stream:write("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbegun")
      end
      stream:read("a") -- until the client has gone
    end)
    with(path, "record", function(s)
      assert.is_false(recorder.files.cancelled(0.05, s.get, s, url))
      assert.is_false(recorder.files.cancelled(0.05, s.get, s, url .. "/begun"))
      corun.scope(function(scope)
        local t = support.blocked(scope, function() return s:get(url) end)
        s:close()
        assert.equal("ECLOSED", select(2, t:await()).code)
      end)
    end)
    with(path, "record", function(s)
      local res = assert(s:get(url .. "/begun", {stream = true}))
      assert.equal("begun", res:read(5))
      assert.is_nil(recorder.only(path, ".rec.json"))
      res = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
    end)
    assert.same({}, recorder.contents(path))
    with(path, "record", function(s) -- what was read before a time limit is
      corun.timeout(0.1, function()
        local res <close> = assert(s:get(url .. "/begun", {stream = true}))
        return res:read("a")
      end)
    end)
    local _, bytes = recorder.only(path, ".rec.body")
    assert.equal("begun", bytes)
    with(path, "record", function(s) -- or before its session was closed
      local res = assert(s:get(url .. "/begun", {stream = true}))
      assert.equal("begun", res:read(5))
      s:close()
      assert.equal("ECLOSED", select(2, res:read("a")).code)
    end)
    assert.matches('"cut": true', select(2, recorder.only(path, ".rec.json")))
    _, bytes = recorder.only(path, ".rec.body")
    assert.equal("begun", bytes)
    assert.equal(1, count(path))
  end)

  it("to write fail the request that is recorded", function()
    local _ <close>, path = folder()
    local _ <close>, url = support.kept(function() return ok("fine") end)
    with(path, "record", function(s)
      assert(s:get(url .. "/first"))
      assert(corun.fs.remove(path, {recursive = true}))
      recorder.files.put(path, "no directory")
      local res, err = s:get(url)
      assert.is_nil(res)
      assert.equal("ENOTDIR", err.code)
      res = assert(s:get(url, {stream = true}))
      local text
      text, err = res:read("a")
      assert.is_nil(text)
      assert.equal("ENOTDIR", err.code)
      res:close()
    end)
  end)
end)
