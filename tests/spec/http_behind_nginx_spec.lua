-- SPDX-License-Identifier: MIT
-- http.serve behind nginx, which keeps its connections to us: 256 clients at once with bodies of
-- all sizes, both ways, over TCP and a Unix socket; events; what is refused. nginx listens at a
-- socket in a folder of its own, so that nobody can be in the way.
local codec = require "corun.codec"
local corun = require "corun"
local http = require "corun.http"
local process = require "corun.process"
local support = require("tests.spec.support.http")

local fs = corun.fs

local CONF = [[
daemon off; master_process off; pid pid; error_log stderr crit;
events { worker_connections 2048; }
http { access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;
  uwsgi_temp_path u; scgi_temp_path s; client_max_body_size 8m;
  upstream app { server APP; keepalive 256; keepalive_timeout 60s; }
  server { listen unix:DIR/front backlog=1024; keepalive_requests 100000;
    location / {
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For 127.0.0.1; proxy_next_upstream off;
      location /unbuffered { proxy_pass http://app; proxy_request_buffering off;
        proxy_buffering off; } } } }
]]

-- nginx in front of a server at `address`: a session that asks it, closed with it.
local function front(dir, address, limit)
  local nginx = support.has("nginx") and "nginx" or "/usr/sbin/nginx" -- in the path of few users
  assert(fs.write(dir .. "/nginx.conf", (CONF:gsub("APP", address):gsub("DIR", dir))))
  local p = assert(process.spawn{nginx, "-p", dir, "-e", "stderr", "-c", "nginx.conf",
    stderr = "inherit"})
  local session = http.session{unix = dir .. "/front", base = "http://app", limit = limit,
    per_host = limit, timeout = 60}
  support.eventually("nginx is there", function()
    local s <close> = corun.net.connect("unix:" .. dir .. "/front")
    return s
  end)
  return session, setmetatable({}, {__close = function()
    session:close()
    p:close()
    os.remove(dir .. "/front")
  end})
end

local function digest(data)
  return codec.hash("sha256"):update(data):hex()
end

describe("http.serve behind nginx", function()
  local SIZES = {0, 1, 500, 4096, 16383, 16384, 65536, 200000, 800000}
  local REQUESTS = 768
  local dir, noise

  setup(function()
    dir = assert(fs.temp{dir = true})
    noise = codec.random(SIZES[#SIZES])
  end)
  teardown(function()
    if dir then dir:close() end
  end)

  -- Check what comes, and answer with a body of the size that is asked for.
  local function check(req)
    local n = tonumber(req.query.size)
    assert(digest(req.body) == req.headers["x-digest"], "the body has changed on the way")
    local body = noise:sub(#noise - n + 1)
    local headers = {["X-Digest"] = digest(body)}
    if req.query.chunked then
      return {headers = headers, stream = function(w)
        for at = 1, n, 50000 do w:write(body:sub(at, at + 49999)) end
      end}
    end
    return {headers = headers, body = body}
  end

  local function exchange(session, i)
    local sent = noise:sub(1, SIZES[i * 7 % #SIZES + 1])
    local res = assert(session:post(i % 3 == 0 and "/unbuffered" or "/", {
      query = {size = SIZES[i * 5 % #SIZES + 1], chunked = i % 2 == 0 and "yes" or nil},
      headers = {["X-Digest"] = digest(sent)}, body = sent,
    }))
    assert.equal(200, res.status)
    assert.equal(res.headers["x-digest"], digest(res.body))
  end

  for _, kind in ipairs{"127.0.0.1:0", "unix:"} do
    it("passes bodies of all sizes between 256 clients and " .. kind .. " #heavy", function()
      if not support.has("nginx") and not support.has("/usr/sbin/nginx") then
        return pending("nginx is not installed")
      end
      local address = kind == "unix:" and kind .. dir:path() .. "/app" or kind
      local peers, connections = {}, 0
      local server <close> = assert(http.serve(address, function(req)
        if not peers[req.peer] then peers[req.peer], connections = true, connections + 1 end
        return check(req)
      end, {idle = 75}))
      local session, _ <close> = front(dir:path(), server:address(), 256)
      local numbers = {}
      for i = 1, REQUESTS do numbers[i] = i end
      corun.map(numbers, function(i) exchange(session, i) end, {limit = 256})
      assert.is_true(connections < REQUESTS / 2, connections)
    end)
  end

  it("passes events one by one, and what it is refused with", function()
    if not support.has("nginx") and not support.has("/usr/sbin/nginx") then
      return pending("nginx is not installed")
    end
    local seen = corun.channel()
    local app = http.router()
    app:get("/events", http.sse(function(events)
      for i = 1, 3 do
        events:event(tostring(i))
        seen:recv() -- the next one when this one has come
      end
    end))
    app:post("/small", function() return "fine" end)
    local server <close> = assert(http.serve("127.0.0.1:0", app, {idle = 75, max_body = 1000}))
    local session, _ <close> = front(dir:path(), server:address(), 8)
    local got = {}
    local res <close> = assert(session:get("/events", {stream = true}))
    for line in res:lines() do
      local data = line:match("^data: (.*)")
      if data then
        got[#got + 1] = data
        seen:send(true)
      end
    end
    assert.same({"1", "2", "3"}, got)
    for _ = 1, 3 do
      assert.equal(413, assert(session:post("/small", {body = ("x"):rep(100000)})).status)
      assert.equal("fine", assert(session:post("/small", {body = "x"})).body)
      assert.equal(404, assert(session:get("/none")).status)
    end
  end)
end)
