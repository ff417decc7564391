-- SPDX-License-Identifier: MIT
-- Jars of cookies: the rules of RFC 6265bis as a table of cases, limits, what scripts do with a
-- jar, and a jar of random cookies against the rules written down a second time.
local cookies = require "corun.http_cookies"
local corun = require "corun"

local NOW = 1700000000 -- Tue, 14 Nov 2023 22:13:20 GMT
local DAY = 86400

-- A case: what responses set, then what a request to a URL carries. `set` is a line, or a list of
-- lines; each from `from`, or written as {url, line}.
local function check(case)
  local jar = cookies.jar()
  local lines = type(case.set) == "table" and case.set or {case.set}
  for _, line in ipairs(lines) do
    local url = case.from or "http://example.com/a/b"
    if type(line) == "table" then url, line = line[1], line[2] end
    assert(jar:store(url, line, NOW))
  end
  local got = jar:header(case.to or case.from or "http://example.com/a/b", case.context,
    NOW + (case.after or 0))
  assert.equal(case.sent, got)
end

local function cases(title, list)
  describe(title, function()
    for _, case in ipairs(list) do
      it(case[1], function() check(case) end)
    end
  end)
end

local HTTPS, HTTP = "https://example.com/a/b", "http://example.com/a/b"

cases("names and values", {
  {"are sent as they came", set = "a=b", sent = "a=b"},
  {"lose blanks around them", set = " \t a \t = \t b c \t ; Path=/", sent = "a=b c"},
  {"keep quotes", set = 'a="b c"', sent = 'a="b c"'},
  {"keep further equals signs", set = "a=b=c==", sent = "a=b=c=="},
  {"keep bytes beyond ASCII", set = "a=\195\188\255", sent = "a=\195\188\255"},
  {"may lack the value", set = "a=", sent = "a="},
  {"may lack the name", set = "=b", sent = "b"},
  {"without an equals sign are a value", set = "b", sent = "b"},
  {"without an equals sign end at the semicolon", set = "b; c=d", sent = "b"},
  {"may hold commas", set = "a=b,c=d", sent = "a=b,c=d"},
  {"differ by case", set = {"a=1", "A=2"}, sent = "a=1; A=2"},
  {"empty are ignored", set = "=", sent = nil},
  {"absent are ignored", set = "; Path=/", sent = nil},
  {"blank are ignored", set = " ", sent = nil},
  {"of 4,096 bytes are taken", set = "a=" .. ("x"):rep(4095), sent = "a=" .. ("x"):rep(4095)},
  {"of more are ignored", set = "a=" .. ("x"):rep(4096), sent = nil},
  {"with a control character are ignored", set = "a=b\1c", sent = nil},
  {"with a zero byte are ignored", set = "a=b\0c", sent = nil},
  {"with a line end are ignored", set = "a=b\r\nX: y", sent = nil},
  {"with a delete are ignored", set = "a=b\127", sent = nil},
  {"with a tab inside are ignored: a file cannot hold them", set = "a=b\tc", sent = nil},
  {"a control character in an attribute spoils all", set = "a=b; x=\1", sent = nil},
})

cases("attributes", {
  {"in any case and with blanks", set = "a=b; \tpAtH \t= \t/x \t", to = "http://example.com/x",
    sent = "a=b"},
  {"unknown ones are ignored", set = "a=b; Foo; Bar=1; =; ;;", sent = "a=b"},
  {"the last of a kind wins", set = "a=b; Path=/x; Path=/", sent = "a=b"},
  {"longer than 1,024 bytes are ignored", set = "a=b; Path=/; Path=/" .. ("x"):rep(1024),
    to = "http://example.com/", sent = "a=b"},
  {"of 1,024 bytes are not", set = "a=b; Path=/; Path=/" .. ("x"):rep(1023),
    to = "http://example.com/", sent = nil},
})

