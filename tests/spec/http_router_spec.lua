-- SPDX-License-Identifier: MIT
-- http.router: which route a request gets, and what becomes of those that get none.

local http = require("corun.http")
local support = require("tests.spec.support.http")

-- A request as handlers get it, as far as routers look.
local function request(method, target)
  return {method = method, target = target}
end

-- A router of "METHOD /pattern" lines, whose handlers answer the line and the parameters.
local function routes(...)
  local r = http.router()
  for _, line in ipairs{...} do
    local method, pattern = line:match("^(%S+) (.*)$")
    r:route(method, pattern, function(req) return {line, req.params} end)
  end
  return r
end

local function lookup(router, method, target)
  local answer = router(request(method, target))
  if answer.status then return answer.status, answer.headers end
  return answer[1], answer[2]
end

describe("http.router finds", function()
  it("routes by path and method, with parameters", function()
    local r = routes("GET /", "GET /users", "POST /users", "GET /users/:id", "PUT /users/:id",
      "GET /users/:id/posts/:post", "GET /files/*rest")
    local cases = {
      {"GET", "/", "GET /", {}},
      {"GET", "/?x=1", "GET /", {}},
      {"GET", "http://host", "GET /", {}},
      {"GET", "http://host/users?x", "GET /users", {}},
      {"POST", "/users", "POST /users", {}},
      {"HEAD", "/users", "GET /users", {}},
      {"GET", "/users/7?a=/b/c", "GET /users/:id", {id = "7"}},
      {"PUT", "/users/a%20b", "PUT /users/:id", {id = "a b"}},
      {"GET", "/users/a%2Fb", "GET /users/:id", {id = "a/b"}},
      {"GET", "/users/a+b", "GET /users/:id", {id = "a+b"}},
      {"GET", "/users/%zz", "GET /users/:id", {id = "%zz"}},
      {"GET", "/users/..", "GET /users/:id", {id = ".."}},
      {"GET", "/%75sers/x/posts/y", "GET /users/:id/posts/:post", {id = "x", post = "y"}},
      {"GET", "/files/", "GET /files/*rest", {rest = ""}},
      {"GET", "/files/a", "GET /files/*rest", {rest = "a"}},
      {"GET", "/files/a/b%20c//d/", "GET /files/*rest", {rest = "a/b c//d/"}},
      {"GET", "/files/a%2fb/%2e%2e/c", "GET /files/*rest", {rest = "a%2fb/../c"}},
    }
    for _, case in ipairs(cases) do
      local line, params = lookup(r, case[1], case[2])
      assert.equal(case[3], line, case[1] .. " " .. case[2])
      assert.same(case[4], params, case[2])
    end
    assert.equal("http router (7 routes)", tostring(r))
  end)

  it("the most specific one, in whatever order they were added", function()
    local lines = {"GET /a/b/c", "GET /a/:x/c", "GET /:y/b/c", "GET /a/*r", "GET /:y/*r", "GET /*r",
      "GET /a/:x/d"}
    local cases = {
      ["/a/b/c"] = "GET /a/b/c", ["/a/z/c"] = "GET /a/:x/c", ["/z/b/c"] = "GET /:y/b/c",
      ["/a/b/z"] = "GET /a/*r", ["/a/b/d"] = "GET /a/:x/d", ["/z/b/z"] = "GET /:y/*r",
      ["/z"] = "GET /*r", ["//"] = "GET /*r", ["/a/"] = "GET /a/*r",
    }
    for round = 1, 7 do
      local r = routes(table.unpack(lines))
      for path, line in pairs(cases) do
        assert.equal(line, (lookup(r, "GET", path)), round .. " " .. path)
      end
      table.insert(lines, table.remove(lines, 1))
    end
  end)

  it("among routes of one path that with the method, however specific another is", function()
    local r = routes("POST /users/new", "GET /users/:id", "GET /x", "HEAD /x")
    assert.equal("GET /users/:id", (lookup(r, "GET", "/users/new")))
    assert.equal("POST /users/new", (lookup(r, "POST", "/users/new")))
    assert.equal("HEAD /x", (lookup(r, "HEAD", "/x")))
    r:any("/x", function() return {"any"} end)
    assert.equal("any", (lookup(r, "PUT", "/x")))
    assert.equal("GET /x", (lookup(r, "GET", "/x")))
  end)

  it("nothing: 404, 405 and OPTIONS with Allow, or what not_found answers", function()
    local r = routes("GET /users/:id", "DELETE /users/me", "POST /users")
    for _, path in ipairs{"/nowhere", "/users/1/2", "/users//", "//users", "/user",
      "/users/me/x"} do
      assert.equal(404, (lookup(r, "GET", path)), path)
    end
    local status, headers = lookup(r, "PUT", "/users/me")
    assert.equal(405, status)
    assert.equal("DELETE, GET, HEAD, OPTIONS", headers.Allow)
    status, headers = lookup(r, "OPTIONS", "/users/1")
    assert.equal(204, status)
    assert.equal("GET, HEAD, OPTIONS", headers.Allow)
    assert.equal("OPTIONS, POST", select(2, lookup(r, "GET", "/users")).Allow)
    assert.equal(404, (lookup(r, "OPTIONS", "/nowhere")))
    assert.equal(204, (lookup(r, "OPTIONS", "*")))
    r = http.router{not_found = function(req) return {"none for " .. req.target} end}
    assert.equal("none for /x", (lookup(r, "GET", "/x")))
  end)

  it("the path with or without the slash at the end, by a redirect that stays here", function()
    local r = routes("GET /a", "GET /b/", "GET /files/*rest", "GET /:name")
    local cases = {
      ["/a/"] = "/a", ["/b"] = false, ["/b/"] = false, ["/a/?x=1/"] = "/a?x=1/",
      ["/files"] = false, ["http://h/a/?q"] = "/a?q", ["/\\evil.com/"] = "/%5Cevil.com",
      ["/%2Fevil.com/"] = "/%2Fevil.com",
    }
    for target, location in pairs(cases) do
      local status, headers = lookup(r, "GET", target)
      assert.equal(location and 308 or nil, math.tointeger(status), target)
      if location then assert.equal(location, headers.Location) end
    end
    r = routes("GET /b/", "POST /files/*rest")
    assert.equal("/b/?x", select(2, lookup(r, "GET", "/b?x")).Location)
    assert.equal("/files/", select(2, lookup(r, "POST", "/files")).Location)
    assert.equal(404, (lookup(r, "GET", "/files")))
    assert.equal(404, (lookup(routes("GET /:x"), "GET", "//evil.com/")))
  end)

  it("what is mounted, with the path below it and the parameters of both", function()
    local api, app = http.router(), http.router()
    api:get("/", function(req) return {"root", req.params} end)
    api:get("/items/:item", function(req) return {"item", req.params} end)
    app:mount("/api/:tenant/", api)
    app:mount("/raw", function(req) return {req.subpath} end)
    app:get("/api/about", function() return {"about"} end)
    app:get("/api/:tenant/status", function() return {"status"} end)
    for _, path in ipairs{"/api/t", "/api/t/"} do
      local name, params = lookup(app, "GET", path)
      assert.equal("root", name)
      assert.same({tenant = "t"}, params)
    end
    local name, params = lookup(app, "GET", "/api/a%2Fb/items/c%2Fd")
    assert.equal("item", name)
    assert.same({tenant = "a/b", item = "c/d"}, params)
    assert.equal("about", (lookup(app, "GET", "/api/about")))
    assert.equal("status", (lookup(app, "GET", "/api/t/status")))
    assert.equal("/api/t/items/x", select(2, lookup(app, "GET", "/api/t/items/x/")).Location)
    assert.equal(405, (lookup(app, "POST", "/api/t/items/x")))
    for path, below in pairs{["/raw"] = "/", ["/raw/"] = "/", ["/raw/%2e%2e/x%2Fy/"] =
      "/%2e%2e/x%2Fy/", ["/raw//x?q"] = "//x"} do
      assert.equal(below, (lookup(app, "POST", path)), path)
    end
    local all = http.router():mount("/", function(req) return {req.subpath} end)
    assert.equal("/x/y", (lookup(all, "GET", "/x/y")))
    assert.equal("/", (lookup(all, "GET", "/")))
  end)

  it("what middleware lets through, the first being the outermost", function()
    local seen, r = {}, routes("GET /a")
    for _, name in ipairs{"one", "two"} do
      assert.equal(r, r:use(function(inner)
        seen[#seen + 1] = "made " .. name
        return function(req)
          seen[#seen + 1] = name
          return inner(req)
        end
      end))
    end
    assert.equal("GET /a", (lookup(r, "GET", "/a")))
    assert.equal(404, (lookup(r, "GET", "/b")))
    assert.same({"made one", "made two", "one", "two", "one", "two"}, seen)
    r:use(function() return function() return {"stopped"} end end)
    assert.equal("stopped", (lookup(r, "GET", "/b")))
  end)
end)

describe("http.router refuses", function()
  local function fails(pattern, fn)
    local ok, err = pcall(fn)
    assert.is_false(ok)
    assert.matches(pattern, err, 1, true)
    assert.matches("http_router_spec.lua:", err, 1, true)
  end

  it("bad patterns", function()
    local handler = print
    for pattern, why in pairs{
      [""] = "begin", ["a"] = "begin", ["//"] = "empty", ["/a//b"] = "empty", ["/:"] = "name",
      ["/:a-b"] = "name", ["/*"] = "name", ["/*a/b"] = "last", ["/:x/:x"] = "twice",
      ["/a%20b"] = "decoded", ["/a?b"] = "query",
    } do
      fails(why, function() http.router():get(pattern, handler) end)
    end
    fails("must be a string, got nil", function() http.router():get(nil, handler) end)
    fails("rest", function() http.router():mount("/a/*b", handler) end)
  end)

  it("a route that is there, also under other names", function()
    local r = routes("GET /a/:b", "GET /x/*y")
    fails("the route GET /a/:c is there already, as /a/:b", function() r:get("/a/:c", print) end)
    fails("there already", function() r:get("/x/*z", print) end)
    r:mount("/m", print)
    fails("mounted at /m already", function() r:mount("/m/", print) end)
    r:post("/a/:c", print)
  end)

  it("what is no handler, method or middleware", function()
    local r = http.router()
    fails("handler", function() r:get("/a") end)
    fails("handler", function() r:mount("/a", {}) end)
    fails("method", function() r:route("GE T", "/", print) end)
    fails("use needs a function", function() r:use(1) end)
    fails("middleware must return a handler", function() r:use(function() end) end)
    fails('did you mean "not_found"', function() http.router{not_fond = print} end)
    fails("bad self", function() r.get("/a", print) end)
  end)
end)

describe("http.router as the handler of a server", function()
  it("answers requests of curl", function()
    local r = http.router()
    r:get("/users/:id", function(req) return {json = req.params} end)
    local server <close> = assert(http.serve("127.0.0.1:0", r))
    local url = "http://" .. server:address()
    assert.equal('{"id":"a/b c"}', (support.run("curl", "-s", url .. "/users/a%2Fb%20c")))
    assert.matches("^HTTP/1.1 200 OK\r\n.*content%-length: 10\r\n", (support.run("curl", "-sI",
      url .. "/users/7")))
    local out = support.run("curl", "-sX", "OPTIONS", "-i", url .. "/users/7")
    assert.matches("^HTTP/1.1 204 .*Allow: GET, HEAD, OPTIONS\r\n", out)
    assert.equal('{"id":"7"}', (support.run("curl", "-sL", url .. "/users/7/")))
    assert.matches("^HTTP/1.1 405 ", (support.run("curl", "-si", "-d", "x", url .. "/users/7")))
    server:close()
  end)
end)
