-- SPDX-License-Identifier: MIT
-- Which proxy a request goes through by the environment: curl's rules as a table, Python's urllib
-- beside it where it has the same.
local json = require "corun.json"
local process = require "corun.process"
local proxy_env = require "corun.http_proxy_env"

-- Run a Python function f(x) over each item of a list.
local function python(code, list)
  local main = code .. "\nimport json, sys\nsys.stdout.reconfigure(encoding='utf-8')\n" ..
    "print(json.dumps([f(x) for x in json.load(sys.stdin)]))\n"
  local res = assert(process.run({"python3", "-c", main}, {input = json.encode(list)}))
  assert(res.ok, res.stderr)
  return assert(json.decode(res.stdout))
end

local function proxy_for(env, scheme, host)
  local p, err = proxy_env.find(scheme, host or "h", scheme == "https" and 443 or 80,
    function(name) return env[name] end)
  assert.is_nil(err)
  return p and p.host
end

describe("http_proxy_env.parse", function()
  it("takes the URLs of proxies apart", function()
    local cases = {
      {"http://proxy:3128", {scheme = "http", host = "proxy", port = 3128}},
      {"proxy:3128", {scheme = "http", host = "proxy", port = 3128}},
      {"Proxy", {scheme = "http", host = "proxy", port = 80}},
      {"HTTPS://proxy", {scheme = "https", host = "proxy", port = 443}},
      {"socks5://127.0.0.1", {scheme = "socks5", host = "127.0.0.1", port = 1080}},
      {"socks5h://h:80/", {scheme = "socks5h", host = "h", port = 80}},
      {"https://h:80", {scheme = "https", host = "h", port = 80}},
      {"http://[::1]:8080/", {scheme = "http", host = "::1", port = 8080}},
      {"socks5://[fe80::A]", {scheme = "socks5", host = "fe80::a", port = 1080}},
      {"http://u:p%40%3a%25@h:1", {scheme = "http", host = "h", port = 1, user = "u",
        password = "p@:%"}},
      {"u:p@h:1", {scheme = "http", host = "h", port = 1, user = "u", password = "p"}},
      {"http://us%C3%A9r@h", {scheme = "http", host = "h", port = 80, user = "usér"}},
      {"http://a@b:c@d@h", {scheme = "http", host = "h", port = 80, user = "a@b",
        password = "c@d"}},
      {"http://münchen.de:1", {scheme = "http", host = "xn--mnchen-3ya.de", port = 1}},
    }
    for _, c in ipairs(cases) do assert.same(c[2], proxy_env.parse(c[1]), c[1]) end
  end)

  it("says what is wrong, and no password", function()
    local cases = {
      {"socks4://h", 'parse proxy socks4://h: a proxy is http, https, socks5 or socks5h, not '
        .. '"socks4" (EURL)'},
      {"ftp://u:secret@h", "parse proxy ftp://...@h: a proxy is http.*not \"ftp\""},
      {"://h", 'not ""'}, {"http://", "parse proxy http://: the host is missing"},
      {"http://u:secret@:80", "parse proxy http://...@:80: the host is missing"},
      {"http://u:secret@h:99999", "parse proxy http://...@h:99999: .*port"},
      {"http://u:secret/secret@h", "parse proxy http://...@h: "},
      {"http://h:0", "the port is not in range"}, {"http://h:x", "port"},
      {"u:secret\r\n@h", "parse proxy ...@h: a control character or space in it"},
      {"http://a b", "space"}, {"http://[::1", ""}, {"http://%00", ""},
    }
    for _, c in ipairs(cases) do
      local p, err = proxy_env.parse(c[1])
      assert.is_nil(p, c[1])
      assert.equal("EURL", err.code)
      local text = tostring(err)
      assert.is_nil(text:find("secret", 1, true))
      assert.is_truthy(text:find(c[2], 1, true) or text:find(c[2]), text)
    end
  end)
end)

describe("http_proxy_env.find", function()
  it("reads the variables in curl's order", function()
    assert.is_nil(proxy_for({}, "http"))
    assert.equal("a", proxy_for({http_proxy = "http://a:1"}, "http"))
    assert.is_nil(proxy_for({http_proxy = "http://a:1"}, "https"))
    assert.is_nil(proxy_for({HTTP_PROXY = "http://a:1"}, "http"))
    assert.equal("b", proxy_for({HTTP_PROXY = "http://a:1", all_proxy = "b"}, "http"))
    assert.equal("b", proxy_for({HTTPS_PROXY = "http://b:1"}, "https"))
    assert.equal("a", proxy_for({HTTPS_PROXY = "http://b:1", https_proxy = "a"}, "https"))
    assert.equal("b", proxy_for({HTTPS_PROXY = "http://b:1", https_proxy = ""}, "https"))
    assert.equal("c", proxy_for({ALL_PROXY = "socks5://c"}, "http"))
    assert.equal("c", proxy_for({ALL_PROXY = "socks5://c", http_proxy = ""}, "http"))
    assert.equal("d", proxy_for({ALL_PROXY = "c", all_proxy = "d"}, "https"))
    assert.is_nil(proxy_for({ALL_PROXY = "c", NO_PROXY = "h"}, "https"))
    assert.equal("c", proxy_for({ALL_PROXY = "c", NO_PROXY = "h", no_proxy = "x"}, "https"))
    assert.is_nil(proxy_for({ALL_PROXY = "nonsense://", NO_PROXY = "h"}, "https"))
    local p, err = proxy_env.find("http", "h", 80, function() return "nonsense://" end)
    assert.is_nil(p)
    assert.equal("EURL", err.code)
    assert.is_nil((proxy_env.find("http", "h", 80, function() return "" end)))
  end)

  it("finds what Python's urllib finds", function()
    local cases = {
      {http_proxy = "http://a:1"}, {https_proxy = "http://a:1"}, {HTTPS_PROXY = "http://b:1"},
      {https_proxy = "http://a:1", HTTPS_PROXY = "http://b:1"}, {http_proxy = "http://u:p@a:1"},
    }
    local theirs = python([[
import os, urllib.parse, urllib.request
def f(env):
    for k in list(os.environ):
        if k.lower().endswith("_proxy"): del os.environ[k]
    os.environ.update(env)
    found = urllib.request.getproxies()
    return {k: urllib.parse.urlsplit(v).hostname for k, v in found.items()}
]], cases)
    for i, env in ipairs(cases) do
      assert.equal(theirs[i].http, proxy_for(env, "http"), i)
      assert.equal(theirs[i].https, proxy_for(env, "https"), i)
    end
  end)
end)