cases("Domain", {
  {"absent: the host alone", set = "a=b", to = "http://www.example.com/a/b", sent = nil},
  {"of the host: subdomains too", set = "a=b; Domain=example.com",
    to = "http://x.y.example.com/a/b", sent = "a=b"},
  {"with a dot before it", set = "a=b; Domain=.example.com", to = "http://www.example.com/a/b",
    sent = "a=b"},
  {"with two dots matches nothing", set = "a=b; Domain=..example.com", sent = nil},
  {"in capitals", set = "a=b; Domain=EXAMPLE.Com", to = "http://www.example.com/a/", sent = "a=b"},
  {"of a parent", from = "http://www.example.com/", set = "a=b; Domain=example.com",
    to = "http://example.com/", sent = "a=b"},
  {"of a child is refused", set = "a=b; Domain=www.example.com", to = "http://www.example.com/a/",
    sent = nil},
  {"of a sibling is refused", from = "http://x.example.com/", set = "a=b; Domain=y.example.com",
    to = "http://y.example.com/", sent = nil},
  {"of a stranger is refused", set = "a=b; Domain=example.org", to = "http://example.org/a/b",
    sent = nil},
  {"that ends alike is no parent", from = "http://badexample.com/", set = "a=b; Domain=example.com",
    to = "http://example.com/", sent = nil},
  {"empty: the host alone", set = "a=b; Domain=", to = "http://www.example.com/a/b", sent = nil},
  {"empty, but sent back to the host", set = "a=b; Domain=", sent = "a=b"},
  {"the last one decides, also when it is bad", set = "a=b; Domain=example.com; Domain=x.org",
    sent = nil},
  {"the last one decides, also when it is empty", set = "a=b; Domain=x.org; Domain=", sent = "a=b"},
  {"with a dot behind it is another name", set = "a=b; Domain=example.com.", sent = nil},
  {"of a host with a dot behind it", from = "http://example.com./", set = "a=b",
    to = "http://example.com/", sent = nil},
  {"with other characters than ASCII is refused", from = "http://x.m\195\188nchen.de/",
    set = "a=b; Domain=m\195\188nchen.de", sent = nil},
  {"as DNS has it is taken", from = "http://x.m\195\188nchen.de/",
    set = "a=b; Domain=xn--mnchen-3ya.de", to = "http://M\195\156NCHEN.de/", sent = "a=b"},
  {"the port does not matter", from = "http://example.com:8080/", set = "a=b",
    to = "http://example.com:81/", sent = "a=b"},
  {"an address stands for itself", from = "http://127.0.0.1/", set = "a=b; Domain=127.0.0.1",
    sent = "a=b"},
  {"an address has no parent", from = "http://127.0.0.1/", set = "a=b; Domain=0.0.1", sent = nil},
  {"an address has no child", from = "http://10.127.0.1/", set = "a=b; Domain=127.0.1",
    sent = nil},
  {"an address of IPv6", from = "http://[::1]/", set = "a=b", to = "http://[0:0:0::1]/",
    sent = "a=b"},
  {"a name without a dot", from = "http://localhost/", set = "a=b; Domain=localhost",
    to = "http://localhost/", sent = "a=b"},
  {"a name without a dot has no child", from = "http://localhost/", set = "a=b; Domain=localhost",
    to = "http://x.localhost/", sent = nil},
})

cases("public suffixes", {
  {"are refused", set = "a=b; Domain=com", sent = nil},
  {"are refused with dots around them", from = "http://example.com./", set = "a=b; Domain=.com.",
    sent = nil},
  {"are refused with two labels", from = "http://example.co.uk/", set = "a=b; Domain=co.uk",
    sent = nil},
  {"are refused with two labels and a dot behind", from = "http://example.co.uk./",
    set = "a=b; Domain=co.uk.", sent = nil},
  {"are refused when they are private", from = "http://me.github.io/",
    set = "a=b; Domain=github.io",
    sent = nil},
  {"are refused by a rule with a star", from = "http://x.foo.ck/", set = "a=b; Domain=foo.ck",
    sent = nil},
  {"have exceptions", from = "http://x.www.ck/", set = "a=b; Domain=www.ck", to = "http://www.ck/",
    sent = "a=b"},
  {"are refused in any script", from = "http://x.\229\133\172\229\143\184.cn/",
    set = "a=b; Domain=xn--55qx5d.cn", sent = nil},
  {"that no list knows are refused", from = "http://x.unknown-top/",
    set = "a=b; Domain=unknown-top",
    sent = nil},
  {"are hosts too, for themselves", from = "http://github.io/", set = "a=b; Domain=github.io",
    sent = "a=b"},
  {"are hosts too, but not for others", from = "http://github.io/", set = "a=b; Domain=github.io",
    to = "http://me.github.io/", sent = nil},
})

cases("Path", {
  {"absent: the folder", from = "http://example.com/a/b", set = "a=b",
    to = "http://example.com/a/c",
    sent = "a=b"},
  {"absent: not above the folder", set = "a=b", to = "http://example.com/", sent = nil},
  {"absent, at the top", from = "http://example.com/a", set = "a=b", to = "http://example.com/z",
    sent = "a=b"},
  {"absent, without a path", from = "http://example.com", set = "a=b", to = "http://example.com/z",
    sent = "a=b"},
  {"absent, behind a slash", from = "http://example.com/a/", set = "a=b",
    to = "http://example.com/a", sent = "a=b"},
  {"absent: the query is no part of it", from = "http://example.com/a?x=/y/z", set = "a=b",
    to = "http://example.com/q", sent = "a=b"},
  {"is a prefix", set = "a=b; Path=/a", to = "http://example.com/a/x/y", sent = "a=b"},
  {"is the whole", set = "a=b; Path=/a", to = "http://example.com/a", sent = "a=b"},
  {"is the whole before a query", set = "a=b; Path=/a", to = "http://example.com/a?q#f",
    sent = "a=b"},
  {"ends at a segment", set = "a=b; Path=/a", to = "http://example.com/ab", sent = nil},
  {"may end in a slash", set = "a=b; Path=/a/", to = "http://example.com/a/b", sent = "a=b"},
  {"that ends in a slash is not without it", set = "a=b; Path=/a/", to = "http://example.com/a",
    sent = nil},
  {"differs by case", set = "a=b; Path=/A", sent = nil},
  {"may be elsewhere", set = "a=b; Path=/z", to = "http://example.com/z", sent = "a=b"},
  {"that is no path: the folder", set = "a=b; Path=z", sent = "a=b"},
  {"empty: the folder", set = "a=b; Path=", to = "http://example.com/", sent = nil},
  {"the last one decides, also when it is bad", set = "a=b; Path=/z; Path=",
    to = "http://example.com/a/x", sent = "a=b"},
  {"may hold equals signs and commas", set = "a=b; Path=/a=b,c", to = "http://example.com/a=b,c/",
    sent = "a=b"},
  {"is not unescaped", set = "a=b; Path=/%61", sent = nil},
})

