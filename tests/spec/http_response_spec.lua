-- SPDX-License-Identifier: MIT
-- What responses say beyond status, headers and body: links and text. The rules themselves are in
-- http_links_spec.lua and http_charset_spec.lua.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local ok, kept = support.ok, support.kept

-- A server that answers /NAME with bytes of a table; what closes it, and both kinds
-- of response of it.
local function serving(answers)
  local server, url = kept(function(head) return answers[head:match("^%S+ /(%w*)")] end)
  local s = http.session()
  local function both(name)
    return ipairs({assert(s:get(url .. "/" .. name)),
      assert(s:get(url .. "/" .. name, {stream = true}))})
  end
  return corun.defer(function()
    s:close()
    server:close()
  end), both, url
end

describe("http response links", function()
  it("are resolved against the URL that answered, by name and in order", function()
    local _ <close>, both, url = serving({
      moved = "HTTP/1.1 302 Found\r\nlocation: /deep/page?n=1\r\ncontent-length: 0\r\n\r\n",
      deep = ok("", "link: <?n=2>; rel=next\r\nLink: </>; rel=\"first up\"; title=a\r\n"),
      none = ok(""),
      bad = ok("", "link: no link\r\n"),
    })
    for _, res in both("moved") do
      assert.equal(url .. "/deep/page?n=2", res.links.next.url)
      assert.equal(url .. "/", res.links.first.url)
      assert.equal("a", res.links.up.title)
      assert.equal(3, #res.links)
      assert.equal(res.links, res.links)
    end
    for _, name in ipairs({"none", "bad"}) do
      for _, res in both(name) do assert.same({}, res.links) end
    end
  end)
end)

describe("http response text", function()
  it("is UTF-8 whatever the server sends", function()
    local function typed(body, charset)
      return ok(body, ("content-type: text/plain%s\r\n"):format(charset or ""))
    end
    local _ <close>, both = serving({
      latin = typed("\228\128", "; charset=ISO-8859-1"),
      mark = typed("\239\187\191ä", "; charset=latin1"),
      utf = typed("ä\255"),
      quoted = typed("\131n", '; a=b; Charset="Shift_JIS"'),
      bare = ok("ä"),
    })
    local expected = {latin = "ä€", mark = "ä", utf = "ä\u{FFFD}", quoted = "ハ", bare = "ä"}
    for name, text in pairs(expected) do
      for _, res in both(name) do assert.equal(text, assert(res:text())) end
    end
    for _, res in both("latin") do
      assert.equal("Д─", assert(res:text({charset = "koi8-r"})))
    end
  end)

  it("a charset that is not known is an error that names it and the URL", function()
    local _ <close>, both, url = serving({
      odd = ok("x", "content-type: text/plain; charset=x-odd\r\n"),
    })
    for _, res in both("odd") do
      local text, err = res:text()
      assert.is_nil(text)
      assert.equal("ECHARSET", err.code)
      assert.equal(url .. "/odd", err.target)
      assert.matches('"x-odd" is not known', err.message, 1, true)
    end
    for _, res in both("odd") do
      assert.equal("x", assert(res:text({charset = "utf-8"})))
    end
    for _, res in both("odd") do
      local good, message = pcall(res.text, res, {chraset = "utf-8"})
      assert.is_false(good)
      assert.matches("http_response_spec.lua:%d+: unknown option \"chraset\" for text", message)
      assert.is_false((pcall(res.text, res, "utf-8")))
      if res.close then res:close() end
    end
  end)

  it("of a streamed body is as long as is allowed", function()
    local _ <close>, both = serving({page = ok("12345")})
    local _, res = both("page")
    res = res[2]
    local text, err = res:text({max = 4})
    assert.is_nil(text)
    assert.equal("EMSGSIZE", err.code)
    res:close()
    _, res = both("page")
    assert.equal("12345", assert(res[2]:text({max = 5, charset = "latin1"})))
    assert.has_error(function() res[1]:text({max = 5}) end)
  end)

  it("of a streamed body that is cut is an error", function()
    local server <close>, url = support.canned("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
    local s <close> = http.session()
    local res <close> = assert(s:get(url, {stream = true}))
    local text, err = res:text()
    assert.is_nil(text)
    assert.equal("EOF", err.code)
    server:close()
  end)
end)
