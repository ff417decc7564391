-- SPDX-License-Identifier: MIT
-- Downloads that are stopped: killed, cancelled, in each other's way, without room on the disk.
-- What is there can be gone on with, and the target is as it was.

local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local process = require("corun.process")
local file_server = require("tests.spec.support.file_server")
local support = require("tests.spec.support.http")

local TEXT = ("0123456789abcdef"):rep(300000) -- 4.8 MB

describe("http.download that is stopped", function()
  local folder, path

  before_each(function()
    folder = assert(fs.temp{dir = true})
    path = folder:path() .. "/file"
  end)
  after_each(function() folder:close() end)

  -- Download in a session of its own.
  local function download(url, o)
    local s <close> = http.session()
    return s:download(url, path, o)
  end

  local function check_saved(text)
    assert.is_true(fs.read(path) == text, "the file is another one")
    assert.same({"file"}, fs.list(folder:path()))
  end

  it("a disk that is full is an error, and the target as it was", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    for _, parts in ipairs{1, 4} do -- of several, several fail
      assert(fs.write(path, "old"))
      -- A limit of the size of files stands for the disk.
      local out, ok = support.run("sh", "-c", [[ulimit -f 1024; exec "$0" -e "$1"]],
        support.corun(), ([[for _ = 1, 20 do
          print(require("corun.http").download(%q, %q, {parts = %d}))
        end]]):format(url, path, parts))
      assert.is_true(ok, out)
      assert.matches("^nil\t[^\n]*EFBIG", out)
      assert.equal(20, select(2, out:gsub("nil\t[^\n]*EFBIG[^\n]*\n", "")), out)
      assert.equal("old", fs.read(path))
      assert.equal(#TEXT, download(url))
      check_saved(TEXT)
    end
    server:close()
  end)

  it("without room for a note what came is of no use, and goes", function()
    local it = {text = TEXT, etag = '"1"', cut = 2000000}
    local server <close>, url = file_server(it)
    local in_the_way = path .. ".part.json.new" -- stands for the full disk
    assert(fs.mkdir(in_the_way .. "/x", {parents = true}))
    local _, err = download(url)
    assert.equal("EOF", err.code)
    assert.same({"file.part.json.new"}, fs.list(folder:path()))
    assert(fs.remove(in_the_way, {recursive = true}))

    assert.is_nil((download(url)))
    assert(fs.mkdir(in_the_way .. "/x", {parents = true}))
    it.cut = 500000
    assert.is_nil((download(url))) -- the note of before is still true
    assert.same({"file.part", "file.part.json", "file.part.json.new"}, fs.list(folder:path()))
    assert(fs.remove(in_the_way, {recursive = true}))
    it.cut, it.seen = nil, {}
    assert.equal(#TEXT, download(url))
    assert.equal(1, #it.seen)
    assert.not_matches("^0", it.seen[1])
    check_saved(TEXT)
    server:close()
  end)

  it("a folder that it may not write to is an error", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    local as_nobody = fs.stat("/proc/self").uid == 0
      and "exec setpriv --reuid=65534 --regid=65534 --clear-groups " or "exec "
    local function run(...)
      return support.run("sh", "-c", as_nobody .. [["$0" "$@"]], support.corun(), ...)
    end
    if not select(2, run("-v")) then
      server:close()
      return pending("nobody cannot run corun here")
    end
    assert(fs.chmod(folder:path(), "555"))
    local out = run("-e",
      ([[print(require("corun.http").download(%q, %q))]]):format(url, path))
    assert(fs.chmod(folder:path(), "700"))
    assert.matches("^nil\t.*%(EACCES%)", out)
    assert.same({}, fs.list(folder:path()))
    server:close()
  end)

  it("what is cancelled can be gone on with", function()
    for _, parts in ipairs{1, 3} do
      local it = {text = TEXT, etag = '"1"'}
      local server <close>, url = file_server(it)
      local begun = corun.event()
      local t = corun.async(download, url, {parts = parts, on_progress = function(bytes)
        if bytes > 1500000 then
          begun:set()
          corun.sleep(60)
        end
      end})
      begun:wait()
      t:cancel()
      t:await()
      assert.same({"file.part", "file.part.json"}, fs.list(folder:path()))
      it.seen = {}
      assert.equal(#TEXT, download(url, {parts = parts}))
      check_saved(TEXT)
      assert.not_matches("^0%-", it.seen[1])
      assert(fs.remove(path))
      server:close()
    end
  end)

  it("S20 the close of its session is ECLOSED, also in the pause before the next try", function()
    local it = {text = TEXT, etag = '"1"', cut = 1000000}
    local server <close>, url = file_server(it)
    local s <close> = http.session()
    local t = corun.async(s.download, s, url, path, {retries = {tries = 9, min = 30}})
    support.eventually("a pause", function() return s:stats().retries > 0 end)
    s:close()
    local n, err = t:await()
    assert.is_nil(n)
    assert.equal("ECLOSED", err.code)
    assert.same({"file.part", "file.part.json"}, fs.list(folder:path()))
    local good
    good, err = pcall(s.download, s, url, path)
    assert.is_false(good)
    assert.equal("ECLOSED", err.code)
    it.cut = nil
    assert.equal(#TEXT, download(url))
    check_saved(TEXT)
    server:close()
  end)

  -- Start a download in a program of its own.
  local function start_other(url, o)
    return assert(process.spawn{support.corun(), "-e",
      ([[print(require("corun.http").download(%q, %q, {parts = %d}))]]):format(url, path, o or 1)})
  end

  it("killed at any moment it can be gone on with", function()
    local it = {text = TEXT, etag = '"1"', slow = 0.001}
    local server <close>, url = file_server(it)
    assert(fs.write(path, "old"))
    for round = 1, 8 do
      local p <close> = start_other(url, 1 + round % 3)
      local most = it.sent + math.random(0, #TEXT // 2)
      support.eventually("it has begun", function() return it.sent >= most end)
      p:kill("KILL")
      assert.equal("SIGKILL", p:wait().signal)
      assert.equal("old", fs.read(path))
    end
    assert.equal(#TEXT, download(url, {parts = 2}))
    check_saved(TEXT)
    it.slow, it.seen = 0.02, {}
    local p <close> = start_other(url) -- which notes how far it is
    support.eventually("a note", function() return fs.stat(path .. ".part.json") ~= nil end)
    p:kill("KILL")
    p:wait()
    it.slow, it.seen = nil, {}
    assert.equal(#TEXT, download(url))
    check_saved(TEXT)
    assert.equal(1, #it.seen)
    assert.matches("^[1-9]%d+%-4799999$", it.seen[1])
    server:close()
  end)

  it("of two programs at once one saves the file, the other says so", function()
    local it = {text = TEXT, etag = '"1"', slow = 0.2}
    local server <close>, url = file_server(it)
    local first <close> = start_other(url)
    support.eventually("it has begun", function() return it.sent > 0 end)
    local second <close> = start_other(url)
    support.eventually("the other has", function() return #it.heads == 2 end)
    it.slow = 0.002
    local results = {first.stdout:read("a"), second.stdout:read("a")}
    table.sort(results)
    assert.equal("4800000\n", results[1])
    assert.matches("^nil\t.*%(EBUSY%)", results[2])
    check_saved(TEXT)
    server:close()
  end)

  it("cancelled at any moment it holds no connection and no descriptor", function()
    local function descriptors()
      local n = 0
      for _ in pairs(assert(fs.list("/dev/fd"))) do n = n + 1 end
      return n
    end
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    local s <close> = http.session{idle = 0.001}
    assert.equal(#TEXT, s:download(url, path)) -- what is made once is there
    collectgarbage()
    local _ <close> = corun.defer(function() collectgarbage("restart") end)
    collectgarbage("stop") -- it would close what is lost
    for moment = 0, 120, 3 do
      local before = descriptors()
      local t = corun.async(s.download, s, url, path, {parts = 1 + moment % 3})
      for _ = 1, moment do corun.yield() end
      t:cancel()
      corun.try(t.await, t)
      support.eventually("all is closed", function()
        return s:stats().active == 0 and descriptors() <= before
      end)
    end
    server:close()
  end)

  it("what on_progress raises is raised, and what came can be gone on with", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    for _, parts in ipairs{1, 3} do
      local good, err = pcall(download, url, {parts = parts, on_progress = function(bytes)
        if bytes > 1000000 then error("no more") end
      end})
      assert.is_false(good)
      assert.matches("http_download_stop_spec.lua:%d+: no more$", err)
      assert.same({"file.part", "file.part.json"}, fs.list(folder:path()))
      assert.equal(#TEXT, download(url))
      check_saved(TEXT)
      assert(fs.remove(path))
    end
    server:close()
  end)

  it("two at once to one path: nothing is mixed, one is whole, the other says so", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    for _, first in ipairs{"", "gone on with"} do
      if first ~= "" then
        it.cut = 900000
        assert.is_nil((download(url)))
        it.cut = nil
      end
      local results = {}
      corun.gather(function() results[1] = table.pack(download(url)) end,
        function() results[2] = table.pack(download(url)) end)
      assert.is_true(results[1][1] == #TEXT or results[2][1] == #TEXT)
      for _, r in ipairs(results) do
        if r[1] ~= #TEXT then assert.equal("EBUSY", r[2].code, tostring(r[2])) end
      end
      check_saved(TEXT)
    end
    server:close()
  end)
end)