cases("Secure", {
  {"goes over TLS", from = HTTPS, set = "a=b; Secure", sent = "a=b"},
  {"does not go unencrypted", from = HTTPS, set = "a=b; Secure", to = HTTP, sent = nil},
  {"is not taken unencrypted", from = HTTP, set = "a=b; Secure", to = HTTPS, sent = nil},
  {"has a value that does not matter", from = HTTPS, set = "a=b; secure=no", to = HTTP, sent = nil},
  {"others go over TLS too", from = HTTP, set = "a=b", to = HTTPS, sent = "a=b"},
  {"cannot be overwritten unencrypted", set = {{HTTPS, "a=1; Secure"}, {HTTP, "a=2"}}, to = HTTPS,
    sent = "a=1"},
  {"cannot be deleted unencrypted", set = {{HTTPS, "a=1; Secure"}, {HTTP, "a=; Max-Age=0"}},
    to = HTTPS, sent = "a=1"},
  {"cannot be hidden by a parent's",
    set = {{"https://x.example.com/", "a=1; Secure"},
      {"http://example.com/", "a=2; Domain=example.com"}},
    to = "https://x.example.com/", sent = "a=1"},
  {"cannot be hidden by a child's",
    set = {{"https://example.com/", "a=1; Secure; Domain=example.com"},
      {"http://x.example.com/", "a=2"}},
    to = "https://x.example.com/", sent = "a=1"},
  {"cannot be hidden by a longer path",
    set = {{HTTPS, "a=1; Secure; Path=/"}, {HTTP, "a=2; Path=/a"}},
    to = HTTPS, sent = "a=1"},
  {"may be met at a shorter path", set = {{HTTPS, "a=1; Secure; Path=/a"}, {HTTP, "a=2; Path=/"}},
    to = HTTPS, sent = "a=1; a=2"},
  {"of a stranger hides nothing", set = {{"https://example.org/", "a=1; Secure"}, {HTTP, "a=2"}},
    sent = "a=2"},
  {"of a sibling hides nothing",
    set = {{"https://x.example.com/", "a=1; Secure"}, {"http://y.example.com/", "a=2"}},
    to = "http://y.example.com/", sent = "a=2"},
  {"may be overwritten over TLS", set = {{HTTPS, "a=1; Secure"}, {HTTPS, "a=2"}}, to = HTTP,
    sent = "a=2"},
  {"that has expired hides nothing", set = {{HTTPS, "a=1; Secure; Max-Age=-1"}, {HTTP, "a=2"}},
    sent = "a=2"},
  {"wss is over TLS", from = "wss://example.com/", set = "a=b; Secure", sent = "a=b"},
})

cases("HttpOnly", {
  {"goes over HTTP", set = "a=b; HttpOnly", sent = "a=b"},
})

cases("prefixes", {
  {"__Secure- needs Secure", from = HTTPS, set = "__Secure-a=b", sent = nil},
  {"__Secure- with Secure", from = HTTPS, set = "__Secure-a=b; Secure; Domain=example.com",
    to = "https://x.example.com/a/b", sent = "__Secure-a=b"},
  {"__Secure- unencrypted", set = "__Secure-a=b; Secure", to = HTTPS, sent = nil},
  {"__secure- in small letters", from = HTTPS, set = "__secure-a=b", sent = nil},
  {"__Host- with all it needs", from = HTTPS, set = "__Host-a=b; Secure; Path=/",
    sent = "__Host-a=b"},
  {"__Host- without Secure", from = HTTPS, set = "__Host-a=b; Path=/", sent = nil},
  {"__Host- with a Domain", from = HTTPS, set = "__Host-a=b; Secure; Path=/; Domain=example.com",
    sent = nil},
  {"__Host- with an empty Domain", from = HTTPS, set = "__Host-a=b; Secure; Path=/; Domain=",
    sent = "__Host-a=b"},
  {"__Host- with another Path", from = HTTPS, set = "__Host-a=b; Secure; Path=/a", sent = nil},
  {"__Host- without a Path", from = "https://example.com/", set = "__Host-a=b; Secure", sent = nil},
  {"__HOST- in capitals", from = HTTPS, set = "__HOST-a=b", sent = nil},
  {"a value without a name does not pose as one", from = HTTPS,
    set = "=__Host-a=b; Secure; Path=/x",
    sent = nil},
  {"nor in other letters", from = HTTPS, set = "__sEcUrE-a", sent = nil},
  {"__Hostess is none", set = "__Hostess=b", sent = "__Hostess=b"},
})

local FUTURE, PAST = "Tue, 14 Nov 2023 22:14:20 GMT", "Tue, 14 Nov 2023 22:13:20 GMT"