describe("http_proxy_env.is_excepted", function()
  -- {list, host, port, expected}; "only here": Python's urllib sees it differently.
  local cases = {
    {"example.com", "example.com", 80, true}, {"example.com", "www.example.com", 80, true},
    {"example.com", "notexample.com", 80, false}, {"example.com", "example.com.org", 80, false},
    {".example.com", "example.com", 80, true}, {".example.com", "a.b.example.com", 80, true},
    {"EXAMPLE.com", "example.com", 80, true}, {"a, b ,c", "b", 80, true},
    {"a,b", "c", 80, false}, {"", "h", 80, false}, {",, ,", "h", 80, false},
    {"*", "anything", 80, true}, {"localhost,127.0.0.1", "127.0.0.1", 80, true},
    {"127.0.0.1", "127.0.0.2", 80, false}, {"h:8080", "h", 8080, true}, {"h:8080", "h", 80, false},
    {"h:8080,h:81", "h", 81, true}, {"example.com:81", "www.example.com", 81, true},
    {"a b", "b", 80, true, "only here"}, {"a,*", "x", 80, true, "only here"},
    {"*.example.com", "www.example.com", 80, true, "only here"},
    {"example.com.", "example.com", 80, true, "only here"},
    {"example.com", "example.com.", 80, true, "only here"},
    {"0.0.1", "127.0.0.1", 80, false, "only here"},
    {"10.0.0.0/8", "10.255.1.2", 80, true, "only here"},
    {"10.0.0.0/8", "11.0.0.1", 80, false}, {"10.1.2.3/31", "10.1.2.2", 80, true, "only here"},
    {"10.1.2.3/31", "10.1.2.4", 80, false}, {"192.168.0.0/20", "192.168.15.255", 80, true,
      "only here"},
    {"192.168.0.0/20", "192.168.16.0", 80, false}, {"0.0.0.0/0", "1.2.3.4", 80, true, "only here"},
    {"0.0.0.0/0", "h", 80, false}, {"0.0.0.0/0", "::1", 80, false, "only here"},
    {"1.2.3.4/33", "1.2.3.4", 80, false}, {"1.2.3.4/32", "1.2.3.4", 80, true, "only here"},
    {"h/8", "h", 80, false}, {"1.2.3.4/x", "1.2.3.4", 80, false},
    {"::1", "::1", 80, true, "only here"}, {"[::1]", "::1", 80, true, "only here"},
    {"[::1]:80", "::1", 80, true, "only here"}, {"[::1]:81", "::1", 80, false, "only here"},
    {"0:0::1", "::1", 80, true, "only here"}, {"FD00::/8", "fdff::1", 80, true, "only here"},
    {"fd00::/8", "fe00::1", 80, false, "only here"},
    {"2001:db8:1:2::/63", "2001:db8:1:3::9", 80, true, "only here"},
    {"2001:db8:1:2::/63", "2001:db8:1:4::9", 80, false, "only here"},
    {"::/0", "1:2:3:4:5:6:7:8", 80, true, "only here"}, {"[::1", "::1", 80, false, "only here"},
    {"münchen.de", "xn--mnchen-3ya.de", 80, true, "only here"}, {"@", "h", 80, false},
    {"u@h", "h", 80, false}, {"://", "h", 80, false}, {"%zz", "h", 80, false},
    {"h/path", "h", 80, false}, {".", "h", 80, false}, {"h:", "h", 80, false},
    {"h:99999999999999999999", "h", 80, false},
  }

  it("takes domains, addresses, nets, ports and *", function()
    for _, c in ipairs(cases) do
      assert.equal(c[4], proxy_env.is_excepted(c[1], c[2], c[3]), c[1] .. " has " .. c[2])
    end
  end)

  it("agrees with Python's urllib where that knows the form", function()
    local list = {}
    for _, c in ipairs(cases) do
      if not c[5] then
        local port = c[3] == 80 and "" or ":" .. c[3]
        list[#list + 1] = {no = c[1], host = c[2] .. port, ours = c[4]}
      end
    end
    local theirs = python([[
import urllib.request
def f(x):
    return bool(urllib.request.proxy_bypass_environment(x["host"], {"no": x["no"]}))
]], list)
    for i, c in ipairs(list) do assert.equal(theirs[i], c.ours, c.no .. " has " .. c.host) end
  end)
end)
