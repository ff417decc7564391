-- SPDX-License-Identifier: MIT
-- What URLs of requests may have beside ASCII, host and path: names in other scripts, a user and a
-- password.

local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local ok, kept = support.ok, support.kept

-- A server that answers with its request's head.
local function echo()
  return kept(function(head) return ok(head) end)
end

local function authorization(res)
  return res.body:match("\r\n[Aa]uthorization: ([^\r]*)") or "none"
end

describe("http URLs with names in other scripts", function()
  it("are resolved as the URL Standard has them", function()
    local s <close> = http.session()
    for name, ascii in pairs({
      ["MÜNCHEN.invalid"] = "xn--mnchen-3ya.invalid", ["ａ。invalid"] = "a.invalid",
      ["xn--mnchen-3ya.invalid"] = "xn--mnchen-3ya.invalid",
    }) do
      local res, err = s:get("http://" .. name .. "/")
      assert.is_nil(res)
      assert.equal("resolve", err.op)
      assert.equal(ascii .. ":80", err.target)
    end
  end)

  it("are what they mean: addresses, Host, a base", function()
    local server <close>, url = echo()
    local address = server:address()
    local wide = url:gsub("127", "１２７")
    local s <close> = http.session({base = wide})
    local res = assert(s:get("/x"))
    assert.matches("\r\nhost: " .. address .. "\r\n", res.body, 1, true)
    assert.equal(wide .. "/x", res.url)
    assert.equal(1, s.pool.open)
    server:close()
  end)
end)

describe("http URLs with a user and a password", function()
  it("authorize the request, and show them nowhere", function()
    local server <close>, url = echo()
    local address = server:address()
    for login, value in pairs({
      ["me:secret"] = "Basic bWU6c2VjcmV0", ["me"] = "Basic bWU6",
      [":secret"] = "Basic OnNlY3JldA==", [""] = "none",
      ["m%40e:sec%3Aret%2F"] = "Basic bUBlOnNlYzpyZXQv", ["a@b:c"] = "Basic YUBiOmM=",
    }) do
      local s <close> = http.session()
      for _ = 1, 2 do -- the second is remembered
        local res = assert(s:get("http://" .. login .. "@" .. address .. "/x?y#z"))
        assert.equal(value, authorization(res))
        assert.equal(url .. "/x?y#z", res.url)
      end
    end
    local port = support.free_port()
    local res, err = http.get(("http://me:secret@127.0.0.1:%d/"):format(port))
    assert.is_nil(res)
    assert.not_matches("secret", tostring(err))
    server:close()
  end)

  it("the request's header and auth go before them, they before the session's", function()
    local server <close>, url = echo()
    local login = url:gsub("//", "//me:secret@")
    local s <close> = http.session({auth = "session", headers = {authorization = "session"}})
    assert.equal("Basic bWU6c2VjcmV0", authorization(assert(s:get(login))))
    assert.equal("Bearer own", authorization(assert(s:get(login, {auth = "own"}))))
    assert.equal("own", authorization(assert(s:get(login, {headers = {Authorization = "own"}}))))
    server:close()
  end)

  it("stay with their origin", function()
    local other <close>, elsewhere = echo()
    local server <close>, url = kept(function(head)
      local to = head:match("^GET /(%a+)") == "away" and elsewhere or "/end"
      if head:find("^GET /end") then return ok(head) end
      return "HTTP/1.1 302 X\r\nlocation: " .. to .. "\r\ncontent-length: 0\r\n\r\n"
    end)
    local s <close> = http.session()
    local login = url:gsub("//", "//me:secret@")
    assert.equal("Basic bWU6c2VjcmV0", authorization(assert(s:get(login .. "/here"))))
    assert.equal("none", authorization(assert(s:get(login .. "/away"))))
    assert.equal("none", authorization(assert(s:get(url .. "/here"))))
    server:close()
    other:close()
  end)

  it("that cannot be sent are EURL, and shown nowhere either", function()
    for _, login in ipairs({"me:sec%0Aret", "m%3Ae:secret", "%00:secret"}) do
      local res, err = http.get("http://" .. login .. "@127.0.0.1:1/")
      assert.is_nil(res)
      assert.equal("EURL", err.code)
      assert.equal("http://127.0.0.1:1/", err.target)
      assert.not_matches("ret", tostring(err))
    end
    local good, err = pcall(http.session, {base = "http://me:secret@h/"})
    assert.is_false(good)
    assert.matches("they go into", err, 1, true)
    assert.not_matches("secret", err)
    local s <close> = http.session({on_request = function(req)
      req.url = "http://me:secret@127.0.0.1:1/"
    end})
    err = select(2, s:get("http://127.0.0.1:1/"))
    assert.equal("EURL", err.code)
    assert.not_matches("secret", tostring(err))
  end)

  it("are in no error of a page or of a file, nor in what is noted of the file", function()
    local server <close>, url = kept(function() -- all but a byte
      return ok(("x"):rep(100), 'etag: "1"\r\n'):sub(1, -2)
    end)
    local login = url:gsub("//", "//me:secret@")
    local s <close> = http.session({timeout = {read = 0.1}})
    local folder <close> = assert(fs.temp({dir = true}))
    local path = folder:path() .. "/file"
    local n, err = s:download(login, path)
    assert.is_nil(n)
    assert.not_matches("secret", tostring(err))
    assert.not_matches("secret", assert(fs.read(path .. ".part.json")))
    server:close()

    local fine <close>, fine_url = kept(function() return ok("x") end)
    login = fine_url:gsub("//", "//me:secret@")
    n, err = s:download(login, path, {sha256 = ("0"):rep(64)})
    assert.is_nil(n)
    assert.equal("download " .. fine_url, ("%s %s"):format(err.op, err.target))
    for _, following in ipairs({login, "http://me:secret@ho st/"}) do
      err = select(2, corun.try(function()
        for _ in s:paginate(login, function() return following end) do end
      end))
      assert.equal("paginate", err.op)
      assert.not_matches("secret", tostring(err))
    end
    fine:close()
  end)
end)
