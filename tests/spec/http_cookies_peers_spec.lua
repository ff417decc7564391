-- SPDX-License-Identifier: MIT
-- Jars of cookies against programs that nobody here wrote: Python's http.cookiejar does the same
-- with thousands of random cookies; its MozillaCookieJar and curl read files that corun wrote, and
-- the other way round.
local cookies = require "corun.http_cookies"
local files = dofile("tests/spec/support/files.lua")
local fs = require "corun.fs"
local http = require "corun.http"
local json = require "corun.json"
local process = require "corun.process"

local NOW = 1700000000

local function python(script, input)
  local r = assert(process.run{"python3", "-c", script, input = json.encode(input), timeout = 60})
  assert(r.ok, r.stderr)
  return assert(json.decode(r.stdout))
end

-- Requests and responses as cookiejar wants them. It gives host-only cookies to subdomains unless
-- told not to (DomainStrictNonDomain).
local COOKIEJAR = [[
import sys, json, email.message, http.cookiejar as cookiejar, urllib.request
clock = [0]
cookiejar.time = type("clock", (), {"time": staticmethod(lambda: clock[0])})
Policy = cookiejar.DefaultCookiePolicy
jar = cookiejar.CookieJar(Policy(strict_ns_domain=Policy.DomainStrictNonDomain))
class Response:
    def __init__(self, lines):
        self.message = email.message.Message()
        for line in lines: self.message["Set-Cookie"] = line
    def info(self): return self.message
out = []
for step in json.load(sys.stdin):
    clock[0] = step["now"]
    request = urllib.request.Request(step["url"])
    if "lines" in step:
        jar.extract_cookies(Response(step["lines"]), request)
    else:
        jar.add_cookie_header(request)
        out.append(request.get_header("Cookie") or "")
json.dump(out, sys.stdout)
]]

