-- SPDX-License-Identifier: MIT
-- What is on the disk when: atomic writes, renames and downloads. A power cut is not to be had, so
-- programs run with tests/ext/disk.c preloaded, which writes down what is brought to the disk and
-- renamed; the system that was started again is one whose notes name another run of it.

local fs = require("corun.fs")
local http = require("corun.http")
local json = require("corun.json")
local process = require("corun.process")
local file_server = require("tests.spec.support.file_server")
local support = require("tests.spec.support.http")

local TEXT = ("0123456789abcdef"):rep(300000) -- 4.8 MB

local LIBRARY = support.corun():gsub("[^/]*$", "ext/disk.so")

describe("the disk", function()
  local folder, dir, path, log

  before_each(function()
    folder = assert(fs.temp{dir = true})
    dir = folder:path() .. "/d"
    path, log = dir .. "/file", folder:path() .. "/log"
    assert(fs.mkdir(dir))
  end)
  after_each(function() folder:close() end)

  -- Run code in `dir` with the library and these settings of it; its output, and what it noted.
  local function run(settings, code, ...)
    fs.remove(log)
    local out, ok = support.run("sh", "-c",
      ('cd %s; export ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=%s %s; exec "$@"'):format(
        dir, LIBRARY, settings), "sh", support.corun(), "-e", code:format(...))
    assert.is_true(ok, out)
    return out, (fs.read(log) or ""):gsub(dir:gsub("%p", "%%%0"), "DIR")
  end

  local function logged(code, ...)
    local out, lines = run("DISK_LOG=" .. log, code, ...)
    assert.equal("", out)
    return (lines:gsub("rename DIR/file.part.json\n", "")) -- notes come when a second is over
  end

  local function download(url, o)
    local s <close> = http.session()
    return s:download(url, path, o)
  end

  -- Download what the server cuts, and let the system have been started again since.
  local function cut(it, url, o)
    it.cut = 900000
    local _, err = download(url, o)
    assert.equal("EOF", err.code, tostring(err))
    it.cut, it.seen = nil, {}
  end

  local function start_again(boot)
    local note = json.decode(assert(fs.read(path .. ".part.json")))
    assert.is_true(note.boot ~= nil)
    note.boot = boot
    assert(fs.write(path .. ".part.json", json.encode(note)))
  end

  local function check_whole(url)
    assert.equal(#TEXT, download(url))
    assert.is_true(fs.read(path) == TEXT, "the file is another one")
    assert.same({"file"}, fs.list(dir))
  end

  it("has an atomic write and its name before the call returns", function()
    local lines = logged([[assert(require("corun.fs").write("f", "x", {atomic = true}))]])
    assert.matches("^fsync DIR/%.f%.%x+\nfsync DIR\n$", lines)
  end)

  it("has a new name before rename returns, if that is asked for", function()
    assert.equal("rename g\n", logged([[local fs = require "corun.fs"
      assert(fs.write("f", "x")) assert(fs.rename("f", "g"))]]))
    for name, of in pairs{["h"] = "DIR", ["./h"] = "DIR", ["s/h"] = "DIR/s", ["s/n/"] = "DIR/s",
      [dir .. "/h"] = "DIR", ["/" .. dir .. "/s//h"] = "DIR/s"} do
      fs.remove(dir .. "/s", {recursive = true})
      assert(fs.mkdir(dir .. "/s/m", {parents = true}))
      assert(fs.write(dir .. "/f", "x"))
      local lines = logged([[local fs = require "corun.fs"
        assert(fs.rename(%q, %q, {fsync = true}))]], name:find("n/$") and "s/m" or "f", name)
      assert.matches("\nfsync " .. of .. "\n", lines, 1, true)
      assert.equal(2, select(2, lines:gsub("\n", "")))
    end
    local ok, err = fs.rename(dir .. "/none", path, {fsync = true})
    assert.is_nil(ok)
    assert.equal("ENOENT", err.code)
    ok, err = pcall(fs.rename, dir .. "/none", path, {sync = true})
    assert.is_false(ok)
    assert.matches('unknown option "sync" for rename %(did you mean "fsync"', err)
  end)

  it("has a download, in order with its name, if that is asked for", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    local code = [[assert(require("corun.http").download(%q, %q, {fsync = %s, parts = %d}))]]
    for parts = 1, 3, 2 do
      assert.equal("rename DIR/file\n", logged(code, url, path, "false", parts))
      assert.equal("fsync DIR/file.part\nrename DIR/file\nfsync DIR\n",
        logged(code, url, path, "true", parts))
    end
    server:close()
  end)

  it("has what a download wrote now and then, if that is asked for, also while it runs", function()
    local it = {text = TEXT:rep(20), etag = '"1"'}
    local server <close>, url = file_server(it)
    local lines = logged([[assert(require("corun.http").download(%q, %q, {fsync = true}))]], url,
      path)
    assert.matches("^fsync DIR/file.part\nfsync DIR/file.part\n", lines)
    assert.is_true(fs.read(path) == it.text, "the file is another one")
    server:close()
  end)

  it("may lose what a download wrote: it is not gone on with after a new start", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    for _, boot in ipairs{"another", false} do
      cut(it, url)
      start_again(boot or nil)
      check_whole(url)
      assert.same({"all"}, it.seen)
      cut(it, url, {fsync = true}) -- not this
      start_again(boot or nil)
      check_whole(url)
      assert.equal(1, #it.seen)
      assert.matches("^[1-9]%d+%-4799999$", it.seen[1])
    end
    server:close()
  end)

  it("a download that goes on knows what the one before had brought there", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    cut(it, url, {fsync = true})
    local first = json.decode(assert(fs.read(path .. ".part.json"))).missing[1].from
    cut(it, url)
    local note = json.decode(assert(fs.read(path .. ".part.json")))
    assert.equal(first, note.unsynced[1].from)
    assert.is_true(note.missing[1].from > first)
    start_again("another")
    cut(it, url) -- goes on there, and brings nothing more to the disk
    note = json.decode(assert(fs.read(path .. ".part.json")))
    assert.equal(first, note.unsynced[1].from)
    assert.is_true(note.missing[1].from > first)
    start_again("yet another")
    check_whole(url)
    assert.same({first .. "-4799999"}, it.seen)
    server:close()
  end)

  it("has what a long download wrote half a minute ago", function()
    local it = {text = TEXT, etag = '"1"', slow = 0.001}
    local server <close>, url = file_server(it)
    local p <close> = assert(process.spawn{support.corun(), "-e", ([[
      local task = require "corun.task"
      local real, ahead = task.now, 0
      function task.now() return real() + ahead end
      require("corun.http").download(%q, %q, {on_progress = function(bytes)
        if bytes > 2000000 then ahead = 31 end
        if bytes > 3000000 then print(bytes) require("corun").sleep(60) end
      end})]]):format(url, path)})
    assert.matches("^%d+$", p.stdout:read("l"))
    support.eventually("a note of it", function()
      local note = json.decode(fs.read(path .. ".part.json") or "{}")
      return note.unsynced ~= nil
    end)
    p:kill("KILL")
    p:wait()
    start_again("another")
    it.slow, it.seen = nil, {}
    check_whole(url)
    assert.equal(1, #it.seen)
    assert.is_true(tonumber(it.seen[1]:match("^%d+")) > 1000000)
    server:close()
  end)

  it("that is full when a file is closed: the bytes count as missing", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    for parts = 1, 3, 2 do
      assert(fs.write(path, "old"))
      local out = run("DISK_FULL=.part", [[
        local n, err = require("corun.http").download(%q, %q, {parts = %d})
        print(n, err.code)]], url, path, parts)
      assert.equal("nil\tEDQUOT\n", out)
      assert.equal("old", fs.read(path))
      it.seen = {}
      check_whole(url)
      if parts == 1 then assert.same({"all"}, it.seen) end
    end
    server:close()
  end)

  it("that is broken: an error says whether the file is in place", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    local out = run("DISK_BROKEN=/d", [[
      print(require("corun.http").download(%q, %q, {fsync = true}))]], url, path)
    assert.equal("nil\tdownload " .. path .. ": the file is saved, but its name may not outlive a "
      .. "power cut (EIO)\n", out)
    assert.is_true(fs.read(path) == TEXT, "the file is another one")
    assert.same({"file"}, fs.list(dir))
    assert(fs.write(path, "old"))
    out = run("DISK_BROKEN=.part", [[
      print(require("corun.http").download(%q, %q, {fsync = true}))]], url, path)
    assert.matches("^nil\t.*%(EIO%)\n$", out)
    assert.equal("old", fs.read(path))
    server:close()
  end)

  it("that cannot be waited for is an error where that was asked for", function()
    local it = {text = TEXT, etag = '"1"', slow = 0.001}
    local server <close>, url = file_server(it)
    local code = [[
      local task = require "corun.task"
      local real, ahead = task.now, 0
      function task.now() return real() + ahead end
      print(require("corun.http").download(%q, %q, {fsync = %s, on_progress = function(bytes)
        if bytes > 2000000 then ahead = 31 end
      end}))]]
    local out, lines = run("DISK_UNABLE=.part DISK_LOG=" .. log, code, url, path, "false")
    assert.equal("4800000\n", out)
    assert.matches("fsync DIR/file.part\n", lines, 1, true)
    check_whole(url)
    assert(fs.write(path, "old"))
    out = run("DISK_UNABLE=.part", code, url, path, "true")
    assert.matches("^nil\t.*%(EINVAL%)\n$", out)
    assert.equal("old", fs.read(path))
    server:close()
  end)

  it("has a note of a download by another version of this program: it is begun anew", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    cut(it, url)
    local note = json.decode(assert(fs.read(path .. ".part.json")))
    note.version = note.version - 1
    assert(fs.write(path .. ".part.json", json.encode(note)))
    check_whole(url)
    assert.same({"all"}, it.seen)
    server:close()
  end)
end)
