-- SPDX-License-Identifier: MIT
-- Redirects: the methods and bodies beside those of Python's requests, where Location leads, what
-- must not go to another origin (S43), and where it ends.

local corun = require("corun")
local http = require("corun.http")
local net = require("corun.net")
local redirect = require("corun.http_redirect")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")

local kept, ok = support.kept, support.ok

local function moved(status, location)
  return ("HTTP/1.1 %d Moved\r\n%scontent-length: 0\r\n\r\n"):format(status,
    location and "location: " .. location .. "\r\n" or "")
end

-- A server that says what it was asked for: "/302/there" leads to "/there", the rest answers with
-- the head and body that came.
local function echo()
  local seen = {}
  local server, url = kept(function(head, body)
    seen[#seen + 1] = head
    local status, there = head:match("^%u+ /(%d%d%d)(/%S*)")
    if status then return moved(status, there) end
    local answer = head .. body
    if head:find("^HEAD") then
      return ("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"):format(#answer)
    end
    return ok(answer)
  end)
  return server, url, seen
end

-- A server that leads each path to a Location of `table`, and answers the others.
local function leading(locations)
  return kept(function(head)
    local path = head:match("^%u+ (%S+)")
    local to = locations[path]
    if type(to) == "function" then to = to() end
    return to and moved(302, to) or ok(head)
  end)
end

local function get(url, o)
  local s <close> = http.session()
  return s:get(url, o)
end

local function refused(res, err, pattern)
  assert.is_nil(res)
  assert.equal("EREDIRECT", err.code)
  assert.equal("redirect", err.op)
  assert.matches(pattern, tostring(err), 1, true)
  assert.equal(err.status, err.response.status)
  return err
end

describe("http redirects", function()
  -- What Python's requests 2.34 does; where corun does another thing, that stands behind the "/".
  local TABLE = {
    -- status  GET    HEAD    POST        PUT        PATCH          DELETE
    {301, "GET", "HEAD", "GET", "PUT / PUT body", "PATCH / PATCH body", "DELETE / DELETE body"},
    {302, "GET", "HEAD", "GET", "GET", "GET", "GET"},
    {303, "GET", "HEAD", "GET", "GET", "GET", "GET"},
    {307, "GET", "HEAD", "POST body", "PUT body", "PATCH body", "DELETE body"},
    {308, "GET", "HEAD", "POST body", "PUT body", "PATCH body", "DELETE body"},
  }
  local METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

  -- The last request that a server saw, as the table has it.
  local function last(seen, res)
    local method = seen[#seen]:match("^%u+")
    local body = res and res.body:match("\r\n\r\n(.+)$") or ""
    local typed = seen[#seen]:lower():find("\r\ncontent-type: text/plain", 1, true) ~= nil
    assert.equal(body ~= "", typed, "the content type goes with the body")
    return body == "" and method or method .. " " .. body
  end

  it("methods and bodies are as the table says", function()
    local server <close>, url, seen = echo()
    local s <close> = http.session()
    for _, row in ipairs(TABLE) do
      for i, method in ipairs(METHODS) do
        local has_body = method ~= "GET" and method ~= "HEAD"
        local res = assert(s:request(method, url .. "/" .. row[1] .. "/end", has_body and
          {body = "body", headers = {["Content-Type"] = "text/plain"}} or nil))
        local expected = row[i + 1]:match("/ (.*)") or row[i + 1]
        assert.equal(200, res.status)
        assert.equal(url .. "/end", res.url)
        assert.equal(1, #res.history)
        assert.equal(row[1], res.history[1].status)
        assert.equal(expected, last(seen, res), row[1] .. " " .. method)
      end
    end
    server:close()
  end)

  it("the table is what Python's requests does", function()
    if not support.has("python3") or not select(2, support.run("python3", "-c", "import requests"))
    then
      return pending("python3 with requests is not installed")
    end
    local server <close>, url = echo()
    local out, good = support.run("python3", "-c", [[
import requests, sys
for status in (301, 302, 303, 307, 308):
    row = []
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        s = requests.Session()
        s.trust_env = False
        has_body = method not in ("GET", "HEAD")
        r = s.request(method, "%s/%d/end" % (sys.argv[1], status), allow_redirects=True,
            data=b"body" if has_body else None)
        body = r.text.partition("\r\n\r\n")[2]
        row.append((r.request.method + " " + body).strip())
    print(status, *row, sep=",")
]], url)
    assert.is_true(good, out)
    local expected = {}
    for i, row in ipairs(TABLE) do
      local cells = {row[1]}
      for k = 2, #row do cells[k] = row[k]:gsub(" /.*", "") end
      expected[i] = table.concat(cells, ",")
    end
    assert.equal(table.concat(expected, "\n") .. "\n", out)
    server:close()
  end)

  -- But for a body that 301 keeps, which the table above has: requests drops what describes it.
  it("the headers are those of Python's requests, here and at another port", function()
    if not support.has("python3") or not select(2, support.run("python3", "-c", "import requests"))
    then
      return pending("python3 with requests is not installed")
    end
    local other <close>, other_url = echo()
    local server <close>, url = kept(function(head, body)
      local status, where = head:match("^%u+ /(%d%d%d)/(%a+)")
      if not status then return ok(head .. body) end
      return moved(status, (where == "other" and other_url or "") .. "/end")
    end)
    local out, good = support.run("python3", "-c", [[
import requests, sys
for status in (301, 302, 303, 307, 308):
    for where in ("same", "other"):
        for method in ("POST", "PUT", "DELETE")[:1 if status == 301 else 3]:
            s = requests.Session()
            s.trust_env = False
            r = s.request(method, "%s/%d/%s" % (sys.argv[1], status, where), data=b"body",
                headers={"Content-Type": "text/plain", "Authorization": "x", "X-Other": "y"})
            head = r.text.partition("\r\n\r\n")[0].lower()
            names = ("content-type", "content-length", "authorization", "x-other")
            print(status, where, method, *["\r\n%s:" % n in head for n in names])
]], url)
    assert.is_true(good, out)
    local s <close>, lines = http.session(), {}
    for _, status in ipairs({301, 302, 303, 307, 308}) do
      for _, where in ipairs({"same", "other"}) do
        for _, method in ipairs(status == 301 and {"POST"} or {"POST", "PUT", "DELETE"}) do
          local res = assert(s:request(method, ("%s/%d/%s"):format(url, status, where), {
            body = "body",
            headers = {["Content-Type"] = "text/plain", Authorization = "x", ["X-Other"] = "y"}}))
          local head, line = res.body:match("^.-\r\n\r\n"):lower(), {status, where, method}
          for _, name in ipairs({"content-type", "content-length", "authorization", "x-other"}) do
            local has = head:find("\r\n" .. name .. ":", 1, true) ~= nil
            line[#line + 1] = has and "True" or "False"
          end
          lines[#lines + 1] = table.concat(line, " ")
        end
      end
    end
    assert.equal(table.concat(lines, "\n") .. "\n", out)
    server:close()
    other:close()
  end)

  it("other statuses of 300 are answers, and those of 200 have no history", function()
    local server <close>, url = echo()
    for _, status in ipairs({300, 304, 305, 306}) do
      local res = assert(get(url .. "/" .. status .. "/end"))
      assert.equal(status, res.status)
      assert.same({}, res.history)
    end
    assert.same({}, assert(get(url)).history)
    server:close()
  end)

  it("one that does not say where to is an answer, as for curl, Go and requests", function()
    local server <close>, url = kept(function(head)
      local status = tonumber(head:match("^GET /(%d+)"))
      if status then return moved(status, head:find("empty") and "") end
      return moved(302, "/307")
    end)
    local s <close> = http.session()
    for _, status in ipairs({301, 302, 303, 307, 308}) do
      for _, path in ipairs({"/", "/empty"}) do
        local res = assert(s:get(url .. "/" .. status .. path))
        assert.equal(status, res.status)
        assert.same({}, res.history)
      end
    end
    local res = assert(s:get(url .. "/start"))
    assert.equal(307, res.status)
    assert.equal(url .. "/307", res.url)
    assert.equal(1, #res.history)
    server:close()
  end)

  it("Location is relative to the URL that was asked for", function()
    local cases = {
      {"c", "/a/c"}, {"/c", "/c"}, {"./c?x=1", "/a/c?x=1"}, {"../c", "/c"}, {"?y", "/a/b?y"},
      {"//HOST/z", "/z"}, {"HTTP://HOST/up", "/up"}, {"sp ace", "/a/sp%20ace"},
      {"/caf\xC3\xA9", "/caf%C3%A9"}, {"/%2e%2e/x", "/x"},
    }
    for _, case in ipairs(cases) do
      local locations = {}
      local server <close>, url = leading(locations)
      locations["/a/b"] = case[1]:gsub("HOST", server:address())
      local res = assert(get(url .. "/a/b"))
      assert.equal(url .. case[2], res.url)
      assert.equal("GET " .. case[2] .. " HTTP/1.1", res.body:match("^[^\r]*"))
      server:close()
    end
  end)

  it("a fragment is carried over, unless Location has one, and is never sent", function()
    local server <close>, url = leading({["/a"] = "/b", ["/b"] = "/c", ["/x"] = "/y#own"})
    local res = assert(get(url .. "/a#part"))
    assert.equal(url .. "/c#part", res.url)
    assert.equal(url .. "/b#part", res.history[2].url)
    assert.matches("^GET /c HTTP", res.body)
    assert.equal(url .. "/y#own", assert(get(url .. "/x#part")).url)
    server:close()
  end)

  it("history has the answers that led there, in order", function()
    local server <close>, url = leading({["/1"] = "/2", ["/2"] = "/3", ["/3"] = "/4"})
    local res = assert(get(url .. "/1"))
    assert.equal(url .. "/4", res.url)
    for i = 1, 3 do
      assert.equal(url .. "/" .. i, res.history[i].url)
      assert.equal(302, res.history[i].status)
      assert.same({}, res.history[i].history)
    end
    assert.equal(3, #res.history)
    server:close()
  end)

  describe("to another origin", function()
    local SENT = {Authorization = "secret 1", Cookie = "secret=2",
      ["Proxy-Authorization"] = "secret 3", ["X-Other"] = "kept"}

    it("credentials do not go, and do not come back", function()
      local away = {}
      local other <close>, other_url = leading(away)
      local server <close>, url = leading({["/a"] = other_url .. "/b", ["/same"] = "/c"})
      away["/back"] = url .. "/c"
      local res = assert(get(url .. "/same", {headers = SENT}))
      for i = 1, 3 do assert.matches("secret.?" .. i, res.body) end
      res = assert(get(url .. "/a", {headers = SENT}))
      assert.not_matches("secret", res.body)
      assert.matches("\r\nX%-Other: kept\r\n", res.body)
      assert.matches("\r\nhost: " .. other:address(), res.body, 1, true)
      away["/b"] = url .. "/c"
      res = assert(get(url .. "/a", {headers = SENT}))
      assert.equal(url .. "/c", res.url)
      assert.not_matches("secret", res.body)
      server:close()
      other:close()
    end)

    it("a Host header of the script's does not go", function()
      local other <close>, other_url = leading({})
      local server <close>, url = leading({["/a"] = other_url .. "/b", ["/same"] = "/c"})
      local o = {headers = {Host = "example.org"}}
      assert.matches("\r\nHost: example.org\r\n", assert(get(url .. "/same", o)).body, 1, true)
      assert.matches("\r\nhost: " .. other:address() .. "\r\n",
        assert(get(url .. "/a", o)).body, 1, true)
      server:close()
      other:close()
    end)

    it("S43 the headers of a session with a base do not go", function()
      local other <close>, other_url = leading({})
      local server <close>, url = leading({["/v1/a"] = other_url .. "/b", ["/v1/same"] = "/c"})
      local s <close> = http.session({base = url .. "/v1", headers = {["X-Key"] = "key",
        ["User-Agent"] = "mine", ["X-Both"] = "session"}})
      local o = {headers = {["X-Both"] = "own"}}
      local body = assert(s:get("/same", o)).body
      assert.matches("X-Key: key", body, 1, true)
      assert.matches("User-Agent: mine", body, 1, true)
      body = assert(s:get("/a", o)).body
      assert.not_matches("X-Key", body, 1, true)
      assert.matches("\r\nuser-agent: corun\r\n", body, 1, true)
      assert.matches("X-Both: own", body, 1, true)
      server:close()
      other:close()
    end)
  end)

  describe("end", function()
    it("after ten, or as many as are said", function()
      local n = 0
      local server <close>, url = kept(function()
        n = n + 1
        return moved(302, "/" .. n)
      end)
      local err = refused(nil, select(2, get(url)), "is one more than the 10 allowed")
      assert.equal(11, n)
      assert.equal(10, #err.response.history)
      assert.equal(url .. "/10", err.target)
      n = 0
      refused(nil, select(2, get(url, {redirects = 3})), "302 is one more than the 3 allowed")
      assert.equal(4, n)
      n = 0
      refused(nil, select(2, get(url, {redirects = {max = 1}})), "one more than the 1")
      assert.equal(2, n)
      server:close()
    end)

    it("in a circle, as soon as it is one", function()
      local n = 0
      local server <close>, url = leading({["/a"] = function() n = n + 1 return "/b" end,
        ["/b"] = "/a", ["/self"] = "/self"})
      refused(nil, select(2, get(url .. "/a", {redirects = 1000})),
        "leads in a circle through " .. url)
      assert.equal(2, n)
      refused(nil, select(2, get(url .. "/self")), "in a circle through " .. url .. "/self")
      server:close()
    end)

    it("but a server may send back to where it was asked for", function()
      local first = true
      local server <close>, url = leading({["/a"] = function()
        if not first then return nil end
        first = false
        return "/a"
      end})
      assert.equal(200, assert(get(url .. "/a")).status)
      server:close()
    end)

    it("at once where they are switched off, for a request or the session", function()
      local server <close>, url = leading({["/a"] = "/b"})
      for _, none in ipairs({0, false}) do
        assert.equal(302, assert(get(url .. "/a", {redirects = none})).status)
        local s <close> = http.session({redirects = none})
        assert.equal(302, assert(s:get(url .. "/a")).status)
        assert.equal(200, assert(s:get(url .. "/a", {redirects = true})).status)
      end
      server:close()
    end)

    it("where an answer leads nowhere, with its phase, peer and cause", function()
      local cases = {
        {"ftp://h/x", 'leads to "ftp://h/x": the scheme is not http or https'},
        {"file:///etc/passwd", "the scheme is not http"},
        {"javascript:alert(1)", 'leads to "javascript:alert(1)": not an absolute URL'},
        {"http+unix://%2Ftmp%2Fx/", "leads to a Unix socket"},
        {"http://", 'leads to "http://": '},
        {"http://h:99999/", "port"},
        {"http://user:pass@h/", "user and password do not belong into this URL"},
        {"/a\tb", "has a control character in its Location"},
      }
      for _, case in ipairs(cases) do
        local server <close>, url = leading({["/a"] = case[1]})
        local err = refused(nil, select(2, get(url .. "/a")), case[2])
        assert.equal(url .. "/a", err.target)
        assert.equal(302, err.status)
        server:close()
      end
      local server <close>, url = kept(function(head)
        return moved(301, head:find("/two") and "/a\r\nlocation: /b")
      end)
      refused(nil, select(2, get(url .. "/two")), "has several lines Location")
      server:close()
    end)

    it("where the next server does not answer", function()
      local port = 1 -- where nothing listens, also while other specs run
      local server <close>, url = leading({["/a"] = "http://127.0.0.1:" .. port .. "/"})
      local res, err = get(url .. "/a")
      assert.is_nil(res)
      assert.equal("ECONNREFUSED", err.code)
      assert.equal("connect", err.op)
      assert.matches(":" .. port, err.target, 1, true)
      server:close()
    end)

    it("S43 when the total is over", function()
      local n = 0
      local server <close>, url = kept(function()
        n = n + 1
        corun.sleep(0.02)
        return moved(302, "/" .. n)
      end)
      local before = corun.now()
      local res, err = get(url, {redirects = 1000, timeout = {total = 0.1}})
      assert.is_nil(res)
      assert.equal("ETIMEDOUT", err.code)
      assert.is_true(corun.now() - before < 2)
      server:close()
    end)
  end)

  it("from https to http only where that is said, and then without credentials", function()
    if not certificates.has_openssl then return pending("the openssl command is not installed") end
    local folder = certificates.make_certificates()
    local _ <close> = corun.defer(function() certificates.remove(folder) end)
    local plain <close>, plain_url = leading({})
    local secure <close>, url = kept(function(head)
      return moved(302, head:find("GET /a") and "/out" or plain_url .. "/")
    end, {cert = folder .. "good.pem", key = folder .. "key.pem"})
    local s <close> = http.session({tls = {ca = folder .. "ca.pem"}})
    local o = {headers = {Authorization = "secret"}}
    local err = refused(nil, select(2, s:get(url .. "/a", o)),
      "leads from https to " .. plain_url .. "/, where all could read along")
    assert.equal(url .. "/out", err.target)
    o.redirects = {downgrade = true}
    local res = assert(s:get(url .. "/a", o))
    assert.equal(plain_url .. "/", res.url)
    assert.not_matches("secret", res.body)
    secure:close()
    plain:close()
  end)

  it("a file is sent again, a function is not", function()
    local path = os.tmpname()
    local _ <close> = corun.defer(function() os.remove(path) end)
    local f <close> = assert(io.open(path, "w"))
    f:write("of a file")
    f:close()
    local server <close>, url = support.raw(function(stream)
      while true do
        local head, body = support.read_request(stream)
        if not head then return end
        local status = head:match("^%u+ /(%d+)")
        stream:write(status and moved(status, "/end") or ok(head:match("^%u+") .. " " .. body))
      end
    end)
    local res = assert(get(url .. "/308", nil)) -- a GET, which has none
    assert.equal("GET ", res.body)
    local s <close> = http.session()
    res = assert(s:put(url .. "/308", {body = {path = path}}))
    assert.equal("PUT of a file", res.body)
    res = assert(s:post(url .. "/303", {body = {path = path}}))
    assert.equal("GET ", res.body)
    local function once()
      local given = false
      return function()
        if given then return nil end
        given = true
        return "of a function"
      end
    end
    refused(nil, select(2, s:post(url .. "/307", {body = once()})),
      "asks for the body again, which cannot be sent twice")
    assert.equal("GET ", assert(s:post(url .. "/302", {body = once()})).body)
    server:close()
  end)

  it("with stream = true only the last answer is streamed, over the same connection", function()
    local n = 0
    local server <close>, url = kept(function(head, _, connection)
      n = connection
      if head:find("GET /b") then return ok("end") end
      return "HTTP/1.1 302 X\r\nlocation: /b\r\ncontent-length: 3\r\n\r\nabc"
    end)
    local s <close> = http.session()
    local res <close> = assert(s:get(url .. "/a", {stream = true}))
    assert.equal("end", res:read("a"))
    assert.equal(302, res.history[1].status)
    assert.equal(1, n)
    assert.equal(1, s.pool.open)
    assert.equal(0, s.pool.active)
    server:close()
  end)

  it("with stream = true a long answer is not read, and its connection not kept", function()
    local n = 0
    local server <close>, url = kept(function(head, _, connection)
      n = connection
      return head:find("GET /a") and
        "HTTP/1.1 302 X\r\nlocation: /b\r\ncontent-length: 99999999\r\n\r\n" or ok("end")
    end)
    local s <close> = http.session()
    local res <close> = assert(s:get(url .. "/a", {stream = true}))
    assert.equal("end", res:read("a"))
    assert.equal(2, n)
    assert.equal(1, s.pool.open)
    server:close()
  end)

  it("with stream = true an answer that is left, or cancelled, holds no connection", function()
    local head = "HTTP/1.1 302 X\r\nlocation: /a\r\ncontent-length: 9\r\n\r\nabc"
    local server <close>, url = kept(function(asked)
      return asked:find("GET /a") and head .. "defghi" or head
    end)
    local s <close> = http.session({limit = 1})
    collectgarbage("stop") -- it would close what is lost
    local _ <close> = corun.defer(function() collectgarbage("restart") end)
    local res, err = s:get(url .. "/a", {stream = true})
    assert.is_nil(res)
    assert.equal("EREDIRECT", err.code)
    assert.equal(302, err.response.status)
    assert.equal(0, s.pool.active)
    for moment = 1, 40 do -- the last ones while the rest of the body is awaited
      local t = corun.async(s.get, s, url .. "/b", {stream = true})
      for _ = 1, moment do corun.yield() end
      t:cancel()
      corun.try(t.await, t)
      assert.equal(0, s.pool.active)
    end
    server:close()
  end)

  it("over a Unix socket they stay on it, or lead off it, never onto one", function()
    local path = os.tmpname()
    os.remove(path)
    local other <close>, other_url = leading({})
    local server <close> = assert(net.serve("unix:" .. path, function(stream)
      while true do
        local head = support.read_request(stream)
        local to = head and (head:find("GET /a") and "/b" or head:find("GET /off") and other_url)
        if not head or not stream:write(to and moved(302, to) or ok(head)) then return end
      end
    end))
    local s <close> = http.session()
    local o = {headers = {Authorization = "secret"}}
    local encoded = "http+unix://" .. path:gsub("/", "%%2F")
    local res = assert(s:get(encoded .. "/a", o))
    assert.equal(encoded .. "/b", res.url)
    assert.matches("secret", res.body)
    res = assert(s:get(encoded .. "/off", o))
    assert.equal(other_url .. "/", res.url)
    assert.not_matches("secret", res.body)
    local based <close> = http.session({base = "http://api", unix = path})
    assert.equal("http://api/b", assert(based:get("/a")).url)
    assert.equal(other_url .. "/", assert(based:get("/off")).url)
    server:close()
    other:close()
  end)

  -- The layer alone, with answers that no server of ours could give.
  describe("the layer", function()
    local url = require("corun.http_url")

    local function request(scheme, fields)
      local u = assert(url.parse("http://h/a"))
      u.scheme = scheme
      local r = {u = u, url = scheme .. "://h/a", target = "/a", method = "POST", lines = {},
        redirects = {max = 10}}
      for k, v in pairs(fields) do r[k] = v end
      function r.copy() return setmetatable({}, {__index = r}) end
      function r.seal() end
      function r.remove() end
      function r.set_body() end
      function r:lead_to(to) self.u, self.url = to, to.url return true end
      function r.rewind() return not fields.used_up end
      return r
    end

    local function run(r, status, location)
      local sent = {}
      return sent, redirect.layer({counts = {redirects = 0}}, r, function(_, req)
        sent[#sent + 1] = req
        return #sent == 1 and {status = status, headers = {location = location}, block = ""}
          or {status = 200}
      end)
    end

    it("https to http is refused unless that is said", function()
      local sent, res, err = run(request("https", {}), 303, "http://h/b")
      refused(res, err, "leads from https to http://h/b, where all could read along")
      assert.equal(1, #sent)
      sent, res = run(request("https", {redirects = {max = 10, downgrade = true}}), 303,
        "http://h/b")
      assert.equal(200, res.status)
      assert.equal("http://h/b", sent[2].url)
    end)

    it("a body that cannot be sent again refuses 307 and 308, not 303", function()
      for _, status in ipairs({307, 308}) do
        local sent, res, err = run(request("http", {used_up = true}), status, "/b")
        refused(res, err, "redirect http://h/a: the answer " .. status ..
          " asks for the body again, which cannot be sent twice")
        assert.equal(1, #sent)
      end
      local sent, res = run(request("http", {used_up = true}), 303, "/b")
      assert.equal(200, res.status)
      assert.equal("GET", sent[2].method)
    end)
  end)

  it("what is no such option is misuse, in the caller's line", function()
    for value, message in pairs({
      [-1] = 'option "redirects" must be an integer, 0 or more, got -1',
      [1.5] = "got 1.5", [{max = -1}] = 'option "max" for redirects',
      [{maxx = 1}] = 'did you mean "max"', ["10"] = 'option "redirects" for request must be',
    }) do
      local good, err = pcall(get, "http://127.0.0.1:1/", {redirects = value})
      assert.is_false(good)
      assert.matches(message, err, 1, true)
      assert.matches("http_redirect_spec.lua:%d+: ", err)
    end
    assert.has_error(function() http.session({redirects = -1}) end)
  end)
end)