cases("Expires and Max-Age", {
  {"none: for the session", set = "a=b", after = 1000 * DAY, sent = "a=b"},
  {"in the future", set = "a=b; Expires=" .. FUTURE, after = 59, sent = "a=b"},
  {"over", set = "a=b; Expires=" .. FUTURE, after = 60, sent = nil},
  {"now is over", set = "a=b; Expires=" .. PAST, sent = nil},
  {"a date that is none is ignored", set = "a=b; Expires=tomorrow", after = 1000 * DAY,
    sent = "a=b"},
  {"a date that is none does not undo one that is", set = "a=b; Expires=" .. PAST .. "; Expires=x",
    sent = nil},
  {"a date may be in quotes", set = 'a=b; Expires="' .. PAST .. '"', sent = nil},
  {"dates of other forms", set = "a=b; Expires=Tuesday, 14-Nov-23 22:13:20 GMT", sent = nil},
  {"seconds", set = "a=b; Max-Age=10", after = 9.5, sent = "a=b"},
  {"seconds over", set = "a=b; Max-Age=10", after = 10, sent = nil},
  {"no seconds", set = "a=b; Max-Age=0", sent = nil},
  {"negative seconds", set = "a=b; Max-Age=-5", sent = nil},
  {"very negative seconds", set = "a=b; Max-Age=-" .. ("9"):rep(400), sent = nil},
  {"seconds win over a date", set = "a=b; Max-Age=10; Expires=" .. PAST, sent = "a=b"},
  {"in either order", set = "a=b; Expires=" .. PAST .. "; Max-Age=10", sent = "a=b"},
  {"seconds that are none", set = "a=b; Max-Age=1.5; Max-Age=+1; Max-Age=; Max-Age=-; Max-Age=1e2",
    after = 1000 * DAY, sent = "a=b"},
  {"in quotes they are none", set = 'a=b; Max-Age="0"', sent = "a=b"},
  {"at most 400 days", set = "a=b; Max-Age=" .. ("9"):rep(400), after = 400 * DAY, sent = nil},
  {"almost 400 days", set = "a=b; Max-Age=" .. ("9"):rep(400), after = 400 * DAY - 1, sent = "a=b"},
  {"dates too", set = "a=b; Expires=1 Jan 9999 0:0:0", after = 400 * DAY, sent = nil},
  {"one that is over deletes", set = {"a=b; Max-Age=10", "a=; Max-Age=0"}, sent = nil},
  {"but only the one like it", set = {"a=b", "a=; Max-Age=0; Path=/"}, sent = "a=b"},
})

local CROSS = {site = "https://other.org/"}
local CROSS_TOP = {site = "https://other.org/", top_level = true}
local CROSS_POST = {site = "https://other.org/", top_level = true, method = "POST"}

cases("SameSite", {
  {"a script has no page: all is sent", from = HTTPS, set = "a=b; SameSite=Strict", sent = "a=b"},
  {"Strict from elsewhere", from = HTTPS, set = "a=b; SameSite=Strict", context = CROSS_TOP,
    sent = nil},
  {"Lax from elsewhere", from = HTTPS, set = "a=b; SameSite=Lax", context = CROSS, sent = nil},
  {"Lax by a link from elsewhere", from = HTTPS, set = "a=b; SameSite=lAX", context = CROSS_TOP,
    sent = "a=b"},
  {"Lax by a form from elsewhere", from = HTTPS, set = "a=b; SameSite=Lax", context = CROSS_POST,
    sent = nil},
  {"None from elsewhere", from = HTTPS, set = "a=b; SameSite=None; Secure", context = CROSS,
    sent = "a=b"},
  {"None needs Secure", from = HTTPS, set = "a=b; SameSite=None", sent = nil},
  {"absent is as Lax", from = HTTPS, set = "a=b", context = CROSS, sent = nil},
  {"another word is as Lax", from = HTTPS, set = "a=b; SameSite=Strict; SameSite=x",
    context = CROSS_TOP, sent = "a=b"},
  {"a subdomain is of the site", from = HTTPS, set = "a=b; SameSite=Strict",
    context = {site = "https://x.y.example.com"}, sent = "a=b"},
  {"another scheme is another site", from = HTTPS, set = "a=b; SameSite=Strict",
    context = {site = "http://example.com"}, sent = nil},
  {"below a public suffix are sites", from = "https://a.github.io/", set = "a=b; SameSite=Strict",
    context = {site = "https://b.github.io"}, sent = nil},
  {"an address is a site", from = "https://10.0.0.1/", set = "a=b; SameSite=Strict",
    context = {site = "https://9.0.0.1/"}, sent = nil},
  {"an address is its own site", from = "https://10.0.0.1/", set = "a=b; SameSite=Strict",
    context = {site = "https://10.0.0.1:81/x"}, sent = "a=b"},
})

cases("several cookies", {
  {"the longer path first", set = {"a=1; Path=/", "b=2; Path=/a/b", "c=3; Path=/a"},
    sent = "b=2; c=3; a=1"},
  {"of one length the older first", set = {"b=1", "a=2", "c=3"}, sent = "b=1; a=2; c=3"},
  {"what is set anew keeps its age", set = {"b=1", "a=2", "b=3"}, sent = "b=3; a=2"},
  {"what was deleted does not", set = {"b=1", "a=2", "b=; Max-Age=0", "b=3"}, sent = "a=2; b=3"},
  {"one with a Domain is another", set = {"a=1", "a=2; Domain=example.com"}, sent = "a=1; a=2"},
  {"one of a parent is another", from = "http://x.example.com/",
    set = {"a=1; Domain=example.com", "a=2; Domain=x.example.com", "a=3"}, sent = "a=1; a=2; a=3"},
  {"one with another path is another", set = {"a=1; Path=/", "a=2; Path=/a"}, sent = "a=2; a=1"},
  {"those without a name replace each other", set = {"x", "=y"}, sent = "y"},
})

