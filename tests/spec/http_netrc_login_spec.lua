-- SPDX-License-Identifier: MIT
-- The option netrc: whose name and password go where (S43). How files are read is in
-- http_netrc_spec.lua.

local codec = require("corun.codec")
local http = require("corun.http")
local support = require("tests.spec.support.http")
local files = dofile("tests/spec/support/files.lua")

local kept, ok = support.kept, support.ok

-- A server that answers with who it was asked by, as `seen` has it too; "/to?URL" leads there.
local function echo(seen)
  return kept(function(head)
    local value = head:match("\r\n[Aa]uthorization: ([^\r]*)") or "none"
    local who = value:match("^Basic (.*)")
    who = who and codec.base64.decode(who) or value
    if seen then seen[#seen + 1] = who end
    local to = head:match("^%u+ /to%?(%S+)")
    if to then
      return ("HTTP/1.1 302 Found\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n"):format(to)
    end
    return ok(who)
  end)
end

local function renamed(url)
  return (url:gsub("127%.0%.0%.1", "localhost"))
end

local function body(s, url, o)
  return assert(s:get(url, o)).body
end

describe("http netrc", function()
  local folder, path, named

  setup(function()
    folder, path = files.folder()
    files.put(path .. "/all", "machine 127.0.0.1 login me password secret\n"
      .. "default login anyone password public\n")
    files.put(path .. "/named", "machine 127.0.0.1 login me password secret\n")
    files.put(path .. "/both", "machine 127.0.0.1 login me password secret\n"
      .. "machine localhost login you password other\n")
    named = path .. "/named"
  end)

  teardown(function() folder:close() end)

  it("is for a session or a request, and is not looked at unasked", function()
    local server <close>, url = echo()
    local s <close> = http.session({netrc = named})
    local plain <close> = http.session()
    assert.equal("me:secret", body(s, url))
    assert.equal("none", body(s, renamed(url)))
    assert.equal("none", body(s, url, {netrc = false}))
    assert.equal("none", body(plain, url))
    assert.equal("me:secret", body(plain, url, {netrc = named}))
    assert.equal("anyone:public", body(plain, renamed(url), {netrc = path .. "/all"}))
    server:close()
  end)

  it("true is the file of $NETRC, or ~/.netrc, which may be absent", function()
    local server <close>, url = echo()
    local code = ([[
      local http = require "corun.http"
      local s <close> = http.session{netrc = true}
      print(assert(s:get(%q)).body)
    ]]):format(url)
    local function run(...)
      local words = {"env", ...}
      table.move({support.corun(), "-e", code}, 1, 3, #words + 1, words)
      return (support.run(table.unpack(words)))
    end
    assert.equal("me:secret\n", run("NETRC=" .. named))
    assert.equal("none\n", run("-u", "NETRC", "HOME=" .. path))
    files.put(path .. "/.netrc", "default login home password p\n")
    assert.equal("home:p\n", run("-u", "NETRC", "HOME=" .. path))
    server:close()
  end)

  it("what the script says itself goes before it", function()
    local server <close>, url = echo()
    local s <close> = http.session({netrc = named, auth = {"session", "s"}, base = url})
    assert.equal("session:s", body(s, "/"))
    assert.equal("own:o", body(s, "/", {auth = {"own", "o"}}))
    assert.equal("Digest x", body(s, "/", {headers = {Authorization = "Digest x"}}))
    server:close()
  end)

  it("S43 a redirect gets what is its host's, by name", function()
    local seen = {}
    local server <close>, url = echo(seen)
    local name = renamed(url)
    local s <close> = http.session({netrc = path .. "/both"})
    assert.equal("me:secret", body(s, url .. "/to?/end"))
    assert.equal("you:other", body(s, url .. "/to?" .. name .. "/end"))
    assert.equal("you:other", body(s, url .. "/to?" .. name .. "/end", {auth = {"own", "o"}}))
    assert.same({"me:secret", "me:secret", "me:secret", "you:other", "own:o", "you:other"}, seen)
    local one <close> = http.session({netrc = named})
    assert.equal("none", body(one, url .. "/to?" .. name .. "/end"))
    assert.equal("me:secret", body(one, name .. "/to?" .. url .. "/end"))
    server:close()
  end)

  it("S43 the default goes nowhere that a server leads to, and with a base nowhere else", function()
    local server <close>, url = echo()
    local name = renamed(url)
    local s <close> = http.session({netrc = path .. "/all"})
    assert.equal("anyone:public", body(s, name .. "/to?/end"))
    assert.equal("none", body(s, url .. "/to?" .. name .. "/end"))
    local based <close> = http.session({netrc = path .. "/all", base = url})
    assert.equal("me:secret", body(based, "/"))
    assert.equal("none", body(based, name))
    based.base = name
    assert.equal("anyone:public", body(based, "/"))
    assert.equal("me:secret", body(based, url))
    server:close()
  end)

  it("curl sends the same", function()
    if not support.has("curl") then return pending("curl is not installed") end
    local server <close>, url = echo()
    for _, case in ipairs({{"named", url}, {"named", renamed(url)}, {"all", renamed(url)},
        {"both", url .. "/to?" .. renamed(url) .. "/end"},
        {"named", url .. "/to?" .. renamed(url) .. "/end"}}) do
      local s <close> = http.session({netrc = path .. "/" .. case[1]})
      local out, good = support.run("curl", "-sS", "-L", "--noproxy", "*", "--netrc-file",
        path .. "/" .. case[1], case[2])
      assert.is_true(good, out)
      assert.equal(out, body(s, case[2]), case[2])
    end
    server:close()
  end)

  it("a Unix socket in the URL has no host", function()
    files.put(path .. "/local", "machine localhost login me password secret\n")
    local server <close> = assert(http.serve("unix:" .. path .. "/s", function(req)
      return req.headers.authorization or "none"
    end))
    local s <close> = http.session({netrc = path .. "/local"})
    assert.equal("none", body(s, "http+unix://" .. path:gsub("/", "%%2F") .. "%2Fs/"))
    server:close()
  end)

  it("a file that cannot be read, or what cannot be sent, is an error without secrets", function()
    local n = 0
    local server <close>, url = kept(function()
      n = n + 1
      return ok("")
    end)
    files.put(path .. "/bad", "machine 127.0.0.1 password secret oops")
    files.put(path .. "/colon", "machine 127.0.0.1 login a:secret password secret")
    files.put(path .. "/control", "machine 127.0.0.1 login a password \"sec\1ret\"")
    for name, code in pairs({none = "ENOENT", bad = "EINVAL", colon = "EINVAL",
      control = "EINVAL"}) do
      local s <close> = http.session({netrc = path .. "/" .. name})
      local res, err = s:get(url)
      assert.is_nil(res)
      assert.equal(code, err.code)
      assert.not_matches("secret", tostring(err))
    end
    assert.equal(0, n)
    assert.has_error(function() http.session({netrc = ""}) end)
    assert.has_error(function() http.session({netrc = {}}) end)
    server:close()
  end)

  it("the file is read once for a session", function()
    local server <close>, url = echo()
    files.put(path .. "/once", "machine 127.0.0.1 login first password p")
    local s <close> = http.session({netrc = path .. "/once"})
    assert.equal("first:p", body(s, url))
    files.put(path .. "/once", "machine 127.0.0.1 login second password p")
    assert.equal("first:p", body(s, url))
    assert.equal("second:p", body(s, url, {netrc = path .. "/once"}))
    server:close()
  end)
end)
