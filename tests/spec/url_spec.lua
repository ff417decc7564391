-- SPDX-License-Identifier: MIT
-- corun.url by itself: the fields, joining, building, queries, percent-coding, what is refused.
-- That it parses as the standard says is shown in url_peers_spec.
local corun = require "corun"
local url = require "corun.url"

local function raised(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  return tostring(message)
end

-- The fields of a parsed URL as a plain table.
local function fields(u)
  local t = {}
  for k, v in pairs(u) do t[k] = v end
  return t
end

describe("url.parse", function()
  it("gives the parts, and nothing for those that are not there", function()
    local cases = {
      ["http://h"] = {scheme = "http", host = "h", path = "/"},
      ["HTTPS://Me:Se:cret@EXAMPLE.com:8443/a/b?q=1#f"] = {
        scheme = "https", user = "Me", password = "Se%3Acret", host = "example.com", port = 8443,
        path = "/a/b", query = "q=1", fragment = "f",
      },
      ["http://h:80/?#"] = {scheme = "http", host = "h", path = "/", query = "", fragment = ""},
      ["http://:p@h/"] = {scheme = "http", user = "", password = "p", host = "h", path = "/"},
      ["http://u:@h/"] = {scheme = "http", user = "u", host = "h", path = "/"},
      ["http://[::1]:81/"] = {scheme = "http", host = "::1", port = 81, path = "/"},
      ["mailto:a@b?subject=x"] = {scheme = "mailto", path = "a@b", query = "subject=x"},
      ["file:///etc/passwd"] = {scheme = "file", host = "", path = "/etc/passwd"},
      ["redis://h:6379"] = {scheme = "redis", host = "h", port = 6379, path = ""},
      ["web+x:/..//p"] = {scheme = "web+x", path = "//p"},
    }
    for text, expected in pairs(cases) do
      assert.same(expected, fields(assert(url.parse(text))), text)
    end
    assert.equal("web+x:/.//p", tostring(url.parse("web+x:/..//p")))
  end)

  it("normalises", function()
    local cases = {
      {" http://h/a \n", "http://h/a"}, {"ht\ntp://h\t/", "http://h/"},
      {"http:\\\\h\\a", "http://h/a"}, {"http:h", "http://h/"}, {"http:////h", "http://h/"},
      {"http://h/a/./b/../c", "http://h/a/c"}, {"http://h/%2e%2E/x", "http://h/x"},
      {"http://0x7f.1/", "http://127.0.0.1/"}, {"http://017700000001", "http://127.0.0.1/"},
      {"http://2130706433", "http://127.0.0.1/"}, {"http://[1:0:0:2::3]", "http://[1:0:0:2::3]/"},
      {"http://[::FFFF:1.2.3.4]", "http://[::ffff:102:304]/"},
      {"http://h/é?é#é", "http://h/%C3%A9?%C3%A9#%C3%A9"}, {"http://h/\255", "http://h/%FF"},
      {"http://h/?a'b", "http://h/?a%27b"}, {"foo://h/?a'b", "foo://h/?a'b"},
      {"http://MÜNCHEN.de", "http://xn--mnchen-3ya.de/"},
      {"http://faß.de", "http://xn--fa-hia.de/"}, {"http://日本語。jp", "http://xn--wgv71a119e.jp/"},
      {"http://%65x.com", "http://ex.com/"}, {"file:c:\\x", "file:///c:/x"},
      {"file://localhost/x", "file:///x"},
    }
    for _, c in ipairs(cases) do assert.equal(c[2], tostring(assert(url.parse(c[1])))) end
  end)

  it("differs from node 20: the standard of 2025 encodes ^, IDNA 2008 has no symbols", function()
    assert.equal("http://h/%5E", tostring(url.parse("http://h/^")))
    local u, err = url.parse("http://☕.de/")
    assert.is_nil(u)
    assert.equal("EURL", err.code)
    assert.equal("data:x  ?q", tostring(url.parse("data:x  ?q")))
  end)

  it("says why a text is no URL", function()
    local cases = {
      {"", "a scheme"}, {"x", "a scheme"}, {"//h", "a scheme"}, {"http:", "host is missing"},
      {"http://", "host is missing"}, {"http://u@/", "host is missing"},
      {"http://:80", "host is missing"}, {"http://h:x", "port is not a number"},
      {"http://h:65536", "port is not in range"}, {"http://a b", "character that is not allowed"},
      {"http://a%2fb", "character that is not allowed"}, {"http://1.2.3.256", "IPv4"},
      {"http://1.2.3.4.5", "IPv4"}, {"http://[::1", "IPv6"}, {"http://[1::2::3]", "IPv6"},
      {"http://\255", ""}, {"foo://a b", "not allowed"},
      {"http://" .. ("ü"):rep(300), "longer than 255"}, {"http://a%00ü", "no domain name"},
    }
    for _, c in ipairs(cases) do
      local u, err = url.parse(c[1])
      assert.is_nil(u, c[1])
      assert.equal("EURL", err.code)
      assert.equal("parse URL", err.op)
      assert.matches(c[2], err.message, nil, true)
    end
    local _, err = url.parse("ht tp://\n\0")
    assert.equal("ht tp://\\x0A\\x00", err.target)
    _, err = url.parse("x", "mailto:y")
    assert.matches("nothing can be relative to the base", err.message)
    _, err = url.parse("x", "y")
    assert.equal("y", err.target)
  end)

  it("takes a text or a parsed URL as base", function()
    local base = url.parse("http://h/a/b")
    assert.equal("http://h/a/x", tostring(url.parse("x", base)))
    assert.equal("http://h/a/x", tostring(url.parse("x", "http://h/a/b")))
    assert.matches("string or URL expected", raised(url.parse, "x", {}))
    assert.matches("string or URL expected", raised(url.parse, "x", true))
    assert.matches("string expected", raised(url.parse))
    assert.matches("string expected", raised(url.parse, 1))
  end)

  it("parts can be changed", function()
    local u = url.parse("http://h:81/a?b#c")
    u.host, u.port, u.path, u.query, u.fragment = "::1", nil, "/x y", nil, nil
    assert.equal("http://[::1]/x%20y", tostring(u))
    u.host, u.port, u.query = "\u{e9}.de", 81, {a = "b"}
    assert.equal("http://xn--9ca.de:81/x%20y?a=b", tostring(u))
    u.host = nil
    assert.matches("the URL cannot be written: it has a user, .* and no host", raised(tostring, u))
  end)

  it("none that was changed becomes a part of another one", function()
    local function changed(name, value)
      local u = url.parse("http://u:p@good.com:81/a?b#c")
      u[name] = value
      return raised(tostring, u)
    end
    for _, host in ipairs{"evil.com/x", "evil.com@good.com", "x?y", "x#z", "x\\y", "a b", "a\nb",
      "[::1]", "[x", "a:81", "x:81", "a%2fb", "a<b"} do
      assert.matches("^tests/spec/url_spec.lua:%d+: the URL cannot be written: the host",
        changed("host", host))
    end
    for _, port in ipairs{70000, -1, 1.5} do
      assert.matches("the port is not in range", changed("port", port))
    end
    assert.matches("the scheme has another character", changed("scheme", "x y"))
    assert.matches("the URL cannot be written: it has no scheme", changed("scheme", nil))
    assert.matches("the port of a URL must be a number, got string", changed("port", "80/x"))
    assert.matches("the password of a URL must be a string, got number", changed("password", 5))
    assert.matches("the query of a URL must be a string or a table, got boolean",
      changed("query", true))
    assert.matches("url.join needs a base that is a string or a URL, got table",
      raised(url.join, {}, "x"))
  end)

  it("takes long texts, and many", function()
    local long = ("a/../"):rep(200000)
    assert.equal("http://h/", tostring(url.parse("http://h/" .. long)))
    local deep = "http://h/" .. ("a/"):rep(200000)
    assert.equal(deep, tostring(url.parse(deep)))
    assert.equal("http://h/" .. ("%20"):rep(100000) .. "x",
      tostring(url.parse("http://h/" .. (" "):rep(100000) .. "x")))
    assert.equal("http://h/x", tostring(url.parse("http://h/" .. ("../"):rep(100000) .. "x")))
    assert.equal("http://" .. ("a"):rep(70000) .. "/",
      tostring(url.parse("http://" .. ("A"):rep(70000))))
    for n = 480, 520 do
      local path = ("\t é"):rep(n // 4)
      assert.equal("http://h/" .. ("%20%C3%A9"):rep(n // 4),
        tostring(url.parse("http://h/" .. path)))
    end
  end)
end)

describe("url.join", function()
  it("resolves the examples of RFC 3986", function()
    local cases = {
      ["g:h"] = "g:h", g = "http://a/b/c/g", ["./g"] = "http://a/b/c/g", ["g/"] = "http://a/b/c/g/",
      ["/g"] = "http://a/g", ["//g"] = "http://g/", ["?y"] = "http://a/b/c/d;p?y",
      ["g?y"] = "http://a/b/c/g?y", ["#s"] = "http://a/b/c/d;p?q#s", ["g#s"] = "http://a/b/c/g#s",
      ["g?y#s"] = "http://a/b/c/g?y#s", [";x"] = "http://a/b/c/;x", ["g;x"] = "http://a/b/c/g;x",
      [""] = "http://a/b/c/d;p?q", ["."] = "http://a/b/c/", ["./"] = "http://a/b/c/",
      [".."] = "http://a/b/", ["../"] = "http://a/b/", ["../g"] = "http://a/b/g",
      ["../.."] = "http://a/", ["../../g"] = "http://a/g", ["../../../g"] = "http://a/g",
      ["/./g"] = "http://a/g", ["g."] = "http://a/b/c/g.", ["..g"] = "http://a/b/c/..g",
      ["./../g"] = "http://a/b/g", ["g/../h"] = "http://a/b/c/h", ["g;x=1/../y"] = "http://a/b/c/y",
      ["g?y/../x"] = "http://a/b/c/g?y/../x",
    }
    for reference, expected in pairs(cases) do
      assert.equal(expected, url.join("http://a/b/c/d;p?q", reference))
    end
  end)

  it("fails as parse does, and misuse raises", function()
    assert.equal("EURL", select(2, url.join("nothing", "x")).code)
    assert.equal("EURL", select(2, url.join("http://h", "http://h:x")).code)
    assert.matches("url_spec.lua:%d+: url.join needs a reference",
      raised(function() url.join("http://h") end))
    assert.matches("url.join needs a base", raised(function() url.join(nil, "x") end))
    assert.equal("http://h/x", url.join(url.parse("http://h/y"), "x"))
  end)
end)

describe("url.build", function()
  it("makes a URL of parts, encoding what cannot stand there", function()
    local cases = {
      {{scheme = "http", host = "h"}, "http://h/"},
      {{scheme = "HTTPS", host = "H", port = 443, path = "x"}, "https://h/x"},
      {{scheme = "https", host = "::1", port = 8443}, "https://[::1]:8443/"},
      {{scheme = "http", user = "a@b", password = "c:d/", host = "h"}, "http://a%40b:c%3Ad%2F@h/"},
      {{scheme = "http", host = "h", path = "/a b?c#d\\e%20\n"},
        "http://h/a%20b%3Fc%23d%5Ce%20%0A"},
      {{scheme = "http", host = "h", query = {b = 2, a = "x y"}}, "http://h/?a=x+y&b=2"},
      {{scheme = "http", host = "h", query = "a b'#", fragment = "x y"},
        "http://h/?a%20b%27%23#x%20y"},
      {{scheme = "http", host = "münchen.de"}, "http://xn--mnchen-3ya.de/"},
      {{scheme = "mailto", path = "a@b?c", query = "subject=x"}, "mailto:a@b%3Fc?subject=x"},
      {{scheme = "foo", path = "//x"}, "foo:/.//x"},
      {{scheme = "foo", host = "", path = "x"}, "foo:///x"},
      {{scheme = "file", path = "/etc/x"}, "file:///etc/x"},
      {{scheme = "redis", host = "h"}, "redis://h"},
    }
    for _, c in ipairs(cases) do assert.equal(c[2], url.build(c[1])) end
  end)

  it("lets no part break out of its place", function()
    for _, host in ipairs{"h/x", "h?x", "h#x", "u@h", "h\\x", "h x", "h\n", "[::1]", "h:80",
      "a%2fb", ""} do
      local s, err = url.build{scheme = "http", host = host}
      assert.is_nil(s, host)
      assert.equal("EURL", err.code)
    end
    assert.equal("http://u%2F:p%40@h/", url.build{scheme = "http", user = "u/", password = "p@",
      host = "h"})
    assert.equal("EURL", select(2, url.build{scheme = "a b", host = "h"}).code)
    assert.equal("EURL", select(2, url.build{scheme = "http", host = "h", port = 65536}).code)
    assert.equal("EURL", select(2, url.build{scheme = "http", host = "h", port = 1.5}).code)
  end)

  it("misuse raises in the caller's line", function()
    assert.matches('url_spec.lua:%d+: unknown option "hots" for url.build %(did you mean "host"',
      raised(function() url.build{scheme = "http", hots = "h"} end))
    assert.matches("needs a scheme", raised(url.build, {host = "h"}))
    assert.matches("needs a table", raised(url.build, "x"))
    assert.matches('"port" for url.build must be a number', raised(url.build, {scheme = "x",
      port = "1"}))
    assert.matches("needs a host", raised(url.build, {scheme = "x", port = 1}))
  end)
end)

describe("url.query", function()
  it("builds in a stable order, by the rules of forms", function()
    assert.equal("a=1&b=x+y&c=true", url.query{c = true, b = "x y", a = 1})
    assert.equal("a=1&a=2", url.query{a = {1, 2}, none = {}})
    assert.equal("b=1&a=2&b=3", url.query{{"b", 1}, {"a", 2}, {"b", 3}})
    assert.equal("%26%3D=%2B%25%C3%A9*-._%7E%0D%0A", url.query{["&="] = "+%é*-._~\r\n"})
    assert.equal("", url.query{})
    assert.equal("=", url.query{[""] = ""})
  end)

  it("parses: the first of each name, and all in order", function()
    local values, list = url.query("?a=1&b=x+y&a=%32&c&=d&&e=%3D=%zz")
    assert.same({a = "1", b = "x y", c = "", [""] = "d", e = "==%zz"}, values)
    assert.same({{"a", "1"}, {"b", "x y"}, {"a", "2"}, {"c", ""}, {"", "d"}, {"e", "==%zz"}}, list)
    assert.same({{}, {}}, {url.query("")})
    assert.equal("a=1&b=x+y&a=2&c=&=d&e=%3D%3D%25zz", url.query(list))
  end)

  it("misuse raises", function()
    assert.matches('query value "a" must be a string, a number', raised(url.query, {a = print}))
    assert.matches('query value "a" must be', raised(url.query, {a = {{}}}))
    assert.matches("names in a query must be strings, got number", raised(url.query, {"a"}))
    assert.matches("names in a query must be strings, got nil", raised(url.query, {{}}))
    assert.matches("list of {name, value}, got string", raised(url.query, {{"a", 1}, "b"}))
    assert.matches("needs a table or a string, got nil", raised(url.query))
  end)

  it("drops nothing of what it is given", function()
    assert.matches('query value "a" must be a list, got the key b',
      raised(url.query, {a = {b = 1}, c = "x"}))
    assert.matches('query value "a" must be a list, got the key n',
      raised(url.query, {a = {1, n = 1}}))
    assert.matches('query value "a" must be a list', raised(url.query, {a = {1, nil, 3}}))
    assert.matches('the pair of "a" in a query has 2 values', raised(url.query, {{"a", 1, 2}}))
    assert.matches('the pair of "a" in a query must be a list',
      raised(url.query, {{"a", 1, b = 2}}))
    assert.matches("a query of pairs must be a list, got the key b",
      raised(url.query, {{"a", 1}, b = 2}))
  end)
end)

describe("url.encode", function()
  it("encodes for each place, and decode gives it back", function()
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    all = table.concat(all)
    for _, set in ipairs{"component", "path", "query", "fragment", "userinfo", "form"} do
      local s = url.encode(all, set)
      assert.equal(all, url.decode(s, set == "form" and "form" or nil))
      assert.is_nil(s:find("[^\33-\126]"))
    end
    assert.equal("a%20b%2Fc%3F%25%2A~", url.encode("a b/c?%*~"))
    assert.equal("/a%20b/c%3F%25", url.encode("/a b/c?%", "path"))
    assert.equal("a+b%2B%2F*%7E", url.encode("a b+/*~", "form"))
    assert.equal("x y", url.decode("x+y", "form"))
    assert.equal("x+y%", url.decode("x+y%"))
    assert.equal("%zz%4", url.decode("%zz%4"))
    assert.matches("invalid option 'pth'", raised(url.encode, "x", "pth"))
    assert.matches("string expected", raised(url.encode))
    assert.matches("string expected", raised(url.decode, 1))
  end)
end)

describe("corun.url", function()
  it("is a field of corun", function()
    assert.equal(url, corun.url)
  end)
end)
