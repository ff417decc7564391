-- SPDX-License-Identifier: MIT
-- Texts of a peer that a pattern would try anew at each of their bytes, as long runs of blanks are.
-- Each is read in a time that grows as its length does, so that nobody else waits for long.

local cache_control = require("corun.http_cache_control")
local deflate = require("corun.http_websocket_deflate")
local http = require("corun.http")
local parts = require("corun.http_parts")
local process = require("corun.process")
local retry_after = require("corun.http_retry_after")
local secrets = require("corun.http_secrets")
local set_cookie = require("corun.http_set_cookie")
local websocket = require("corun.http_websocket")

local BLANKS = (" "):rep(200000) -- for which a pattern takes 20,000,000,000 steps

-- What fn gives; the processor time that it took must be short, also with a sanitizer.
local function quick(fn, ...)
  local began = os.clock()
  local got = table.pack(fn(...))
  local seconds = os.clock() - began
  assert(seconds < 4, ("it took %.1f s"):format(seconds))
  return table.unpack(got, 1, got.n)
end

describe("read in linear time:", function()
  it("cookies", function()
    assert.same({a = "y" .. BLANKS .. "x"}, quick(set_cookie.parse, "a=y" .. BLANKS .. "x"))
    assert.same({a = "x"}, quick(set_cookie.parse, BLANKS .. "a" .. BLANKS .. "=" .. BLANKS .. "x"))
    assert.same({}, quick(set_cookie.parse, "a" .. BLANKS .. "b=c"))
    local names = secrets.names(nil)
    assert.equal("a=REDACTED", quick(secrets.header, names, "set-cookie", "a=y" .. BLANKS .. "x"))
  end)

  it("what a WebSocket is offered, and told", function()
    assert.is_nil(quick(deflate.accept, true, "permessage-deflate; a=y" .. BLANKS .. "x"))
    assert.is_nil(quick(deflate.accept, true, "permessage-deflate; a=" .. BLANKS .. "x"))
    assert.is_nil(quick(deflate.accept, true, "y" .. BLANKS .. "x"))
    assert.is_table(quick(deflate.accept, true, "permessage-deflate" .. BLANKS .. ";" .. BLANKS ..
      "server_max_window_bits" .. BLANKS .. "=" .. BLANKS .. '"12"' .. BLANKS))
    local res = {headers = {upgrade = "y" .. BLANKS .. "x"}, url = "ws://h/"}
    local _, err = quick(websocket.adopt_client, nil, res, "key", {})
    assert.equal("EPROTO", err.code)
  end)

  it("the head of a part of a form, and what follows the last", function()
    local pieces = {"--b\r\ncontent-disposition: form-data; name=a\r\nx: y" .. BLANKS ..
      "z\r\n\r\n1\r\n--b--"}
    for i = 2, 200 do pieces[i] = BLANKS end
    local at = 0
    local reader = parts.new(function()
      at = at + 1
      return pieces[at]
    end, "b", 1 << 20, "form")
    quick(function()
      assert.is_nil(reader:piece())
      assert.equal("y" .. BLANKS .. "z", reader:next().headers.x)
      assert.equal("1", reader:piece())
      assert.is_nil(reader:piece())
      assert.is_nil(reader:next())
    end)
  end)

  it("the names of files in a form", function()
    local server <close> = assert(http.serve("127.0.0.1:0", function(req)
      local form = assert(quick(req.form, req))
      return form[1].filename .. #form
    end))
    local form = {}
    for i = 1, 100 do form[i] = {"f", {data = "", filename = ("a"):rep(7000) .. "/b"}} end
    local s <close> = http.session()
    local res = assert(s:post("http://" .. server:address(), {multipart = form}))
    assert.equal("b100", res.body)
    server:close()
  end)

  it("Retry-After, and the items that Vary compares", function()
    assert.is_nil(quick(retry_after, ("1"):rep(200000) .. "x"))
    assert.is_nil(quick(retry_after, "1" .. BLANKS .. "x"))
    assert.equal(2.5, quick(retry_after, BLANKS .. "2.5" .. BLANKS))
    assert.equal('a: "x, y, , z"', quick(cache_control.vary_key,
      {headers = {a = "x" .. BLANKS .. "," .. BLANKS .. "y,,z" .. BLANKS}}, "a"))
    quick(cache_control.vary_key, {headers = {a = "x" .. BLANKS .. "y"}}, "a")
  end)

  it("URLs that secrets are looked for in", function()
    local text = ("?"):rep(200000)
    assert.equal(text, quick(secrets.urls, secrets.names(nil), text))
  end)

  it("the last words of a process", function()
    local _, err = quick(process.run, {"sh", "-c", "printf 'y%200000sx' >&2; exit 1"},
      {check = true})
    assert.matches(" x %(EEXIT%)$", tostring(err))
  end)
end)