describe("a jar of cookies", function()
  it("tells how many were stored, and why the others were not", function()
    local jar = cookies.jar()
    local stored, refused = jar:store("http://example.com/p?q",
      {"a=1", "b=2; Domain=com", "\1", "c=3"}, NOW)
    assert.equal(2, stored)
    assert.equal(2, #refused)
    assert.equal("ECOOKIE", refused[1].code)
    assert.equal("store cookie http://example.com/p: " ..
      'the cookie "b" is refused: its domain com is a public suffix (ECOOKIE)',
      tostring(refused[1]))
    assert.equal("store cookie http://example.com/p: " ..
      'the cookie "?" is refused: it has a control character (ECOOKIE)', tostring(refused[2]))
    assert.equal(1, (jar:store("http://example.com/", "d=4", NOW)))
  end)

  it("says what is wrong with a URL", function()
    local jar = cookies.jar()
    jar:store(HTTP, "a=b", NOW)
    for _, url in ipairs{"", "example.com", "http://", "http://[::1", "mailto:x@y"} do
      local stored, err = jar:store(url, "a=b", NOW)
      assert.is_nil(stored)
      assert.equal("EURL", err.code)
      local value
      value, err = jar:header(url, nil, NOW)
      assert.is_nil(value)
      assert.equal("EURL", err.code)
    end
    for _, url in ipairs{"http://me:secret@/x", "https://me:secret@h:99999/", "me:secret@h",
        "//me:secret@h/", "http://me:secret@[::1/"} do
      local _, err = jar:store(url, "a=b", NOW)
      assert.equal("EURL", err.code)
      assert.is_nil(tostring(err):find("secret", 1, true), tostring(err))
      _, err = jar:header(url, nil, NOW)
      assert.is_nil(tostring(err):find("secret", 1, true), tostring(err))
    end
  end)

  it("takes the parts of a URL", function()
    local url = require "corun.url"
    local jar = cookies.jar()
    assert.equal(1, (jar:store(url.parse(HTTP), "a=b", NOW)))
    assert.equal("a=b", jar:header(url.parse(HTTP), nil, NOW))
  end)

  it("does not let other sites store what is not for them", function()
    local jar = cookies.jar()
    assert.equal(0, (jar:store(HTTPS, "a=b", NOW, CROSS)))
    assert.equal(1, (jar:store(HTTPS, "a=b; SameSite=None; Secure", NOW, CROSS)))
    assert.equal(1, (jar:store(HTTPS, "c=d", NOW, CROSS_TOP)))
    assert.equal("a=b; c=d", jar:header(HTTPS, nil, NOW))
  end)

  it("raises for misuse in the caller's line", function()
    local jar = cookies.jar()
    local function raises(message, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches("^tests/spec/http_cookies_spec.lua:%d+: " .. message, tostring(err))
    end
    raises("store needs a line or a list of lines, got nil", function() jar:store(HTTP) end)
    raises("the lines to store must be strings, got number", function() jar:store(HTTP, {1}) end)
    raises("options of header must be a table, got number", function()
      jar:store(HTTP, "a=b", NOW)
      jar:header(HTTP, NOW)
    end)
    raises("the URL must be a string or its parts, got nil", function() jar:store(nil, "a=b") end)
    raises("the URL must be a string or its parts, got number", function()
      jar:store(HTTP, "a=b", NOW)
      jar:header(1)
    end)
    raises('unknown option "sites" for header', function() jar:header(HTTP, {sites = ""}) end)
    raises('option "site": ', function() jar:header(HTTP, {site = "x"}) end)
    raises("a cookie needs a name, a value and a domain", function() jar:set() end)
    raises("a cookie needs a name, a value and a domain", function() jar:set{name = "a"} end)
    raises('unknown option "Domain" for set', function() jar:set{Domain = "x"} end)
    raises("delete needs a name", function() jar:delete() end)
    raises("delete needs a name", function() jar:delete{} end)
    raises('unknown option "nam" for all', function() jar:all{nam = "x"} end)
    raises("save needs a path, got nil", function() jar:save() end)
    raises("load needs a path, got table", function() cookies.load{} end)
  end)

  it("knows jars from other values", function()
    local jar = cookies.jar()
    assert.is_true(cookies.is_jar(jar))
    for _, v in ipairs{true, 1, "x", {}, HTTP} do assert.is_false(cookies.is_jar(v)) end
    assert.matches("^cookie jar 0x%x+ %(0 cookies%)$", tostring(jar))
    jar:store(HTTP, "a=b", NOW)
    assert.matches("%(1 cookie%)$", tostring(jar))
  end)

  it("uses the clock when no time is given", function()
    local jar = cookies.jar()
    jar:store(HTTP, {"a=1; Max-Age=1000", "b=2; Expires=Thu, 01 Jan 1970 00:00:01 GMT"})
    assert.equal("a=1", jar:header(HTTP))
    assert.is_nil(jar:header(HTTP, nil, os.time() + 1001))
  end)

  it("forgets what has expired when it meets it", function()
    local jar = cookies.jar()
    jar:store(HTTP, "a=b; Max-Age=1", NOW)
    jar:header(HTTP, nil, NOW + 1)
    assert.equal(0, jar.count)
    assert.is_nil(next(jar.domains))
  end)
end)

describe("what scripts do with a jar of cookies", function()
  it("set, see, and hand on", function()
    local jar, other = cookies.jar(), cookies.jar()
    jar:set({name = "b", value = "2", domain = ".Example.COM", host_only = false}, NOW)
    jar:set({name = "c", value = "3", domain = "::1"}, NOW)
    jar:set({name = "a", value = "1", domain = "M\195\156NCHEN.de", path = "/x", secure = true,
      http_only = true, same_site = "strict", expires = NOW + 5}, NOW)
    local list, copies = {}, {}
    for c in jar:all(nil, NOW) do
      list[#list + 1] = c
      other:set(c, NOW)
    end
    for c in other:all(nil, NOW) do copies[#copies + 1] = c end
    assert.same({
      {name = "b", value = "2", domain = "example.com", host_only = false, path = "/",
        secure = false, http_only = false},
      {name = "c", value = "3", domain = "::1", host_only = true, path = "/", secure = false,
        http_only = false},
      {name = "a", value = "1", domain = "xn--mnchen-3ya.de", host_only = true, path = "/x",
        secure = true, http_only = true, same_site = "strict", expires = NOW + 5},
    }, list)
    assert.same(list, copies)
  end)

  it("set cookies that requests then carry", function()
    local jar = cookies.jar()
    jar:set{name = "a", value = "1", domain = "example.com"}
    assert.equal("a=1", jar:header("http://example.com/x"))
    assert.is_nil(jar:header("http://www.example.com/x"))
    jar:set{name = "b", value = "2", domain = "example.com", host_only = false, path = "/p"}
    assert.equal("b=2", jar:header("http://www.example.com/p"))
    jar:set{name = "a", value = "3", domain = "EXAMPLE.com"}
    assert.equal("b=2; a=3", jar:header("http://example.com/p"))
    jar:set{name = "a", value = "", domain = "example.com", expires = 0}
    assert.equal("b=2", jar:header("http://example.com/p"))
  end)

  it("cannot set what cannot be sent back as it is", function()
    local jar = cookies.jar()
    local function refused(c)
      c.domain = c.domain or "example.com"
      c.name, c.value = c.name or "a", c.value or "b"
      local ok, err = pcall(jar.set, jar, c)
      assert.is_false(ok)
      return tostring(err):match("cannot be set: (.*)")
    end
    assert.equal("it has a character that would end it", refused{name = "a=b"})
    assert.equal("it has a character that would end it", refused{name = "a;b"})
    assert.equal("it has a character that would end it", refused{value = "b; c"})
    assert.equal("it has a character that would end it", refused{value = " b"})
    assert.equal("it has a character that would end it", refused{path = "/;"})
    assert.equal("it has a control character", refused{value = "b\r\nc"})
    assert.equal("it has a control character", refused{path = "/\t"})
    assert.equal("its path does not begin with /", refused{path = "x"})
    assert.equal("its path is longer than 1024 bytes", refused{path = "/" .. ("x"):rep(1024)})
    assert.equal("it is longer than 4096 bytes", refused{value = ("x"):rep(4096)})
    assert.equal("it is empty", refused{name = "", value = ""})
    assert.equal("its domain is no host", refused{domain = "a b"})
    assert.equal("its domain is no host", refused{domain = "a/b"})
    assert.equal("its domain is no host", refused{domain = "a:81"})
    assert.equal("its domain is no host", refused{domain = ""})
    assert.equal("its domain is no host", refused{domain = "..example.com"})
    assert.equal("its domain com is a public suffix", refused{domain = "com", host_only = false})
    assert.equal("SameSite=None needs Secure", refused{same_site = "none"})
    assert.equal('its same_site is none of "strict", "lax" and "none"', refused{same_site = "Lax"})
    assert.equal("its time is no number", refused{expires = 0 / 0})
    assert.equal("the prefix __Host- needs Secure, Path=/ and no Domain",
      refused{name = "__Host-a", secure = true, host_only = false})
    assert.equal(0, jar.count)
  end)

  it("see copies, the oldest first", function()
    local jar = cookies.jar()
    jar:store("https://x.example.com/p/", {"b=1; Secure; HttpOnly; SameSite=Lax; Max-Age=9",
      "a=2; Domain=example.com"}, NOW)
    local list = {}
    for c in jar:all(nil, NOW) do
      list[#list + 1] = c
      c.value = "changed"
    end
    assert.same({
      {name = "b", value = "changed", domain = "x.example.com", host_only = true, path = "/p",
        secure = true, http_only = true, same_site = "lax", expires = NOW + 9},
      {name = "a", value = "changed", domain = "example.com", host_only = false, path = "/p",
        secure = false, http_only = false},
    }, list)
    assert.equal("b=1; a=2", jar:header("https://x.example.com/p", nil, NOW))
  end)

  it("find and delete by any of the fields", function()
    local jar = cookies.jar()
    jar:store("http://example.com/", {"a=1", "b=2", "a=3; Path=/x", "c=4; Max-Age=99"}, NOW)
    jar:store("http://example.org/", {"a=5"}, NOW)
    local function values(filter)
      local out = {}
      for c in jar:all(filter, NOW) do out[#out + 1] = c.value end
      return table.concat(out, " ")
    end
    assert.equal("1 2 3 4 5", values())
    assert.equal("1 2 3 4 5", values{})
    assert.equal("1 3 5", values{name = "a"})
    assert.equal("1 2 3 4", values{domain = "Example.com"})
    assert.equal("1", values{name = "a", domain = "example.com", path = "/"})
    assert.equal("4", values{session = false})
    assert.equal("1 2 3 5", values{session = true})
    assert.equal("", values{domain = "no host"})
    assert.equal(0, jar:delete{name = "z"})
    assert.equal(2, jar:delete{name = "a", domain = "example.com"})
    assert.equal("2 4 5", values())
    jar:clear()
    assert.equal("", values())
    assert.is_nil(jar:header("http://example.com/", nil, NOW))
  end)

  it("may change the jar while they go through it", function()
    local jar = cookies.jar()
    for i = 1, 20 do jar:store("http://example.com/", "c" .. i .. "=x", NOW) end
    local seen = 0
    for c in jar:all(nil, NOW) do
      seen = seen + 1
      jar:delete{name = c.name}
    end
    assert.equal(20, seen)
    assert.equal(0, jar.count)
  end)
end)

describe("limits of a jar of cookies", function()
  local function names(jar, filter)
    local set, n = {}, 0
    for c in jar:all(filter, NOW) do
      set[c.name] = true
      n = n + 1
    end
    return set, n
  end

  it("180 a domain: then the least recently used go", function()
    local jar = cookies.jar()
    for i = 1, 180 do jar:store("http://example.com/", "c" .. i .. "=x", NOW) end
    jar:store("http://example.org/", "other=x", NOW)
    assert.equal(181, jar.count)
    jar:store("http://example.com/p/", "c1=x; Path=/p", NOW)
    local set, n = names(jar, {domain = "example.com"})
    assert.equal(150, n)
    assert.is_true(set.c1 and set.c180 and set.c32)
    assert.is_nil(set.c31)
    assert.equal(1, select(2, names(jar, {domain = "example.org"})))
  end)

  it("being sent is use", function()
    local jar = cookies.jar()
    jar:store("http://example.com/", "old=x; Path=/p", NOW)
    for i = 1, 179 do jar:store("http://example.com/", "c" .. i .. "=x; Path=/c", NOW) end
    jar:header("http://example.com/p", nil, NOW)
    jar:store("http://example.com/", "new=x", NOW)
    assert.is_true((names(jar)).old)
  end)

  it("expired ones go first, then those without Secure", function()
    local jar = cookies.jar()
    for i = 1, 40 do jar:store("https://example.com/", "s" .. i .. "=x; Secure", NOW) end
    for i = 1, 120 do jar:store("https://example.com/", "c" .. i .. "=x", NOW) end
    for i = 1, 20 do jar:store("https://example.com/", "e" .. i .. "=x; Max-Age=5", NOW) end
    jar:store("https://example.com/", "new=x", NOW + 5)
    local set, n = names(jar)
    assert.equal(150, n)
    assert.is_true(set.s1 and set.s40 and set.new)
    assert.is_nil(set.e1)
    assert.is_nil(set.c11)
    assert.is_true(set.c12)
  end)

  it("3,300 in all #heavy", function()
    local jar = cookies.jar()
    for i = 1, 3300 do jar:store("http://h" .. i .. ".example.com/", "a=x", NOW) end
    assert.equal(3300, jar.count)
    jar:header("http://h1.example.com/", nil, NOW)
    jar:store("http://last.example.com/", "a=x", NOW)
    assert.equal(3000, jar.count)
    assert.equal("a=x", jar:header("http://h1.example.com/", nil, NOW))
    assert.is_nil(jar:header("http://h2.example.com/", nil, NOW))
    assert.equal("a=x", jar:header("http://last.example.com/", nil, NOW))
  end)

  it("a hostile server costs no more than its bytes #heavy", function()
    local jar = cookies.jar()
    local lines = {}
    for i = 1, 1000 do lines[i] = ("k%d=v; Domain=example.com; Path=/%d"):format(i, i) end
    for i = 1, 200 do lines[#lines + 1] = (" "):rep(8000) .. i .. (" "):rep(8000) .. "=x" end
    local begun = os.clock()
    local stored = jar:store("http://x.example.com/", lines, NOW)
    assert.equal(1200, stored)
    assert.is_true(jar.count <= 360)
    assert.is_true(os.clock() - begun < 5)
  end)
end)

-- The rules once more, as plainly as they can be said, over a list of what was stored.
describe("random cookies", function()
  local HOSTS = {"example.com", "a.example.com", "b.a.example.com", "xexample.com", "example.org",
    "x.co.uk", "y.co.uk", "127.0.0.1", "localhost"}
  local PATHS = {"/", "/a", "/a/", "/a/b", "/ab", "/a/b/c"}
  local DOMAINS = {"", "", "; Domain=example.com", "; Domain=.a.example.com", "; Domain=com",
    "; Domain=co.uk", "; Domain=x.co.uk", "; Domain=127.0.0.1", "; Domain=org", "; Domain="}
  local AGES = {"", "", "; Max-Age=0", "; Max-Age=3", "; Max-Age=30",
    "; Expires=Tue, 14 Nov 2023 22:13:30 GMT"}
  local FLAGS = {"", "", "; Secure", "; Secure; HttpOnly"}
  local NAMES = {"a", "b", "c", "__Host-d", "__Secure-e"}
  local SUFFIX = {com = true, org = true, ["co.uk"] = true, localhost = true}

  local function below(host, domain)
    return host == domain or
      not host:find("^[%d.]+$") and ("." .. host):sub(-#domain - 1) == "." .. domain
  end

  local function under(path, prefix)
    return path == prefix or (path .. "/"):sub(1, #prefix + 1) == prefix .. "/" or
      prefix:sub(-1) == "/" and path:sub(1, #prefix) == prefix
  end

  -- Each value is unique and tells where it came from.
  local function check_sent(value, from, host, path, is_secure, now)
    local c = assert(from[value], value)
    assert.is_true(below(host, c.domain), value)
    assert.is_true(not c.host_only or host == c.host, value)
    assert.is_true(c.host_only or not SUFFIX[c.domain], value)
    assert.is_true(under(path, c.path), value)
    assert.is_true(is_secure or not c.secure, value)
    assert.is_true(not c.expires or c.expires > now, value)
  end

  for seed = 1, 20 do
    it("never send what is expired, foreign or insecure: " .. seed .. " #heavy", function()
      local state = seed
      local function pick(list)
        state = state * 6364136223846793005 + 1442695040888963407
        return list[(state >> 33) % #list + 1]
      end
      local jar, from, now, sent = cookies.jar(), {}, NOW, 0
      for i = 1, 600 do
        now = now + pick{0, 0, 0, 1}
        local scheme, host, path = pick{"http", "https"}, pick(HOSTS), pick(PATHS)
        local url = scheme .. "://" .. host .. path
        if pick{true, false} then
          local domain, age, flags = pick(DOMAINS), pick(AGES), pick(FLAGS)
          local own = pick{"", "", "; Path=/", "; Path=/a", "; Path=/a/b"}
          local said = domain:match("=%.?(.+)$")
          from["v" .. i] = {
            host = host, host_only = said == nil or SUFFIX[said] == true, domain = said or host,
            path = own:match("=(.*)$") or path:match("^(/.+)/") or "/", secure = flags ~= "",
            expires = age:find("Expires") and NOW + 10 or
              age:find("Max") and now + tonumber(age:match("%d+")) or nil,
          }
          jar:store(url, pick(NAMES) .. "=v" .. i .. domain .. own .. age .. flags, now)
        else
          for pair in (jar:header(url, nil, now) or ""):gmatch("[^; ]+") do
            check_sent(pair:match("=(.*)$"), from, host, path, scheme == "https", now)
            sent = sent + 1
          end
        end
      end
      assert.is_true(sent > 50, sent)
    end)
  end
end)

describe("the code of cookies", function()
  it("is not loaded before it is needed", function()
    local programs = dofile("tests/spec/support/programs.lua")
    local out, status = programs.run([[
      local corun = require "corun"
      local http = require "corun.http"
      local maps = io.open("/proc/self/maps"):read("a")
      assert(not maps:find("libpsl", 1, true))
      require("corun.http_cookies").jar()
      maps = io.open("/proc/self/maps"):read("a")
      assert(maps:find("libpsl", 1, true))
      print(corun ~= nil and http ~= nil)
    ]])
    assert.equal("true\n", out)
    assert.equal(0, status)
  end)

  it("says so when libpsl cannot be loaded, and tries again", function()
    local files = dofile("tests/spec/support/files.lua")
    local programs = dofile("tests/spec/support/programs.lua")
    local dir <close>, path = files.folder()
    files.put(path .. "/libpsl.so.5", "no library")
    local out, status = programs.run([[
      local cookies = require "corun.http_cookies"
      local ok, err = pcall(cookies.jar)
      print(ok, err.code, err)
      os.remove(os.getenv("LD_LIBRARY_PATH") .. "/libpsl.so.5")
      print(cookies.is_jar(cookies.jar()))
    ]], {before = "env LD_LIBRARY_PATH=" .. path})
    assert.matches("^false\tENOSYS\t.*libpsl is needed: .*libpsl.so.5: .*\ntrue\n$", out)
    assert.equal(0, status)
    assert.is_not_nil(dir)
  end)

  it("is safe in several tasks at once", function()
    local jar = cookies.jar()
    corun.map({1, 2, 3, 4, 5}, function(i)
      for n = 1, 20 do
        jar:store("http://example.com/", ("t%d_%d=x"):format(i, n), NOW)
        corun.yield()
        assert(jar:header("http://example.com/", nil, NOW))
      end
    end)
    assert.equal(100, jar.count)
  end)
end)
