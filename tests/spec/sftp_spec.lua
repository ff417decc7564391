-- SPDX-License-Identifier: MIT
-- corun.sftp: files, directories and names on an OpenSSH server that the test runs.
local corun = require "corun"
local fs = require "corun.fs"
local files = dofile("tests/spec/support/files.lua")
local sshd = dofile("tests/spec/support/sshd.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local has_module, sftp = pcall(require, "corun.sftp")
if not has_module or not sshd.is_there() then
  describe("corun.sftp", function()
    it("moves files", function()
      return pending("corun.sftp is not built, or sshd is not installed")
    end)
  end)
  return
end

local d
local NAMES = {"plain", "with space", "new\nline", "tab\t", "ünïcödé 文件", "-dash", "'quote\"", "*?",
  ".hidden", "\255\254 no UTF-8", ("long"):rep(60)}

setup(function() d = sshd.folder() end)
teardown(function() d.dir:close() end)

-- A `describe` whose tests have a server and a session in `s` and `c`.
local s, c
local function with_session(options)
  before_each(function()
    s = sshd.serve(d)
    c = assert(sftp.connect(s.address, sshd.options(d, s, options)))
  end)
  after_each(function()
    c:close()
    s.server:close()
  end)
end

local function fresh(name)
  local path = ("%s/%s%d"):format(d.home, name or "f", math.random(1 << 40))
  return path
end

-- So many bytes, no two blocks of them alike.
local function bytes(size)
  local pieces = {}
  for i = 1, size // 1000 do pieces[i] = ("%08d"):format(i):rep(125) end
  pieces[#pieces + 1] = ("x"):rep(size % 1000)
  return table.concat(pieces)
end

local function has_code(code, value, err)
  assert.is_nil(value)
  assert.equal(code, err.code)
  return err
end

describe("reading and writing #heavy", function()
  with_session()

  for _, size in ipairs{0, 1, 29999, 30000, 30001, 65536, 300000, 10 << 20} do
    it(("keeps each byte of %d"):format(size), function()
      local path, data = fresh(), bytes(size)
      assert.equal(size, assert(c:write(path, data)))
      assert.equal(data, files.get(path))
      assert.equal(data, assert(c:read(path)))
      local to = fresh()
      assert.equal(size, assert(c:get(path, to)))
      assert.equal(data, files.get(to))
      local back = fresh()
      assert.equal(size, assert(c:put(to, back)))
      assert.equal(data, files.get(back))
    end)
  end

  it("takes every name", function()
    local dir = fresh()
    assert(c:mkdir(dir))
    for _, name in ipairs(NAMES) do
      assert(c:write(dir .. "/" .. name, name))
      assert.equal(name, assert(c:read(dir .. "/" .. name)))
      assert.equal(#name, assert(c:stat(dir .. "/" .. name)).size)
    end
    local seen = {}
    for i, entry in ipairs(assert(c:list(dir))) do seen[i] = entry.name end
    table.sort(NAMES)
    assert.same(NAMES, seen)
    for _, name in ipairs(NAMES) do assert(c:remove(dir .. "/" .. name)) end
    assert.same({}, c:list(dir))
    assert(c:rmdir(dir))
  end)

  it("replaces a file, and only when it is whole", function()
    local path, to = fresh(), fresh()
    files.put(path, "new")
    files.put(to, "old and longer")
    assert(c:get(path, to))
    assert.equal("new", files.get(to))
    assert(c:write(to, "newer", {atomic = true}))
    assert.equal("newer", files.get(to))
    has_code("ENOENT", c:get(path .. "none", to))
    assert.equal("newer", files.get(to))
    for _, name in ipairs(assert(fs.list(d.home))) do assert.is_nil(name:match("%.part$")) end
  end)

  it("sets modes", function()
    local path = fresh()
    assert(c:write(path, "x", {mode = "640"}))
    assert.equal(416, assert(c:stat(path)).mode)
    assert(c:chmod(path, "600"))
    assert.equal(384, assert(fs.stat(path)).mode)
    assert(c:get(path, path .. "2", {mode = "604"}))
    assert.equal(388, assert(fs.stat(path .. "2")).mode)
  end)

  it("tells how far it is", function()
    local path, seen = fresh(), {}
    assert(c:write(path, ("x"):rep(600000), {on_progress = function(n) seen[#seen + 1] = n end}))
    assert.equal(600000, seen[#seen])
    seen = {}
    assert(c:get(path, fresh(), {on_progress = function(n) seen[#seen + 1] = n end}))
    assert.equal(600000, seen[#seen])
    for i = 2, #seen do assert.is_true(seen[i] > seen[i - 1]) end
  end)

  it("is bounded", function()
    local path = fresh()
    files.put(path, ("x"):rep(100000))
    assert.equal(100000, #assert(c:read(path, {max = 100000})))
    has_code("EMSGSIZE", c:read(path, {max = 99999}))
    assert.equal(100000, #assert(c:read(path)))
  end)

  it("fails for what is not there, is no file, or cannot be written", function()
    local err = has_code("ENOENT", c:read("/nowhere/x"))
    assert.equal("read", err.op)
    assert.equal(s.address .. ":/nowhere/x", err.target)
    assert.equal(2, err.status)
    assert.equal(("read %s:/nowhere/x: no such file or directory (ENOENT)"):format(s.address),
      tostring(err))
    has_code("ENOENT", c:get("/nowhere/x", fresh()))
    has_code("ENOENT", c:write(d.home .. "/nowhere/x", "x"))
    has_code("ENOENT", c:put(d.home .. "/nowhere", fresh()))
    assert.equal("ESFTP", has_code("ESFTP", c:read(d.home)).code)
    local path = fresh()
    files.put(path, "x")
    has_code("ENOENT", c:get(path, d.home .. "/nowhere/x"))
    has_code("EISDIR", c:put(d.home, fresh()))
    assert.truthy(c:stat(path)) -- it goes on
  end)

  it("fails for what is forbidden", function()
    local denied <close> = sshd.serve(d, {sftp = "internal-sftp -R -P stat", known = false})
    local o = sshd.options(d, denied, {insecure = true})
    local reader <close> = assert(sftp.connect(denied.address, o))
    has_code("EACCES", reader:write(fresh(), "x"))
    has_code("EACCES", reader:mkdir(fresh()))
    local err = has_code("EACCES", reader:stat(d.home))
    assert.matches("permission denied", tostring(err))
  end)

  it("reads from a server that gives less than it is asked for", function()
    local path, data = fresh(), bytes(300001)
    files.put(path, data)
    local frugal <close> = sshd.serve(d, {known = false,
      argv = {"/usr/bin/python3", "tests/fixtures/sftp/peer.py", d.host, "frugal"}})
    local session <close> = assert(sftp.connect(frugal.address, {user = "joe", password = "secret",
      insecure = true, timeout = 60}))
    assert.equal(data, assert(session:read(path)))
    local to = fresh()
    assert.equal(#data, assert(session:get(path, to)))
    assert.equal(data, files.get(to))
  end)
end)

describe("names #heavy", function()
  with_session()

  it("are made, moved and removed", function()
    local a, b = fresh(), fresh()
    assert(c:mkdir(a))
    assert.equal("EEXIST", has_code("EEXIST", c:mkdir(a)).code)
    assert(c:mkdir(a .. "/x/y/z", {parents = true}))
    assert(c:mkdir(a .. "/x/y/z", {parents = true}))
    has_code("ENOTEMPTY", c:rmdir(a))
    assert(c:rename(a, b))
    assert.is_true(fs.exists(b .. "/x/y/z"))
    assert(c:rmdir(b .. "/x/y/z"))
    has_code("ENOENT", c:rmdir(b .. "/x/y/z"))
    has_code("ENOENT", c:remove(b .. "/none"))
    has_code("ENOENT", c:rename(b .. "/none", a))
    has_code("ENOENT", c:list(b .. "/none"))
  end)

  it("are replaced only where that is said", function()
    local a, b = fresh(), fresh()
    files.put(a, "a")
    files.put(b, "b")
    local err = has_code("EEXIST", c:rename(a, b))
    assert.matches("rename " .. s.address .. ":" .. a .. " to " .. b, tostring(err), 1, true)
    assert(c:rename(a, b, {replace = true}))
    assert.equal("a", files.get(b))
    assert.is_nil(files.get(a))
  end)

  it("lead to attributes", function()
    local path = fresh()
    files.put(path, "12345")
    assert(fs.link(path, path .. ".l", {symbolic = true}))
    local own = assert(fs.stat(path))
    local got = assert(c:stat(path))
    assert.same({kind = "file", size = 5, mode = own.mode, uid = own.uid, gid = own.gid,
      mtime = own.mtime // 1 | 0, atime = own.atime // 1 | 0}, got)
    assert.equal("file", assert(c:stat(path .. ".l")).kind)
    assert.equal("link", assert(c:stat(path .. ".l", {follow = false})).kind)
    assert.equal(path, assert(c:readlink(path .. ".l")))
    assert.equal("directory", assert(c:stat(d.home)).kind)
    assert.equal(d.home, assert(c:realpath(("%s/../%s/."):format(d.home, d.home:match("[^/]+$")))))
  end)

  it("are as long as the file systems take them", function()
    local dir = fresh()
    assert(c:mkdir(dir))
    for _, name in ipairs{("n"):rep(255), ("\u{20ac}"):rep(85)} do
      local path, own = dir .. "/" .. name, d.path .. "/" .. name
      assert(c:write(path, "1", {atomic = true}))
      assert.equal(1, c:get(path, own))
      assert.equal("1", files.get(own))
      assert.equal(1, c:put(own, path, {atomic = true}))
      assert.equal(name, assert(c:list(dir))[1].name)
      assert(c:remove(path))
      local err = has_code("ENAMETOOLONG", c:stat(path .. "n"))
      assert.equal(s.address .. ":" .. path .. "n", err.target)
    end
    assert.same({}, c:list(dir))
    has_code("ENAMETOOLONG", c:stat(("a/"):rep(2500)))
  end)

  -- Call fn with a session of a server whose names are as the arguments of the program say.
  local function with_names(fn, ...)
    local program = d.path .. "/names"
    files.put(program, ("#!/bin/sh\nexec /usr/bin/python3 %s %s\n"):format(
      fs.realpath("tests/fixtures/sftp/long_names.py"), table.concat({...}, " ")))
    assert(fs.chmod(program, "755"))
    local odd <close> = sshd.serve(d, {sftp = program, known = false})
    local other <close> = assert(sftp.connect(odd.address, sshd.options(d, odd, {insecure = true})))
    fn(other)
  end

  it("of any length come from servers that have such", function()
    for _, n in ipairs{4096, 70000} do
      with_names(function(other)
        local list = assert(other:list("all"))
        assert.same({("a"):rep(n), ("b"):rep(n)}, {list[1].name, list[2].name})
        assert.equal(("c"):rep(n), assert(other:realpath(".")))
        assert.equal(("c"):rep(n), assert(other:readlink("link")))
      end, n)
    end
  end)

  it("that are paths are not believed, and the session goes on", function()
    for _, begin in ipairs{"../", "/etc/", "a/b"} do
      with_names(function(other)
        local err = has_code("EPROTO", other:list("all"))
        assert.matches('all: the server gives a path for the name of a file: ' .. begin,
          tostring(err), 1, true)
        assert.equal(begin .. "cccc", assert(other:realpath(".")))
      end, 4, begin)
    end
  end)

  it("that are too long for a request are refused, and the session goes on", function()
    local long = ("a/"):rep(20000)
    for name, fn in pairs{
      stat = function() return c:stat(long) end,
      list = function() return c:list(long) end,
      read = function() return c:read(long) end,
      write = function() return c:write(long, "") end,
      get = function() return c:get(long, d.path .. "/none") end,
      put = function() return c:put(d.key, long, {atomic = true}) end,
      mkdir = function() return c:mkdir(long, {parents = true}) end,
      rename = function() return c:rename(long:sub(1, 20000), long:sub(1, 20000)) end,
      open = function() return c:open(long) end,
    } do
      local err = has_code("ENAMETOOLONG", fn())
      assert.equal(name, err.op)
      assert.matches("^" .. name .. " 127.0.0.1:%d+:[a/]+", tostring(err):sub(1, 400))
      assert.is_true(#tostring(err) < 400)
    end
    assert(c:stat(d.home))
  end)

  it("of many files are listed, long ones too", function()
    local dir = fresh()
    assert(c:mkdir(dir))
    local names = {}
    for i = 1, 250 do
      names[i] = ("%03d"):format(i) .. ("\u{20ac}"):rep(84)
      files.put(dir .. "/" .. names[i], "")
    end
    for i, entry in ipairs(assert(c:list(dir))) do
      assert.equal(names[i], entry.name)
      names[i] = nil
    end
    assert.is_nil(next(names))
  end)

  it("of many files are listed", function()
    local dir = fresh()
    assert(c:mkdir(dir))
    for i = 1, 1500 do files.put(("%s/%04d"):format(dir, i), "") end
    local list = assert(c:list(dir))
    assert.equal(1500, #list)
    for i, entry in ipairs(list) do assert.equal(("%04d"):format(i), entry.name) end
    assert.equal("file", list[1].kind)
    assert.equal(0, list[1].size)
  end)
end)

describe("an open file #heavy", function()
  with_session()

  it("is read in pieces, by lines, whole", function()
    local path = fresh()
    files.put(path, "one\ntwo\n\nlast")
    local f <close> = assert(c:open(path))
    assert.equal("one", f:read())
    assert.equal("two\n", f:read("L"))
    assert.equal(8, f:seek())
    assert.equal("\nl", f:read(2))
    assert.equal("as", f:recv(2))
    assert.equal("t", f:read("a"))
    assert.equal("", f:read("a"))
    assert.is_nil((f:read()))
    assert.is_nil((f:read(1)))
    assert.is_nil((f:recv()))
    assert.equal(4, f:seek(4))
    local lines = {}
    for line in f:lines() do lines[#lines + 1] = line end
    assert.same({"two", "", "last"}, lines)
    assert(f:close())
    assert.is_true(f:close())
  end)

  it("is read by lines at a cost that does not grow with what has come", function()
    -- Seconds of processor time for a line of a file of `size` bytes.
    local function cost(size)
      local path = fresh()
      files.put(path, ("x\n"):rep(size // 2))
      local f <close> = assert(c:open(path))
      local n, began = 0, os.clock()
      for _ in f:lines() do n = n + 1 end
      local seconds = os.clock() - began
      assert.equal(size // 2, n)
      return seconds / n
    end
    assert.is_true(cost(1 << 20) < 2 * cost(4096)) -- it was four times as much
  end)

  it("lets other tasks run while it is read by lines that have come", function()
    local path, turns = fresh(), 0
    files.put(path, ("x\n"):rep(20000))
    local f <close> = assert(c:open(path))
    assert(f:read())
    local other = corun.daemon(function()
      while true do
        turns = turns + 1
        corun.yield()
      end
    end)
    for _ = 2, 10000 do assert(f:read()) end
    other:cancel()
    assert.is_true(turns > 5)
  end)

  it("streams what is large", function()
    local path, size = fresh(), 3000000
    files.put(path, ("0123456789"):rep(size / 10))
    local f <close> = assert(c:open(path))
    local n = 0
    for piece in function() return f:recv(100000) end do
      assert.is_true(#piece <= 100000)
      assert.equal(n % 10, piece:byte() - 48)
      n = n + #piece
    end
    assert.equal(size, n)
  end)

  it("is written, appended to, made", function()
    local path = fresh()
    local f = assert(c:open(path, "w"))
    assert.equal(f, f:write("hello "))
    assert(f:write(42))
    assert(f:close())
    assert.equal("hello 42", files.get(path))
    f = assert(c:open(path, "a"))
    assert(f:write("!"))
    assert(f:close())
    assert.equal("hello 42!", files.get(path))
    f = assert(c:open(path, "r+"))
    assert.equal("hello", f:read(5))
    assert(f:seek(6))
    assert(f:write("you"))
    assert.equal(9, f:seek())
    assert(f:close())
    assert.equal("hello you", files.get(path):sub(1, 9))
    assert.is_nil((c:open(path, "wx")))
    assert(assert(c:open(path .. ".new", "wx", {mode = "600"})):close())
    assert.equal(384, assert(fs.stat(path .. ".new")).mode)
  end)

  it("is closed on the server when it is dropped", function()
    local path = fresh()
    files.put(path, "x")
    local pids = {}
    for child in pairs(s.children) do pids[#pids + 1] = child.pid end
    assert.equal(1, #pids)
    local function open_there()
      local n = 0
      for _, pid in ipairs(pids) do
        for _, name in ipairs(fs.list(("/proc/%d/fd"):format(pid)) or {}) do
          if fs.readlink(("/proc/%d/fd/%s"):format(pid, name)) == path then n = n + 1 end
        end
      end
      return n
    end
    for _ = 1, 20 do
      do local _ <close> = assert(c:open(path)) end
      local _ = assert(c:open(path))
    end
    collectgarbage()
    collectgarbage()
    assert.truthy(c:stat(path))
    assert.equal(0, open_there())
  end)

  it("that is closed raises, and so does misuse", function()
    local f = assert(c:open(d.key))
    assert.matches("sftp file %(.*open%)", tostring(f))
    f:close()
    assert.matches("sftp file %(.*closed%)", tostring(f))
    local raised = tasks.error_of(f.read, f)
    assert.equal("ECLOSED", raised.code)
    assert.matches("sftp_spec.lua:%d+", tostring(raised))
    for _, bad in ipairs{{"read", "x"}, {"read", -1}, {"recv", 0}, {"seek", -1}, {"write", {}}} do
      local g <close> = assert(c:open(d.key))
      assert.matches("support/tasks.lua:%d+: .*" .. bad[1],
        tostring(tasks.error_of(g[bad[1]], g, bad[2])))
    end
    assert.matches("bad self", tostring(tasks.error_of(f.read, {})))
    assert.matches("bad mode for open", tostring(tasks.error_of(c.open, c, d.key, "rw")))
    local g = assert(c:open(d.key))
    c:close()
    raised = tasks.error_of(g.read, g)
    assert.equal("ECLOSED", raised.code)
    assert.is_true(g:close())
  end)
end)

describe("a session #heavy", function()
  with_session()

  it("is shared by tasks", function()
    local want = {}
    for i = 1, 20 do
      local path = fresh()
      want[i] = {path, ("%02d"):format(i):rep(i * 5000)}
      files.put(path, want[i][2])
    end
    corun.map(want, function(w)
      local done = fresh()
      for _ = 1, 3 do
        assert.equal(w[2], assert(c:read(w[1])))
        assert.equal(#w[2], assert(c:stat(w[1])).size)
        assert(c:write(done, w[2]))
        assert.equal(w[2], files.get(done))
      end
      return true
    end, {limit = 20})
  end)

  it("that is closed raises; a second close does nothing", function()
    assert.matches("sftp session %(.*, open%)", tostring(c))
    c:close()
    c:close()
    assert.matches("sftp session %(.*, closed%)", tostring(c))
    for _, call in ipairs{{"stat", "/"}, {"read", "/"}, {"get", "/", "/"}, {"list", "/"},
      {"open", "/"}, {"get_many", {}}} do
      local raised = tasks.error_of(c[call[1]], c, table.unpack(call, 2))
      assert.equal("ECLOSED", raised.code)
      assert.equal(call[1], raised.op)
      assert.matches("support/tasks.lua:%d+: .*closed at .*sftp_spec.lua:%d+", tostring(raised))
    end
  end)

  it("raises for misuse", function()
    local cases = {
      {"stat", {}, "stat needs a path, got nil"}, {"stat", {""}, "an empty string"},
      {"stat", {"a\0b"}, "has a zero byte"}, {"chmod", {"/x", "9"}, "permission bits"},
      {"mkdir", {"/x", {mod = 1}}, 'unknown option "mod" for mkdir'},
      {"write", {"/x"}, "write needs a string, got nil"}, {"rename", {"/x"}, "rename needs a path"},
      {"get", {"/x"}, "get needs a path"}, {"put", {"/x", 1}, "put needs a path"},
      {"get_many", {{}, {connections = 0}}, 'option "connections"'},
    }
    for _, case in ipairs(cases) do
      local raised = tostring(tasks.error_of(c[case[1]], c, table.unpack(case[2])))
      assert.matches(case[3], raised, 1, true)
      assert.matches("support/tasks.lua:%d+:", raised)
    end
    assert.matches("bad self", tostring(tasks.error_of(c.stat, {}, "/")))
  end)

  it("leaves no descriptor, also when it is dropped", function()
    local before = files.descriptors()
    for _ = 1, 3 do
      local one = assert(sftp.connect(s.address, sshd.options(d, s)))
      one:open(d.key)
      one = nil -- luacheck: ignore 311
      collectgarbage()
    end
    sshd.settle(before)
  end)
end)

describe("many files #heavy", function()
  with_session()

  -- So many files of `size` bytes, and what is in them by name.
  local function make(n, size)
    local dir, list, want = fresh(), {}, {}
    assert(fs.mkdir(dir .. "/to", {parents = true}))
    for i = 1, n do
      local name = ("%d"):format(i)
      want[name] = name:rep(size // #name)
      files.put(dir .. "/" .. name, want[name])
      list[i] = dir .. "/" .. name
    end
    return dir, list, want
  end

  it("come over several connections", function()
    local dir, list, want = make(1000, 500)
    local most, n = 0, 0
    for path, size, err in c:get_many(list, {into = dir .. "/to", connections = 8}) do
      assert.is_nil(err)
      assert.equal(#want[path:match("[^/]*$")], size)
      n = n + 1
      local count = 0
      for _ in pairs(s.children) do count = count + 1 end
      most = math.max(most, count)
    end
    assert.equal(1000, n)
    assert.equal(8, most)
    for name, text in pairs(want) do assert.equal(text, files.get(dir .. "/to/" .. name)) end
    assert.equal(1000, #assert(fs.list(dir .. "/to")))
    assert.truthy(c:stat(dir)) -- the session is still there
  end)

  it("come over several connections where a host is known by another key than its first", function()
    local dir, list = make(40, 500)
    local ecdsa = sshd.keygen(d.path .. "/ecdsa", {type = "ecdsa"})
    local own <close> = sshd.serve(d, {host_keys = {d.host, ecdsa}, known = false})
    local known = d.path .. "/known_ecdsa"
    files.put(known, ("[127.0.0.1]:%d %s"):format(own.port, files.get(ecdsa .. ".pub")))
    local session <close> = assert(sftp.connect(own.address, sshd.options(d, own,
      {known_hosts = known})))
    local n, connections = 0, 0
    for _, size, err in session:get_many(list, {into = dir .. "/to", connections = 4}) do
      assert.is_nil(err)
      n = n + (size and 1 or 0)
      connections = 0
      for _ in pairs(own.children) do connections = connections + 1 end
    end
    assert.same({40, 4}, {n, connections})
  end)

  it("go where it is said, and fail one by one", function()
    local dir, list = make(3, 100000)
    local got = {}
    for item, size, err in c:get_many({{list[1], dir .. "/a b"}, {dir .. "/none", dir .. "/c"},
      {list[3], dir .. "/d", "more"}}, {connections = 2}) do
      got[item[1]] = size or err.code
    end
    assert.same({[list[1]] = 100000, [dir .. "/none"] = "ENOENT", [list[3]] = 100000}, got)
    assert.equal(100000, #files.get(dir .. "/a b"))
    assert.is_nil(files.get(dir .. "/c"))
  end)

  it("come over fewer connections where the server allows no more", function()
    local dir, list = make(40, 2000)
    local accept = 1
    local own <close> = sshd.serve(d, {known = false, up = function()
      accept = accept - 1
      local is_refused = accept < 0
      return function(data) return not is_refused and data or nil end
    end})
    local session <close> = assert(sftp.connect(own.address, sshd.options(d, own,
      {insecure = true})))
    local n = 0
    for _, size, err in session:get_many(list, {into = dir .. "/to", connections = 8}) do
      assert.is_nil(err)
      n = n + (size and 1 or 0)
    end
    assert.equal(40, n)
  end)

  it("fail with a reason when the session is closed behind the last byte of one", function()
    local dir, list = make(2, 1000)
    local rename, got = fs.rename, {}
    local _ <close> = corun.defer(function() fs.rename = rename end)
    fs.rename = function(...)
      c:close()
      return rename(...)
    end
    for path, size, err in c:get_many(list, {into = dir .. "/to", connections = 1}) do
      got[path] = size or err.code
    end
    assert.same({[list[1]] = 1000, [list[2]] = "ECLOSED"}, got)
  end)

  it("end with break, and leave nothing", function()
    local before = files.descriptors()
    local dir, list = make(50, 50000)
    local options = {into = dir .. "/to", connections = 4}
    for _ in c:get_many(list, options) do break end -- luacheck: ignore 512
    for _, name in ipairs(assert(fs.list(dir .. "/to"))) do assert.is_nil(name:match("part$")) end
    assert.equal(50000, #assert(c:read(list[1])))
    sshd.settle(before)
  end)

  it("fail one by one when the server dies", function()
    local dir, list = make(60, 50000)
    local good, bad = 0, 0
    for _, size, err in c:get_many(list, {into = dir .. "/to", connections = 4}) do
      if good == 5 then
        for child in pairs(s.children) do child:kill("KILL") end
        s.server:close()
      end
      if size then
        good = good + 1
      else
        assert.equal("get", err.op)
        bad = bad + 1
      end
    end
    assert.equal(60, good + bad)
    assert.is_true(bad > 0)
    for _, name in ipairs(assert(fs.list(dir .. "/to"))) do assert.is_nil(name:match("part$")) end
  end)
end)
