-- SPDX-License-Identifier: MIT
-- Server-sent events as a loop: what comes, when it connects again and with which id, where it
-- ends, what it refuses.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local STREAM = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n%s\r\n"
local ENDED = "HTTP/1.1 204 No Content\r\n\r\n"
local SOON = "retry: 0\n" -- the least pause there is

-- A stream that is cut by the close of its connection.
local function stream(text, extra)
  return STREAM:format("connection: close\r\n" .. (extra or "")) .. text
end

-- A server that answers the nth request with the nth of these, a string or a function(stream), and
-- the heads it got.
local function script(...)
  local answers, heads = {...}, {}
  local server, url = support.raw(function(s)
    while true do
      local head, body = support.read_request(s)
      if not head then return end
      heads[#heads + 1] = head
      heads.body = body
      local answer = answers[#heads] or ENDED
      if type(answer) == "function" then return answer(s) end
      if not s:write(answer) or answer:find("connection: close", 1, true) then return end
    end
  end)
  return server, url, heads
end

-- All events of a loop, and what it raised.
local function collect(...)
  local list, args = {}, table.pack(...)
  local ok, err = pcall(function()
    for e in table.unpack(args, 1, args.n) do list[#list + 1] = e end
  end)
  return list, not ok and err or nil
end

-- The same in a session of its own.
local function events_of(url, o)
  local s <close> = http.session()
  return collect(s:events(url, o))
end

local function datas(list)
  local out = {}
  for i, e in ipairs(list) do out[i] = e.data end
  return table.concat(out, " ")
end

describe("http.events", function()
  it("gives events as they come, connects again behind the last id, ends with 204", function()
    local server <close>, url, heads = script(
      stream(SOON .. "data: a\n\nid: 7\nevent: b\ndata: b\n\nid: 8\ndata: never"),
      stream("data: c\n\n", "content-length: 9\r\n"))
    local s <close> = http.session()
    local list, err = collect(s:events(url .. "/x", {headers = {["X-A"] = "1"}}))
    assert.is_nil(err)
    assert.same({{event = "message", data = "a"}, {event = "b", data = "b", id = "7"},
      {event = "message", data = "c", id = "7"}}, list)
    assert.equal(3, #heads)
    assert.not_matches("last%-event%-id", heads[1])
    for i = 2, 3 do assert.matches("\r\nlast%-event%-id: 7\r\n", heads[i]) end
    for _, head in ipairs(heads) do
      assert.matches("^GET /x ", head)
      assert.matches("\r\naccept: text/event%-stream\r\n", head)
      assert.matches("\r\ncache%-control: no%-store\r\n", head)
      assert.matches("\r\nX%-A: 1\r\n", head)
    end
    assert.equal(0, s.pool.active)
    server:close()
  end)

  it("an event is there before the next one is sent", function()
    local next = corun.event()
    local server <close>, url = script(function(s)
      s:write(STREAM:format(""), "data: 1\n\n")
      next:wait()
      s:write("data: 2\n\n", SOON)
    end)
    local list = {}
    local s <close> = http.session()
    for e in s:events(url) do
      list[#list + 1] = e.data
      next:set()
    end
    assert.same({"1", "2"}, list)
    server:close()
  end)

  it("waits as long as the server asks before it connects again", function()
    local server <close>, url = script(stream("retry: 400\ndata: 1\n\n"), ENDED)
    local began = corun.now()
    assert.equal("1", datas(events_of(url)))
    assert.is_true(corun.now() - began >= 0.4)
    server:close()
  end)

  it("tries again while the server is away, as retries say", function()
    local away = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"
    local server <close>, url, heads = script(stream(SOON .. "data: 1\n\n"), away, away,
      stream("data: 2\n\n"))
    local list, err = events_of(url, {retries = {tries = 3, min = 0.01}})
    assert.is_nil(err)
    assert.equal("1 2", datas(list))
    assert.equal(5, #heads)
    server:close()
  end)

  it("raises what the last try failed with", function()
    local server <close>, url = script(stream(SOON .. "data: 1\n\n"),
      "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n")
    local list, err = events_of(url, {retries = 0})
    assert.equal("1", datas(list))
    assert.equal("EHTTP", err.code)
    assert.equal(503, err.status)
    server:close()
    list, err = events_of(url)
    assert.same({}, list)
    assert.equal("ECONNREFUSED", err.code)
  end)

  it("silence is a cut", function()
    local server <close>, url, heads = script(function(s)
      s:write(STREAM:format(""), SOON, "id: 1\ndata: 1\n\n")
      s:recv({timeout = 30})
    end)
    assert.equal("1", datas(events_of(url, {timeout = {read = 0.1}})))
    assert.matches("last%-event%-id: 1", heads[2])
    server:close()
  end)

  it("refuses what is no stream of events", function()
    local cases = {
      {"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi", "EPROTO",
        "the answer is no text/event-stream: text/html"},
      {"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "EPROTO", "nothing said"},
      {"HTTP/1.1 200 OK\r\ncontent-type: text/event-streams\r\ncontent-length: 0\r\n\r\n",
        "EPROTO"},
      {"HTTP/1.1 201 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 0\r\n\r\n", "EHTTP",
        "the server answered 201"},
      {"HTTP/1.1 404 X\r\ncontent-type: text/event-stream\r\ncontent-length: 2\r\n\r\nhi", "EHTTP"},
    }
    for _, c in ipairs(cases) do
      local server <close>, url, heads = script(c[1])
      local s <close> = http.session()
      local list, err = collect(s:events(url))
      assert.same({}, list)
      assert.equal(c[2], err.code, c[1])
      assert.matches(c[3] or "", tostring(err), 1, true)
      assert.equal(1, #heads)
      assert.equal(0, s.pool.active)
      server:close()
    end
  end)

  it("the type is read in any case, with parameters", function()
    local server <close>, url = script(
      "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream;charset=x\r\nconnection: close\r\n\r\n"
      .. SOON .. "data: 1\n\n")
    assert.equal("1", datas(events_of(url)))
    server:close()
  end)

  it("bounds an event, after those before it", function()
    local server <close>, url, heads = script(
      stream("data: 1\n\ndata: " .. ("x"):rep(200) .. "\n\n"))
    local s <close> = http.session()
    local list, err = collect(s:events(url, {max = 100}))
    assert.equal("1", datas(list))
    assert.equal("EMSGSIZE", err.code)
    assert.equal(1, #heads)
    assert.equal(0, s.pool.active)
    server:close()
  end)

  -- A server that sends an event and waits until the client has closed.
  local function endless()
    local closed = corun.event()
    local server, url = script(function(s)
      s:write(STREAM:format(""), "data: 1\n\n")
      assert.is_nil(s:recv({timeout = 10}))
      closed:set()
    end)
    return server, url, closed
  end

  it("break closes the connection", function()
    local server <close>, url, closed = endless()
    local s <close> = http.session()
    for e in s:events(url) do
      if e.data == "1" then break end
    end
    closed:wait()
    assert.equal(0, s.pool.open)
    server:close()
  end)

  it("a cancelled loop closes the connection, while it waits for an event or a pause", function()
    local server <close>, url, closed = endless()
    local s <close> = http.session()
    local got = corun.event()
    local t = corun.async(function()
      for _ in s:events(url) do got:set() end
    end)
    got:wait()
    t:cancel()
    local _, err = t:await()
    assert.equal("ECANCELED", err.code)
    closed:wait()
    assert.equal(0, s.pool.open)
    server:close()
    local other <close>, other_url = script(stream("retry: 60000\ndata: 1\n\n"))
    local value, why = corun.timeout(0.2, function()
      for _ in s:events(other_url) do end
    end)
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", why.code)
    assert.equal(0, s.pool.active)
    other:close()
  end)

  it("close ends a loop that another task is in; a second task may not wait", function()
    local server <close>, url = endless()
    local s <close> = http.session()
    local next = s:events(url)
    assert.equal("1", next().data)
    corun.scope(function(scope)
      local t = support.blocked(scope, next)
      local ok, err = pcall(next)
      assert.is_false(ok)
      assert.equal("EBUSY", err.code)
      next:close()
      assert.is_nil(t:await())
    end)
    assert.is_nil(next())
    server:close()
  end)

  it("another method than GET is sent once", function()
    local server <close>, url, heads = script(stream("data: 1\n\n"),
      STREAM:format("content-length: 50\r\nconnection: close\r\n") .. "data: 2\n\n")
    local list, err = events_of(url, {method = "POST", json = {a = 1}})
    assert.is_nil(err)
    assert.equal("1", datas(list))
    assert.matches("^POST ", heads[1])
    assert.equal('{"a":1}', heads.body)
    list, err = events_of(url, {method = "POST", body = ""})
    assert.equal("2", datas(list))
    assert.equal("EOF", err.code)
    assert.equal(2, #heads)
    server:close()
  end)

  it("begins behind an id; one that no header can carry is not sent", function()
    local server <close>, url, heads = script(stream(SOON .. "id: a\1b\ndata: 1\n\n"))
    local list, err = events_of(url, {last_id = "5", headers = {["Last-Event-Id"] = 4}})
    assert.is_nil(err)
    assert.same({{event = "message", data = "1", id = "a\1b"}}, list)
    assert.matches("\r\nlast%-event%-id: 5\r\n", heads[1])
    assert.not_matches("Last%-Event%-Id: 4", heads[1])
    assert.not_matches("last%-event%-id", heads[2]:lower())
    server:close()
  end)

  it("speaks with a server of Node's", function()
    if not support.has("node") then return pending("node is not installed") end
    local peer = support.start("node", "-e", [[
const s = require("http").createServer((q, r) => {
  const id = Number(q.headers["last-event-id"] || 0);
  if (id >= 6) { r.writeHead(204); return r.end(); }
  r.writeHead(200, {"Content-Type": "text/event-stream"});
  r.write("retry: 10\n: hello\n\n");
  let n = id;
  const t = setInterval(() => {
    n++;
    const cut = n == 3 ? () => r.destroy() : undefined;
    r.write(`id: ${n}\nevent: tick\ndata: {"n":\ndata: ${n}}\n\n`, cut);
    if (n % 3 == 0) { clearInterval(t); if (!cut) r.end(); }
  }, 5);
});
s.listen(0, "127.0.0.1", () => console.log("port " + s.address().port));]])
    local _ <close> = corun.defer(peer.stop)
    local list, err = events_of(peer.url)
    assert.is_nil(err)
    assert.equal(6, #list)
    for i, e in ipairs(list) do
      assert.same({event = "tick", data = ('{"n":\n%d}'):format(i), id = tostring(i)}, e)
    end
  end)

  it("what it cannot take is misuse", function()
    for text, call in pairs({
      ["the URL must be a string"] = function() http.events(5) end,
      ['unknown option "strem"'] = function() http.events("http://h/", {strem = 1}) end,
      ['unknown option "stream"'] = function() http.events("http://h/", {stream = true}) end,
      ['option "max" for events'] = function() http.events("http://h/", {max = 0}) end,
      ['option "last_id" for events'] = function() http.events("http://h/", {last_id = "a\n"}) end,
    }) do
      local good, err = pcall(call)
      assert.is_false(good)
      assert.matches(text, err, 1, true)
      assert.matches("http_event_source_spec.lua:%d+: ", err)
    end
  end)
end)
