-- SPDX-License-Identifier: MIT
-- corun.sftp: what is cancelled, timed out, cut, stalled or closed at any place ends, leaves
-- nothing, and does no harm to what follows.
local corun = require "corun"
local fs = require "corun.fs"
local process = require "corun.process"
local files = dofile("tests/spec/support/files.lua")
local program = dofile("tests/fixtures/cli/program.lua")
local sshd = dofile("tests/spec/support/sshd.lua")

local has_module, sftp = pcall(require, "corun.sftp")
if not has_module or not sshd.is_there() then
  describe("corun.sftp", function()
    it("is stopped", function()
      return pending("corun.sftp is not built, or sshd is not installed")
    end)
  end)
  return
end

local d, big
local SIZE = 400000

setup(function()
  d = sshd.folder()
  big = d.home .. "/big"
  files.put(big, ("0123456789abcdef"):rep(SIZE // 16))
end)
teardown(function() d.dir:close() end)

local function fresh()
  return ("%s/f%d"):format(d.home, math.random(1 << 40))
end

-- No file is left that was not finished: none here, and none on the server while the session lasts.
local function assert_clean(is_over)
  for _, name in ipairs(assert(fs.list(d.home))) do
    assert.is_nil(name:match(is_over and "^%..*%.part$" or "%.part$"))
  end
end

-- What is done with a session; each gives something when it has succeeded.
local WORKS = {
  stat = function(c) return c:stat(big) end,
  list = function(c) return c:list(d.home) end,
  read = function(c) return c:read(big) end,
  get = function(c) return c:get(big, fresh()) end,
  put = function(c) return c:put(big, fresh()) end,
  ["put, atomic"] = function(c) return c:put(big, fresh(), {atomic = true}) end,
  rename = function(c)
    local path = fresh()
    files.put(path, "x")
    return c:rename(path, path .. "2")
  end,
  names = function(c)
    local path = fresh()
    local ok, err = c:mkdir(path .. "/a/b", {parents = true})
    if ok then ok, err = c:rmdir(path .. "/a/b") end
    return ok, err
  end,
  ["an open file"] = function(c)
    local f <close>, err = c:open(big)
    if not f then return nil, err end
    return f:read("a")
  end,
  ["many files"] = function(c)
    local n
    for _, size, err in c:get_many({{big, fresh()}, {big, fresh()}}, {connections = 1}) do
      if not size then return nil, err end
      n = size
    end
    return n
  end,
}

-- Sleep until the task is about to wait for the nth time; the rest of its work is cancelled there.
-- The steps of a session are told by the bytes that pass: the tap counts the pieces.
local function counted(limit, reached)
  local n = 0
  return function(data)
    n = n + 1
    if n == limit then reached() end
    return data
  end
end

describe("a cancelled task #heavy", function()
  for name, work in pairs(WORKS) do
    it("leaves a session that works: " .. name, function()
      local at, hit = nil, nil
      local s <close> = sshd.serve(d, {down = function()
        return function(data)
          if at then
            at = at - 1
            if at == 0 then hit() end
          end
          return data
        end
      end})
      local c <close> = assert(sftp.connect(s.address, sshd.options(d, s)))
      assert.truthy(c:realpath("."))
      local before = files.descriptors()
      local turn, was_cancelled = 0, true
      while was_cancelled and turn < 30 do
        turn = turn + 1
        local t
        at, hit = turn, function() t:cancel() end
        t = corun.async(work, c)
        local _, err = t:await()
        was_cancelled = t:status() == "cancelled"
        at = nil
        if was_cancelled then assert.equal("ECANCELED", err.code) end
        assert.equal(SIZE, assert(c:stat(big)).size)
        assert_clean()
      end
      assert.equal(SIZE, #assert(c:read(big)))
      sshd.settle(before)
    end)
  end

  it("is let go while it logs in, at each place", function()
    local before = files.descriptors()
    local turn, ended = 0, false
    while not ended and turn < 40 do
      turn = turn + 1
      local t
      local tap = function() return counted(turn, function() t:cancel() end) end
      local s <close> = sshd.serve(d, {down = tap})
      t = corun.async(function()
        local c <close> = assert(sftp.connect(s.address, sshd.options(d, s)))
        return c:stat(big)
      end)
      t:await()
      ended = t:status() ~= "cancelled"
    end
    assert.is_true(ended)
    assert.is_true(turn > 5)
    sshd.settle(before)
  end)

  it("is let go before it has connected", function()
    local before = files.descriptors()
    local t = corun.async(sftp.connect, "127.0.0.1:1", {insecure = true})
    t:cancel()
    t:await()
    assert.equal("cancelled", t:status())
    sshd.settle(before)
  end)

  it("that waits for its turn goes at once", function()
    local s <close> = sshd.serve(d)
    local c <close> = assert(sftp.connect(s.address, sshd.options(d, s)))
    local first = corun.async(c.read, c, big)
    corun.yield()
    local second = corun.async(c.stat, c, big)
    corun.yield()
    second:cancel()
    second:await()
    assert.equal("cancelled", second:status())
    assert.equal(SIZE, #assert(first:await()))
  end)

  for method, size in pairs{recv = 7000, read = 200001} do
    it("loses no byte of an open file: " .. method, function()
      local s <close> = sshd.serve(d)
      local c <close> = assert(sftp.connect(s.address, sshd.options(d, s)))
      local f <close> = assert(c:open(big))
      local pieces, cancelled = {}, 0
      while true do
        local t = corun.async(f[method], f, size)
        for _ = 1, #pieces % 4 * size // 7000 do corun.yield() end
        t:cancel()
        local piece, err = t:await()
        if t:status() == "cancelled" then
          cancelled = cancelled + 1
          piece, err = f[method](f, size)
        end
        assert.is_nil(err)
        if not piece then break end
        pieces[#pieces + 1] = piece
      end
      assert.is_true(cancelled > 0)
      assert.equal(files.get(big), table.concat(pieces))
    end)
  end
end)

describe("a time limit #heavy", function()
  it("ends what takes too long, and the session goes on", function()
    local gate
    local s <close> = sshd.serve(d, {down = function()
      return function(data)
        if gate then gate:wait() end
        return data
      end
    end})
    local c <close> = assert(sftp.connect(s.address, sshd.options(d, s)))
    gate = corun.event()
    local value, err = corun.timeout(0.05, c.stat, c, big)
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
    value, err = corun.timeout(0.05, c.get, c, big, fresh())
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
    gate:set()
    gate = nil
    assert.equal(SIZE, assert(c:stat(big)).size)
    assert_clean()
  end)

  it("on silence ends the session", function()
    local gate
    local s <close> = sshd.serve(d, {down = function()
      return function(data)
        if gate then gate:wait() end
        return data
      end
    end})
    local c <close> = assert(sftp.connect(s.address, sshd.options(d, s, {stall = 3})))
    gate = corun.event()
    local value, err = c:stat(big)
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("stat", err.op)
    assert.matches("the server was silent for 3.0 s", err.message)
    assert.is_true(c:is_over())
    assert.matches("lost", tostring(c))
    value, err = c:list(d.home)
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
    gate:set()
  end)
end)

describe("a session that another task closes #heavy", function()
  it("ends what waits on it", function()
    local gate
    local s <close> = sshd.serve(d, {down = function()
      return function(data)
        if gate then gate:wait() end
        return data
      end
    end})
    for _, work in pairs(WORKS) do
      gate = nil
      local c = assert(sftp.connect(s.address, sshd.options(d, s)))
      gate = corun.event()
      local first, second = corun.async(work, c), corun.async(work, c)
      for _ = 1, 20 do corun.yield() end
      corun.sleep(0.01)
      c:close()
      gate:set()
      for _, t in ipairs{first, second} do
        local ok, value, err = pcall(t.await, t)
        if not ok then value, err = nil, value end
        assert.is_nil(value)
        assert.equal("ECLOSED", err.code)
      end
    end
    gate = nil
    assert_clean(true)
  end)
end)

describe("a connection #heavy", function()
  -- Connect and work through a relay that cuts what one side says behind so many bytes.
  local function cut(side, limit, work)
    local left, was_cut = limit, false
    local o = {known = false}
    o[side] = function()
      return function(data)
        if was_cut then return nil end
        local part = data:sub(1, left)
        left = left - #data
        was_cut = left <= 0
        return part, was_cut
      end
    end
    local s <close> = sshd.serve(d, o)
    local c <close>, err = sftp.connect(s.address, sshd.options(d, s, {insecure = true}))
    if not c then return was_cut, nil, err end
    local value
    value, err = work(c)
    return was_cut, value, err
  end

  for _, side in ipairs{"down", "up"} do
    it(("that is cut at any place is an error: %s"):format(side), function()
      local before = files.descriptors()
      local limit, cuts = 0, 0
      repeat
        local was_cut, value, err = cut(side, limit, WORKS.get)
        if was_cut and not value then
          cuts = cuts + 1
          assert.truthy(err.code)
          assert.truthy(err.op == "connect" or err.op == "get")
          assert.matches("127.0.0.1:%d+", err.target)
        end
        limit = limit + 100 + limit // 3
      until not was_cut
      assert.is_true(cuts > 8)
      assert_clean(true)
      sshd.settle(before)
    end)
  end

  it("whose server dies is an error, whatever is done", function()
    for _, work in pairs(WORKS) do
      local s <close> = sshd.serve(d)
      local c <close> = assert(sftp.connect(s.address, sshd.options(d, s)))
      assert.truthy(c:realpath("."))
      local t = corun.async(work, c)
      corun.yield()
      for child in pairs(s.children) do child:kill("KILL") end
      local value, err = t:await()
      if not value then assert.truthy(err.code) end
      value, err = c:stat(big)
      assert.is_nil(value)
      assert.is_true(err.code == "EOF" or err.code == "ECONNRESET" or err.code == "EPIPE", err.code)
      assert.is_true(c:is_over())
    end
    assert_clean(true)
  end)

  it("whose sftp service dies is an error", function()
    local s <close> = sshd.serve(d, {sftp = "/usr/lib/openssh/sftp-server"})
    local c <close> = assert(sftp.connect(s.address, sshd.options(d, s)))
    local f <close> = assert(c:open(big))
    assert.equal(1000, #assert(f:read(1000)))
    -- the grandchild of this process that serves
    local function find(pid)
      for name in (files.get(("/proc/%d/task/%d/children"):format(pid, pid)) or ""):gmatch("%d+") do
        local comm = files.get(("/proc/%s/comm"):format(name)) or ""
        local found = comm:find("sftp-server", 1, true) and name or find(math.tointeger(name))
        if found then return found end
      end
    end
    local server
    for child in pairs(s.children) do server = find(child.pid) end
    assert(server)
    os.execute("kill -9 " .. server)
    local got, err
    repeat got, err = f:read(100000) until not got
    assert.truthy(err)
    assert.equal("EOF", err.code)
    got, err = c:stat(big)
    assert.is_nil(got)
    assert.equal("EOF", err.code)
  end)

  it("is used well where calls of the system are short, interrupted or refused", function()
    local s <close> = sshd.serve(d)
    local script = d.path .. "/client.lua"
    files.put(script, ([[
      local sftp = require "corun.sftp"
      local c <close> = assert(sftp.connect(%q,
        {user = %q, key = %q, known_hosts = %q, timeout = 60}))
      local big, to = %q, %q
      for _ = 1, 3 do
        local data = assert(c:read(big))
        assert(c:write(to, data))
        assert(c:get(to, to .. "2"))
        assert(io.open(to .. "2", "rb"):read("a") == data)
        assert(#assert(c:list(%q)) > 1)
      end
      print "done"
    ]]):format(s.address, s.user, d.key, d.known_hosts, big, fresh(), d.home))
    for seed = 1, 8 do
      local r = assert(process.run({stderr = "stdout", "sh", "-c",
        ("exec env %s %s %s"):format(files.faults(seed), program.path, script)}))
      assert.equal("done\n", r.stdout)
    end
  end)

  it("that turns to nonsense is an error", function()
    for i = 1, 10 do
      local at, n = i * 300, 0
      local s <close> = sshd.serve(d, {known = false, down = function()
        return function(data)
          local from = n
          n = n + #data
          if from > at or n < at then return data end
          local k = at - from
          return data:sub(1, k) .. ("\165"):rep(#data - k)
        end
      end})
      local c <close>, err = sftp.connect(s.address, sshd.options(d, s, {insecure = true,
        timeout = 5, stall = 0.5}))
      local value
      if c then value, err = c:read(big) end
      assert.is_true(value ~= nil and #value == SIZE or err.code ~= nil)
    end
  end)
end)
