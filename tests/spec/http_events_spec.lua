-- SPDX-License-Identifier: MIT
-- The parser of text/event-stream: the examples of the HTML Standard and what it leaves out of an
-- event, the same however the stream is cut, bounded.
local events = require "corun.http_events"

-- The events of a stream that comes in pieces of `n` bytes, and the parser.
local function parse(text, n, o)
  local p, all = events.parser(o), {}
  for at = 1, #text, n do
    local some, err = p:feed(text:sub(at, at + n - 1))
    for _, e in ipairs(some) do all[#all + 1] = e end
    if err then return all, p, err end
  end
  return all, p
end

local function message(data, id, event)
  return {event = event or "message", data = data, id = id}
end

local CASES = {
  {"data: x\n\n", {message "x"}},
  {"data: YHOO\ndata: +2\ndata: 10\n\n", {message "YHOO\n+2\n10"}},
  {": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
    {message("first event", "1"), message "second event", message " third event"}},
  {"data\n\ndata\ndata\n\ndata:", {message "", message "\n"}},
  {"data:test\n\ndata: test\n\n", {message "test", message "test"}},
  {"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
    {message("73857293", nil, "add"), message("2153", nil, "remove"),
      message("113411", nil, "add")}},
  {"data: a\rdata: b\r\ndata: c\n\r\n", {message "a\nb\nc"}},
  {"data: a\r\rdata: b\r\r", {message "a", message "b"}},
  {"data: a\r\n\r\ndata: b\r\n\r\n", {message "a", message "b"}},
  {"data: a\n\rdata: b\r\n\n", {message "a", message "b"}},
  {"\239\187\191data: a\n\n", {message "a"}},
  {"\239\187\191\239\187\191data: a\n\ndata: b\n\n", {message "b"}},
  {"\239\187data: a\n\ndata: b\n\n", {message "b"}},
  {"data: a\n", {}}, {"data: a", {}}, {"", {}}, {"\n\n\r\r\n", {}}, {"event: x\n\n", {}},
  {"event: x\n\ndata: a\n\n", {message "a"}}, {"event: x\nevent:\ndata: a\n\n", {message "a"}},
  {"id: 7\n\ndata: a\n\n", {message("a", "7")}},
  {"id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n", {message("a", "7"), message("b", "7")}},
  {"id: 7\ndata: a\n\nid\ndata: b\n\n", {message("a", "7"), message "b"}},
  {"Data: a\ndata : b\n data: c\nfoo: d\nfoo\ndata: e\n\n", {message "e"}},
  {"data: a:b: c\n\ndata::\n\n", {message "a:b: c", message ":"}},
  {"data: \t\0é\255\n\n", {message "\t\0é\255"}},
}

describe("http_events", function()
  it("makes events of streams, however they are cut", function()
    for _, c in ipairs(CASES) do
      for n = 1, #c[1] + 1 do
        assert.same(c[2], (parse(c[1], n)), ("%q by %d"):format(c[1], n))
      end
    end
  end)

  it("gives an event as soon as its last line has ended", function()
    local p = events.parser()
    assert.same({}, p:feed("data: a\n"))
    assert.same({message "a"}, p:feed("\r")) -- an LF that may follow belongs to it
    assert.same({}, p:feed(""))
    assert.same({}, p:feed("\ndata: b\r"))
    assert.same({}, p:feed("\n"))
    assert.same({message "b"}, p:feed("\ndata: c"))
    assert.same({message "c"}, p:feed("\n\n"))
  end)

  it("keeps the id for the next connection, once its event has ended", function()
    local _, p = parse("id: 1\ndata: a\n\nid: 2\ndata: b\n", 4)
    assert.equal("1", p.id)
    p:feed("\n")
    assert.equal("2", p.id)
    p:feed("id:\n\n")
    assert.equal("", p.id)
    local list = parse("data: a\n\n", 99, {id = "5"})
    assert.same({message("a", "5")}, list)
  end)

  it("takes retry as milliseconds, when it is a number", function()
    local cases = {{"retry: 1500", 1.5}, {"retry:0", 0}, {"retry: 1.5"}, {"retry: -1"},
      {"retry"}, {"retry: 1 "}, {"retry: 0x10"}, {"retry: " .. ("9"):rep(400), 86400}}
    for _, c in ipairs(cases) do
      local _, p = parse(c[1] .. "\n", 3)
      assert.equal(c[2], p.retry, c[1])
    end
  end)

  it("bounds lines and events, behind the events before them", function()
    local cases = {
      {"data: a\n\n" .. ("x"):rep(21), "a line"},
      {"data: a\n\n:" .. ("x"):rep(20) .. "\n", "a line"},
      {"data: a\n\ndata: 0123456789\ndata: 0123456789\n\n", "an event"},
      {"data: a\n\n" .. ("data\n"):rep(21) .. "\n", "an event"},
    }
    for _, c in ipairs(cases) do
      for _, n in ipairs{1, 2, 7, 1000} do
        local list, p, err = parse(c[1], n, {max = 20})
        assert.same({message "a"}, list)
        assert.equal("EMSGSIZE", err.code)
        assert.equal(("read events: %s of the event stream is longer than 20 bytes (EMSGSIZE)")
          :format(c[2]), tostring(err))
        assert.same({{}, err}, {p:feed("\n\ndata: b\n\n")})
      end
    end
    local enough = "data:012345678901234\n\n" .. ("data: \n"):rep(20) .. "\n"
    assert.equal(2, #(parse(enough, 5, {max = 20})))
    local long = ("x"):rep(1 << 20)
    assert.is_nil(select(3, parse(long, 4096)))
    assert.equal("EMSGSIZE", select(3, parse(long .. "x", 4096)).code)
  end)

  it("takes time in proportion to the stream, in pieces as small as a byte", function()
    local list = parse("data: " .. ("x"):rep(300000) .. "\n\n", 1)
    assert.equal(300000, #list[1].data)
    assert.equal(100000, #(parse(("data: x\n\n"):rep(100000), 65536)))
  end)
end)