-- The pieces. Left out is what Python does otherwise, where the RFC wins; http_cookies_spec shows
-- what corun does:
-- * it knows no public suffixes, no prefixes of names, and no limits;
-- * it takes Secure cookies from unencrypted responses, and lets these overwrite secure ones: here
--   the names of secure cookies are their own, set over TLS alone;
-- * it lets any host delete any cookie, as it looks at the time before the domain: here what has a
--   time has a fitting domain;
-- * it deletes what a response ends before it stores what that sets, whatever the order of the
--   lines: here the first alone has a time;
-- * it drops a cookie whose Max-Age is no number, and keeps a Path that does not begin with "/";
-- * to it "Set-Cookie: foo" is a name without a value, and so another cookie than "bar";
-- * it takes no Domain for an address, and appends ".local" to a name without a dot;
-- * it takes years of two digits for the nearest, does not read the form of C's asctime, and lets a
--   cookie live for ever.
local HOSTS = {"example.com", "a.example.com", "b.a.example.com", "xexample.com", "example.org"}
local PATHS = {"/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "", "/a?q=/x/y", "/%41/b"}
local DOMAINS = {"", "", "", "; Domain=example.com", "; domain = .example.com ",
  "; DOMAIN=.A.example.com",
  "; Domain=a.example.com", "; Domain=com", "; Domain=example.org", "; Domain=xample.com"}
local OWN_PATHS = {"", "", "", "; Path=/", "; path=/a", "; PATH = /a/ ", "; Path=/a/b",
  "; Path=/ab"}
local AGES = {"", "", "", "; Max-Age=0", "; max-age=3", "; Max-Age=30", "; Max-Age=-1",
  "; Expires=Tue, 14 Nov 2023 22:13:30 GMT", "; expires=Tuesday, 14-Nov-2023 22:13:50 GMT",
  "; Expires=Tue, 14-Nov-2023 22:13:40 GMT", "; Expires=Sun, 06 Nov 1994 08:49:37 GMT",
  "; Expires=14 Nov 2023 22:13:55", "; Expires=nonsense",
  "; Max-Age=20; Expires=Sun, 06 Nov 1994 08:49:37 GMT",
  "; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=20"}
local OTHERS = {"", "", "", "; HTTPOnly", "; SameSite=Lax", "; foo=bar", ";"}

-- The same series in each run.
local state = 11
local function pick(list)
  state = state * 6364136223846793005 + 1442695040888963407
  return list[(state >> 33) % #list + 1]
end

local function random_line(i, is_secure, host, is_first)
  local secure = is_secure and pick{true, false}
  local name = pick(secure and {"s", "t"} or {"a", "b", "c"})
  local value = pick{"v" .. i, "v" .. i, '"v ' .. i .. '"', "v=" .. i, "v" .. i .. "=="}
  local domain, age = pick(DOMAINS), is_first and pick(AGES) or ""
  local said = "." .. (domain:lower():match("=%s*%.?([%w.]+)") or host)
  if age ~= "" and ("." .. host):sub(-#said) ~= said then domain = "" end
  return name .. "=" .. value .. domain .. pick(OWN_PATHS) .. age ..
    (secure and "; Secure" or "") .. pick(OTHERS)
end

local function random_steps(n)
  local steps, now = {}, NOW
  for i = 1, n do
    now = now + pick{0, 0, 0, 1}
    local scheme = pick{"http", "https"}
    local host = pick(HOSTS)
    local step = {now = now, url = scheme .. "://" .. host .. pick(PATHS)}
    if pick{true, false} then
      step.lines = {}
      for k = 1, pick{1, 1, 2, 3} do
        step.lines[k] = random_line(i .. "." .. k, scheme == "https", host, k == 1)
      end
    end
    steps[i] = step
  end
  return steps
end

-- Cookies with paths of one length have an order in corun's header that Python does not keep.
local function sorted(header)
  local list = {}
  for pair in header:gmatch("[^;]+") do list[#list + 1] = pair:match("^%s*(.-)%s*$") end
  table.sort(list)
  return table.concat(list, "; ")
end

describe("cookies and http.cookiejar", function()
  it("Python sends the same cookies #heavy", function()
    local sent = 0
    for round = 1, 12 do
      local steps = random_steps(400)
      local expected, n = python(COOKIEJAR, steps), 0
      local jar = cookies.jar()
      for i, step in ipairs(steps) do
        if step.lines then
          jar:store(step.url, step.lines, step.now)
        else
          n = n + 1
          local got = jar:header(step.url, nil, step.now) or ""
          local what = ("round %d, step %d, %s"):format(round, i, step.url)
          assert.equal(sorted(expected[n]), sorted(got), what)
          if got ~= "" then sent = sent + 1 end
        end
      end
    end
    assert.is_true(sent > 1000, sent)
  end)

  it("Python lets an unencrypted response overwrite a secure cookie, the RFC does not", function()
    local url = "https://example.com/"
    local lines = {{url = url, lines = {"a=1; Secure"}, now = NOW},
      {url = "http://example.com/", lines = {"a=2"}, now = NOW}, {url = url, now = NOW}}
    assert.same({"a=2"}, python(COOKIEJAR, lines))
    local jar = cookies.jar()
    for i = 1, 2 do jar:store(lines[i].url, lines[i].lines, NOW) end
    assert.equal("a=1", jar:header(url, nil, NOW))
  end)

  it("Python lets strangers delete cookies, the RFC does not", function()
    local url = "http://example.com/"
    local lines = {{url = url, lines = {"a=1; Domain=example.com"}, now = NOW},
      {url = "http://example.org/", lines = {"a=; Domain=example.com; Max-Age=0"}, now = NOW},
      {url = url, now = NOW}}
    assert.same({""}, python(COOKIEJAR, lines))
    local jar = cookies.jar()
    for i = 1, 2 do jar:store(lines[i].url, lines[i].lines, NOW) end
    assert.equal("a=1", jar:header(url, nil, NOW))
  end)

  it("Python knows no public suffixes, the RFC does", function()
    local lines = {{url = "http://x.co.uk/", lines = {"a=1; Domain=co.uk"}, now = NOW},
      {url = "http://y.co.uk/", now = NOW}}
    assert.same({"a=1"}, python(COOKIEJAR, lines))
    local jar = cookies.jar()
    jar:store(lines[1].url, lines[1].lines, NOW)
    assert.is_nil(jar:header(lines[2].url, nil, NOW))
  end)
end)

-- Files -----------------------------------------------------------------------------------------

local LATER = os.time() + 86400

-- As servers set them; with HttpOnly, with and without Domain, for the session and for a day.
-- Python keeps HTTPOnly in its files in this spelling alone.
local LINES = {
  "host=1; Path=/", "domain=2; Domain=example.com; Path=/; Max-Age=86400",
  "path=3; Path=/a/b; HTTPOnly; Max-Age=86400", "empty=; Path=/; Max-Age=86400",
  'quoted="x y"; Path=/; Max-Age=86400', "equals=a=b==; Path=/; Max-Age=86400",
  "only=4; Domain=example.com; Path=/a; HTTPOnly",
}

local function fields(jar)
  local out = {}
  for c in jar:all() do
    local is_day = c.expires and math.abs(c.expires - LATER) < 600
    local expires = is_day and "day" or tostring(c.expires or "")
    out[#out + 1] = table.concat({c.name, c.value, c.domain, tostring(c.host_only), c.path,
      tostring(c.secure), tostring(c.http_only), expires}, "|")
  end
  table.sort(out)
  return out
end

local function filled(url)
  local jar = cookies.jar()
  jar:store(url or "http://www.example.com/a/b", LINES)
  jar:store("https://www.example.com/", "secure=5; Secure; Path=/; Max-Age=86400")
  return jar
end

local MOZILLA = [[
import sys, json, http.cookiejar as cookiejar
o = json.load(sys.stdin)
jar = cookiejar.MozillaCookieJar(o["path"])
jar.load(ignore_discard=True, ignore_expires=True)
json.dump([{"name": c.name, "value": c.value, "domain": c.domain, "path": c.path,
  "secure": c.secure, "http_only": c.has_nonstandard_attr("HTTPOnly") or
  c.has_nonstandard_attr("HttpOnly"), "expires": c.expires or 0} for c in jar], sys.stdout)
if o.get("to"): jar.save(o["to"], ignore_discard=True, ignore_expires=True)
]]

describe("files of cookies", function()
  it("come back as they were", function()
    local dir <close>, path = files.folder()
    local jar = filled()
    assert.is_true(jar:save(path .. "/jar"))
    local again = assert(cookies.load(path .. "/jar"))
    assert.same(fields(jar), fields(again))
    for _, url in ipairs{"http://www.example.com/a/b", "https://www.example.com/",
      "http://example.com/a"} do
      assert.equal(jar:header(url), again:header(url))
    end
    assert.is_not_nil(dir)
  end)

  it("are for nobody else to read, and replaced in one step", function()
    local _ <close>, path = files.folder()
    local name = path .. "/jar"
    files.put(name, "old")
    assert(fs.chmod(name, "644"))
    assert.is_true(filled():save(name))
    assert.equal(384, assert(fs.stat(name)).mode & 511)
    assert.same({"jar"}, assert(fs.list(path)))
    local ok, err = filled():save(path .. "/none/jar")
    assert.is_nil(ok)
    assert.equal("ENOENT", err.code)
  end)

  it("do not hold what has expired", function()
    local _ <close>, path = files.folder()
    local jar = cookies.jar()
    jar:store("http://example.com/", {"a=1; Max-Age=5", "b=2"}, os.time() - 5)
    assert.is_true(jar:save(path .. "/jar"))
    assert.matches("\nexample.com\tFALSE\t/\tFALSE\t0\tb\t2\n$", files.get(path .. "/jar"))
    files.put(path .. "/jar", "example.com\tFALSE\t/\tFALSE\t1000\ta\t1\n")
    assert.same({}, fields(assert(cookies.load(path .. "/jar"))))
  end)

  it("may be written by others in other ways", function()
    local _ <close>, path = files.folder()
    local function load(text)
      files.put(path .. "/jar", text)
      local jar, err = cookies.load(path .. "/jar")
      return jar and fields(jar), err
    end
    assert.same({}, load(""))
    assert.same({}, load("# HTTP Cookie File\n\n#\n"))
    local line = "h.example\tFALSE\t/\tFALSE\t0\ta\tb"
    local one = {"a|b|h.example|true|/|false|false|"}
    assert.same(one, load(line))
    assert.same(one, load("\n" .. line .. "\r\n\r\n"))
    assert.same(one, load("H.EXAMPLE\tfalse\t/\tfalse\t\ta\tb"))
    assert.same(one, load(".h.example\tFALSE\t/\tFALSE\t0\ta\tb"))
    assert.same({"a||h.example|true|/|false|false|"}, load("h.example\tFALSE\t/\tFALSE\t0\ta"))
    assert.same({"|b|h.example|false|/|true|true|4000000000.5"},
      load("#HttpOnly_.h.example\tTRUE\t/\tTRUE\t4000000000.5\t\tb"))
    assert.same({"a|b|co.uk|true|/|false|false|"}, load(".co.uk\tTRUE\t/\tFALSE\t0\ta\tb"))
    assert.same({"a|b|xn--mnchen-3ya.de|true|/|false|false|"},
      load("m\195\188nchen.de\tFALSE\t/\tFALSE\t0\ta\tb"))
    assert.same({"a|b|h.example|true|/|false|false|9007199254740992"},
      load("h.example\tFALSE\t/\tFALSE\t" .. ("9"):rep(400) .. "\ta\tb"))
  end)

  it("that are none are told, with the line", function()
    local _ <close>, path = files.folder()
    local name = path .. "/jar"
    local function why(text)
      files.put(name, text)
      local jar, err = cookies.load(name)
      assert.is_nil(jar)
      assert.equal("EINVAL", err.code)
      assert.equal(name, err.target)
      return err.message
    end
    local good = "h.example\tFALSE\t/\tFALSE\t0\ta\tb\n"
    assert.equal("line 1 is no cookie: it has 1 field, not 7", why("<!DOCTYPE html>\n"))
    assert.equal("line 1 is no cookie: it has 1 field, not 7", why('{"cookies": []}'))
    assert.equal("line 2 is no cookie: it has 8 fields, not 7",
      why(good .. good:sub(1, -2) .. "\tc"))
    assert.equal("line 1 is no cookie: its second and fourth field must be TRUE or FALSE",
      why("h.example\tyes\t/\tFALSE\t0\ta\tb"))
    assert.equal("line 1 is no cookie: its fifth field must be seconds since 1970",
      why("h.example\tFALSE\t/\tFALSE\tnever\ta\tb"))
    assert.equal("line 1 is no cookie: its fifth field must be seconds since 1970",
      why("h.example\tFALSE\t/\tFALSE\t0x10\ta\tb"))
    assert.equal("line 1 is no cookie: its path does not begin with /",
      why("h.example\tFALSE\tx\tFALSE\t0\ta\tb"))
    assert.equal("line 1 is no cookie: its domain is no host",
      why("a b\tFALSE\t/\tFALSE\t0\ta\tb"))
    assert.equal("line 1 is no cookie: it has a control character",
      why("h.example\tFALSE\t/\tFALSE\t0\ta\tb\0"))
    assert.equal("line 1 is no cookie: the prefix __Host- needs Secure, Path=/ and no Domain",
      why("h.example\tFALSE\t/\tFALSE\t0\t__Host-a\tb"))
    local jar, err = cookies.load(path .. "/none")
    assert.is_nil(jar)
    assert.equal("ENOENT", err.code)
    jar, err = cookies.load(path)
    assert.is_nil(jar)
    assert.equal("EISDIR", err.code)
  end)

  it("are read by Python, and those of Python by corun", function()
    local _ <close>, path = files.folder()
    local jar = filled()
    -- To Python 0 is a time that is over, so that it would not send cookies of the session.
    assert.is_true(jar:save(path .. "/jar"))
    local seen = {}
    for _, c in ipairs(python(MOZILLA, {path = path .. "/jar", to = path .. "/python"})) do
      local is_shared = c.domain:sub(1, 1) == "."
      seen[#seen + 1] = table.concat({c.name, c.value, (c.domain:gsub("^%.", "")),
        tostring(not is_shared), c.path, tostring(c.secure), tostring(c.http_only),
        c.expires ~= 0 and (math.abs(c.expires - LATER) < 600 and "day") or ""}, "|")
    end
    table.sort(seen)
    assert.same(fields(jar), seen)
    assert.same(fields(jar), fields(assert(cookies.load(path .. "/python"))))
  end)

  it("of Python have no time for the session", function()
    local _ <close>, path = files.folder()
    python([[
import sys, json, email.message, http.cookiejar as cookiejar, urllib.request
o = json.load(sys.stdin)
jar = cookiejar.MozillaCookieJar(o["path"])
message = email.message.Message()
for line in o["lines"]: message["Set-Cookie"] = line
response = type("response", (), {"info": lambda self: message})()
jar.extract_cookies(response, urllib.request.Request(o["url"]))
jar.save(ignore_discard=True)
print("true")]], {path = path .. "/jar", lines = LINES, url = "http://www.example.com/a/b"})
    assert.matches("\tFALSE\t\thost\t1\n", files.get(path .. "/jar"))
    local jar = filled()
    jar:delete{name = "secure"}
    assert.same(fields(jar), fields(assert(cookies.load(path .. "/jar"))))
  end)

  it("are read by curl, and those of curl by corun", function()
    local _ <close>, path = files.folder()
    local sent
    local server <close> = assert(http.serve("127.0.0.1:0", function(req)
      sent = req.headers.cookie
      return {headers = req.path == "/a/set" and {["set-cookie"] = LINES} or {}, body = "ok"}
    end))
    local port = server:address():match("%d+$")
    local function curl(...)
      local r = assert(process.run{"curl", "-sS", "--fail", "--noproxy", "*", "--resolve",
        "www.example.com:" .. port .. ":127.0.0.1", timeout = 30, ...})
      assert.equal("ok", r.stdout, r.stderr)
    end
    local url = "http://www.example.com:" .. port
    curl("-c", path .. "/curl", url .. "/a/set")
    local jar = filled()
    jar:delete{name = "secure"}
    assert.same(fields(jar), fields(assert(cookies.load(path .. "/curl"))))

    assert.is_true(filled():save(path .. "/jar"))
    curl("-b", path .. "/jar", "-c", path .. "/curl", url .. "/a/b")
    assert.equal(sorted(jar:header(url .. "/a/b")), sorted(sent))
    assert.same(fields(filled()), fields(assert(cookies.load(path .. "/curl"))))
  end)
end)
