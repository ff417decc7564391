-- SPDX-License-Identifier: MIT
-- Watching files and directories.
local corun = require "corun"
local fs = require "corun.fs"
local files = dofile("tests/spec/support/files.lua")

local folder, put, descriptors = files.folder, files.put, files.descriptors

-- The next event, as "kind path" relative to `dir`.
local function next_of(w, dir)
  local event, err = corun.timeout(10, w.recv, w)
  assert(event, err)
  return event.kind .. " " .. event.path:sub(#dir + 2)
end

-- Events until one of them is `last`, as a set.
local function until_event(w, dir, last)
  local seen = {}
  repeat
    local text = next_of(w, dir)
    seen[text] = (seen[text] or 0) + 1
  until text == last
  return seen
end

describe("fs.watch", function()
  it("tells what is made, changed, renamed and removed in a directory", function()
    local _ <close>, dir = folder()
    put(dir .. "/old", "x")
    local w <close> = assert(fs.watch(dir, {delay = 0}))
    fs.write(dir .. "/new", "x")
    until_event(w, dir, "rename new")
    fs.write(dir .. "/old", "y", {append = true})
    until_event(w, dir, "change old")
    fs.rename(dir .. "/old", dir .. "/other")
    local seen = until_event(w, dir, "rename other")
    assert.equal(1, seen["rename old"])
    fs.remove(dir .. "/other")
    until_event(w, dir, "rename other")
  end)

  it("merges a burst into one event for each path", function()
    local _ <close>, dir = folder()
    local w <close> = assert(fs.watch(dir, {delay = 0.2}))
    for i = 1, 500 do
      fs.write(dir .. "/a", "x", {append = true})
      if i % 5 == 0 then fs.write(dir .. "/b" .. i % 10, "x") end
    end
    fs.write(dir .. "/end", "")
    local seen = until_event(w, dir, "rename end")
    local n = 0
    for _, count in pairs(seen) do n = n + count end
    assert.is_true(n <= 12, n) -- 4 paths; the burst may take longer than the delay
  end)

  it("is an iterator; break and close end it", function()
    local _ <close>, dir = folder()
    corun.scope(function(s)
      s:daemon(function()
        for i = 1, math.huge do
          fs.write(dir .. "/" .. i, "")
          corun.sleep(0.01)
        end
      end)
      local n = 0
      for event in assert(fs.watch(dir, {delay = 0})) do
        assert.equal(dir, event.path:match("^(.*)/%d+$"))
        n = n + 1
        if n == 5 then break end
      end
      assert.equal(5, n)
    end)
    local w = assert(fs.watch(dir))
    local waiting = corun.async(function()
      for _ in w do error("nothing happened") end
      return "ended"
    end)
    while waiting:status() ~= "waiting" do corun.yield() end
    local ok, err = pcall(w.recv, w)
    assert.is_false(ok)
    assert.equal("EBUSY", err.code)
    assert.matches("^watch %(.*, open%)$", tostring(w))
    w:close()
    w:close()
    assert.equal("ended", waiting:await())
    assert.is_nil(w:recv())
    assert.matches("^watch %(.*, closed%)$", tostring(w))
  end)

  it("sees a file that is replaced, and only that file", function()
    local _ <close>, dir = folder()
    local path = dir .. "/f"
    put(path, "x")
    put(dir .. "/g", "x")
    local w <close> = assert(fs.watch(path, {delay = 0.01}))
    for i = 1, 3 do
      fs.write(dir .. "/g", tostring(i))
      fs.write(path, "atomic", {atomic = true})
      assert.equal("rename f", next_of(w, dir))
      fs.write(dir .. "/g", tostring(i))
      fs.write(path, "in place", {append = true})
      assert.equal("change f", next_of(w, dir))
    end
  end)

  it("sees what a link to a file leads to, also once it leads elsewhere", function()
    local _ <close>, dir = folder()
    local _ <close>, far = folder()
    put(far .. "/1.log", "x")
    put(dir .. "/2.log", "x")
    assert(fs.symlink("now", dir .. "/link"))
    assert(fs.symlink(far .. "/1.log", dir .. "/now"))
    local w <close> = assert(fs.watch(dir .. "/link", {delay = 0.01}))
    fs.write(dir .. "/2.log", "y")
    fs.write(far .. "/1.log", "y", {append = true})
    assert.equal("change link", next_of(w, dir))
    assert(fs.symlink("2.log", dir .. "/new"))
    assert(fs.rename(dir .. "/new", dir .. "/now"))
    assert.equal("rename link", next_of(w, dir))
    fs.write(far .. "/1.log", "z", {append = true})
    fs.write(dir .. "/2.log", "z", {append = true})
    assert.equal("change link", next_of(w, dir))
    fs.remove(dir .. "/link")
    assert.equal("rename link", next_of(w, dir))
    fs.write(dir .. "/2.log", "z", {append = true})
    fs.write(dir .. "/link", "a file")
    assert.equal("rename link", next_of(w, dir))
  end)

  it("sees a file in the root", function()
    local path = "/corun-watched-" .. require("corun.codec").uuid() -- specs run beside specs
    if not fs.write(path, "") then return pending("files cannot be made in /") end
    local _ <close> = corun.defer(fs.remove, path)
    local w <close> = assert(fs.watch(path, {delay = 0.01}))
    fs.write(path, "x", {append = true})
    assert.same({kind = "change", path = path}, assert(corun.timeout(10, w.recv, w)))
  end)

  it("follows directories that appear in a tree, and tells what they have already", function()
    local _ <close>, dir = folder()
    fs.mkdir(dir .. "/a/b", {parents = true})
    local w <close> = assert(fs.watch(dir, {recursive = true, delay = 0}))
    fs.write(dir .. "/a/b/f", "x")
    until_event(w, dir, "rename a/b/f")
    files.sh(("cd %s; mkdir -p n/e/w; echo x >n/e/w/f"):format(dir))
    until_event(w, dir, "rename n/e/w/f")
    fs.write(dir .. "/n/e/w/f", "y", {append = true})
    until_event(w, dir, "change n/e/w/f")
    fs.rename(dir .. "/n", dir .. "/m")
    until_event(w, dir, "rename m/e/w/f")
    fs.write(dir .. "/m/e/w/g", "y")
    until_event(w, dir, "rename m/e/w/g")
    fs.remove(dir .. "/m", {recursive = true})
    until_event(w, dir, "rename m")
    fs.mkdir(dir .. "/m")
    until_event(w, dir, "rename m")
    fs.write(dir .. "/m/f", "")
    until_event(w, dir, "rename m/f")
  end)

  it("ends after telling that the directory itself is gone", function()
    local _ <close>, dir = folder()
    local watched = dir .. "/same"
    fs.mkdir(watched)
    local w <close> = assert(fs.watch(watched, {delay = 0.01}))
    fs.write(watched .. "/same", "")
    assert.equal("rename same/same", next_of(w, dir))
    fs.remove(watched, {recursive = true})
    local last
    for event in w do last = event.path end
    assert.equal(watched, last)
  end)

  it("reports what was lost when nobody looked for long #heavy", function()
    local _ <close>, dir = folder()
    local w <close> = assert(fs.watch(dir, {delay = 0}))
    -- More events than are kept: 4 MiB of names.
    local name = ("n"):rep(240)
    for round = 1, 10 do
      for i = 1, 1000 do
        local path = ("%s/%s%d-%d"):format(dir, name, round, i)
        put(path, "")
        os.rename(path, path .. "x")
        os.remove(path .. "x")
        if i % 100 == 0 then fs.stat(dir) end -- the loop polls
      end
    end
    until_event(w, dir, "overflow ")
    fs.write(dir .. "/f", "")
    until_event(w, dir, "rename f")
  end)

  it("S15 loses no event to a cancellation", function()
    local _ <close>, dir = folder()
    local w <close> = assert(fs.watch(dir, {recursive = true, delay = 0}))
    local seen = {}
    for i = 1, 30 do
      fs.mkdir(("%s/%d"):format(dir, i))
      files.cancelled(i % 7 * 0.0002, function()
        while true do seen[w:recv().path] = true end
      end)
    end
    fs.write(dir .. "/end", "")
    repeat
      local event = w:recv()
      seen[event.path] = true
    until event.path == dir .. "/end"
    local missing = 0
    for i = 1, 30 do if not seen[("%s/%d"):format(dir, i)] then missing = missing + 1 end end
    -- What recv has returned to a task that was cancelled before it could note it does not count.
    assert.equal(0, missing)
  end)

  it("S38 keeps the program alive only while a task waits for it", function()
    local _ <close>, dir = folder()
    local r = files.code(([[local fs = require "corun.fs"
      w = fs.watch("%s", {recursive = true})
      print "end"]]):format(dir))
    assert.equal("end\n", r.out)
    assert.equal("", r.err)
  end)

  it("fails for what is not there, and gives all handles back", function()
    local _ <close>, dir = folder()
    for _, o in ipairs{{}, {recursive = true}} do
      local w, err = fs.watch(dir .. "/none", o)
      assert.is_nil(w)
      assert.equal("ENOENT", err.code)
      assert.equal("watch", err.op)
    end
    assert.is_false(pcall(fs.watch, dir, {recurse = true}))
    fs.mkdir(dir .. "/a/b/c", {parents = true})
    fs.watch(dir):close()
    local before, handles = descriptors(), corun.debug.stats().handles
    for i = 1, 20 do
      files.cancelled(i * 0.0002, function()
        local w <close> = assert(fs.watch(dir, {recursive = true}))
        w:recv()
      end)
    end
    corun.sleep(0.01)
    assert.equal(before, descriptors())
    assert.equal(handles, corun.debug.stats().handles)
  end)
end)
