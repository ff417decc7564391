-- SPDX-License-Identifier: MIT
-- Trees of files: list, walk, glob, mkdir with parents, remove and copy with all that is inside.
local corun = require "corun"
local fs = require "corun.fs"
local files = dofile("tests/spec/support/files.lua")

local folder, put, get, descriptors = files.folder, files.put, files.get, files.descriptors

local function assert_error(code, op, target, value, err)
  assert.is_nil(value)
  assert.equal(code, err.code)
  assert.equal(op, err.op)
  if target then assert.equal(target, err.target) end
end

-- Run shell code in a folder.
local function sh(dir, code)
  local r = files.sh("cd '" .. dir .. "' && " .. code)
  assert.equal("", r.err)
  return r.out
end

-- What a walk gives: "path kind" lines, with the code of an error.
local function walked(dir, o)
  local lines = {}
  for path, kind, err in fs.walk(dir, o) do
    lines[#lines + 1] = path:sub(#dir + 2) .. " " .. kind .. (err and " " .. err.code or "")
  end
  return lines
end

-- A tree as one text: modes, kinds, names, sums.
local function picture(dir)
  return sh(dir, "find . -mindepth 1 -printf '%m %y %p %l\\n' | sort; "
    .. "find . -type f -print0 | sort -z | xargs -0 -r cksum")
end

local TREE = [[mkdir -p a/b/c a/.hid d "sp ace"; echo 1 >a/1.lua; echo 2 >a/2.txt; echo 3 >a/b/3.lua
  echo 4 >a/b/c/4.lua; echo 5 >.dot; echo 6 >a/.hid/6.lua; echo 7 >"sp ace/new
line"; ln -s a/1.lua link; ln -s ../a d/up; ln -s nowhere broken; mkfifo d/pipe]]

describe("fs.list", function()
  it("gives names and kinds, sorted bytewise", function()
    local _ <close>, dir = folder()
    sh(dir, TREE .. "; touch B b é")
    local names, kinds = fs.list(dir)
    assert.same({".dot", "B", "a", "b", "broken", "d", "link", "sp ace", "é"}, names)
    assert.same({"file", "file", "directory", "file", "link", "directory", "link", "directory",
      "file"}, kinds)
    assert.same({"pipe", "up"}, (fs.list(dir .. "/d")))
    assert.same({"fifo", "link"}, (select(2, fs.list(dir .. "/d"))))
    assert.equal(sh(dir, "ls -A /usr/lib | LC_ALL=C sort"),
      table.concat((fs.list("/usr/lib")), "\n") .. "\n")
  end)

  it("fails for what is no directory", function()
    local _ <close>, dir = folder()
    put(dir .. "/f", "")
    assert_error("ENOTDIR", "list", dir .. "/f", fs.list(dir .. "/f"))
    assert_error("ENOENT", "list", dir .. "/g", fs.list(dir .. "/g"))
  end)

  -- How late the loop was at worst while `fn` ran, after `prepare`: the least of three, as the
  -- machine may pause too.
  local function lateness(prepare, fn)
    local least = math.huge
    for _ = 1, 3 do
      local late = 0
      prepare()
      corun.scope(function(s)
        s:daemon(function()
          while true do
            local before = corun.now()
            corun.sleep(0.001)
            late = math.max(late, corun.now() - before - 0.001)
          end
        end)
        fn()
      end)
      least = math.min(least, late)
      if least < 0.05 then break end
    end
    return least
  end

  it("lists, walks, matches and removes 100,000 files while the loop goes on #heavy", function()
    local _ <close>, dir = folder()
    local function make()
      sh(dir, "mkdir -p many && cd many && seq -f 'file%06.0f' 100000 | xargs touch")
    end
    local late = lateness(make, function()
      local names = assert(fs.list(dir .. "/many"))
      assert.equal(100000, #names)
      assert.equal("file100000", names[100000])
      local n = 0
      for _ in fs.walk(dir) do n = n + 1 end
      assert.equal(100001, n)
      assert.equal(1000, #assert(fs.glob(dir .. "/*/file???[5]7?")))
    end)
    assert.is_true(late < 0.1, late)
    late = lateness(make, function()
      assert.is_true(fs.remove(dir .. "/many", {recursive = true}))
    end)
    assert.is_true(late < 0.1, late)
    assert.is_false(fs.exists(dir .. "/many"))
  end)
end)

describe("fs.walk", function()
  it("goes depth first, each directory before what is in it", function()
    local _ <close>, dir = folder()
    sh(dir, TREE)
    assert.same({".dot file", "a directory", "a/.hid directory", "a/.hid/6.lua file",
      "a/1.lua file",
      "a/2.txt file", "a/b directory", "a/b/3.lua file", "a/b/c directory", "a/b/c/4.lua file",
      "broken link", "d directory", "d/pipe fifo", "d/up link", "link link",
      "sp ace directory", "sp ace/new\nline file"}, walked(dir))
    -- One name has a newline.
    assert.equal(tonumber(sh(dir, "find . -mindepth 1 | wc -l")), #walked(dir) + 1)
  end)

  it("goes as deep as it may, and where the filter lets it", function()
    local _ <close>, dir = folder()
    sh(dir, TREE)
    assert.same((fs.list(dir)), (function()
      local names = {}
      for path in fs.walk(dir, {depth = 1}) do names[#names + 1] = path:match("[^/]*$") end
      return names
    end)())
    assert.same({"a directory", "a/1.lua file", "a/b directory", "a/b/3.lua file"},
      walked(dir, {depth = 3, filter = function(path, kind)
        return not path:find("/%.") and path:find("^" .. dir:gsub("%p", "%%%0") .. "/a")
          and (kind == "directory" and not path:find("/c$") or path:find("lua$"))
      end}))
  end)

  it("follows links if it is told to, and comes out of circles", function()
    local _ <close>, dir = folder()
    sh(dir, "mkdir -p a/b; echo x >a/f; ln -s .. a/b/up; ln -s ../a a/b/side; "
      .. "ln -s a c; ln -s l1 l2; ln -s l2 l1")
    local seen = {}
    for _, line in ipairs(walked(dir, {follow = true})) do seen[line] = true end
    assert.is_true(seen["c directory"] and seen["c/f file"] and seen["c/b directory"])
    assert.is_true(seen["a/b/up directory"] and seen["l1 link"])
    assert.is_nil(seen["a/b/up/b directory"])
    assert.is_true(#walked(dir, {follow = true}) < 40)
  end)

  it("raises when it cannot begin, and hands out what fails on the way", function()
    local _ <close>, dir = folder()
    local ok, err = pcall(function() for _ in fs.walk(dir .. "/none") do error("a step") end end)
    assert.is_false(ok)
    assert.equal("ENOENT", err.code)
    sh(dir, TREE)
    local lines = {}
    for path, _, e in fs.walk(dir) do
      if path == dir .. "/a" then fs.remove(path .. "/b", {recursive = true}) end
      if e then lines[#lines + 1] = path:sub(#dir + 2) .. " " .. e.code end
    end
    assert.same({"a/b ENOENT"}, lines)
    assert.is_false(pcall(fs.walk, dir, {deep = 1}))
    assert.is_false(pcall(fs.walk))
  end)

  it("walks through a tree that is 1,500 deep", function()
    local _ <close>, dir = folder()
    assert(fs.mkdir(dir .. ("/d"):rep(1500), {parents = true}))
    local n = 0
    for _, _, err in fs.walk(dir) do
      assert(not err, err)
      n = n + 1
    end
    assert.equal(1500, n)
  end)

  it("can be left and cancelled at any step", function()
    local before = descriptors()
    for path in fs.walk("/usr/share") do if #path > 20 then break end end
    for i = 1, 20 do
      files.cancelled(i * 0.0005, function() for _ in fs.walk("/usr/share") do _ = nil end end)
    end
    assert.equal(before, descriptors())
  end)
end)

describe("fs.glob", function()
  local function globbed(dir, pattern, o)
    local found = assert(fs.glob(dir .. "/" .. pattern, o))
    for i, path in ipairs(found) do found[i] = path:sub(#dir + 2) end
    return found
  end

  it("matches as a shell does", function()
    local _ <close>, dir = folder()
    sh(dir, TREE
      .. [[; touch 'we[ir]d' 'st*r' 'q?' 'b{r}' -- '-dash' ']' 'back\slash' ü 'ab' 'aXb']])
    local function shell(pattern)
      local out = sh(dir, ("LC_ALL=C.UTF-8 bash -O nullglob -O globstar -c "
        .. "'for f in %s; do printf \"%%s\\0\" \"$f\"; done'"):format(pattern))
      local list = {}
      for name in out:gmatch("([^\0]*)\0") do list[#list + 1] = name end
      table.sort(list)
      return list
    end
    for _, pattern in ipairs{"*", "a/*", "a/*.lua", "*/*", "*/*/*.lua", "?", "??", "[ab]*", "[!a]*",
      "[^a-l]*", "a/?.lua", "**/*.lua", "a/**", "a/**/", "a/**/c/*", "*/", "a*b", "{a,d}/*",
      "a/{1,2}.{lua,txt}", "{a/{b,.hid}/*,link}", ".*t", "a/.*/*", "s*", "*\\**", "*\\?", "\\[*",
      "*[[]*",
      "[]]", "[]a]*", "x*", "a/b/c/4.lua", "nothere", "l[i]nk/*", "d/up/*.lua", "broken", "brok*",
      "{x}",
      "a{,/b}", "**", "*/**/3.lua"} do
      local got = globbed(dir, pattern)
      table.sort(got)
      -- globstar of bash follows no links either, but keeps "dir/" for **; a word without a magic
      -- character it does not look up.
      local want = shell(pattern)
      for i = #want, 1, -1 do
        if pattern == "a/**" and want[i] == "a/" then table.remove(want, i) end
      end
      if not pattern:find("[*?[]") then
        for i = #want, 1, -1 do
          if not fs.stat(dir .. "/" .. want[i], {follow = false}) then table.remove(want, i) end
        end
      end
      assert.same(want, got, pattern)
    end
  end)

  it("gives each path once, in the order of a walk", function()
    local _ <close>, dir = folder()
    sh(dir, TREE)
    assert.same({"a/1.lua", "a/b/3.lua", "a/b/c/4.lua"}, globbed(dir, "**/**/{*,?,*.lua}.lua"))
    assert.same({".dot", "a/.hid", "a/.hid/6.lua"}, (function()
      local found = {}
      for _, path in ipairs(globbed(dir, "**", {hidden = true})) do
        if path:find("%.dot") or path:find("%.hid") then found[#found + 1] = path end
      end
      return found
    end)())
    assert.same({}, globbed(dir, "none/*"))
    assert.same({"a/b/c/4.lua"}, globbed(dir, "**/c/**")) -- what is below, not the directory itself
  end)

  it("takes paths from the root and from here", function()
    assert.same({"/etc/passwd"}, fs.glob("/et[c]/passw?"))
    assert.same({"tests/spec/fs_tree_spec.lua"}, fs.glob("tests/*/fs_tree*"))
    assert.same({"tests/spec/fs_tree_spec.lua"}, fs.glob("tests//spec/fs_tree_s?ec.lua"))
    assert.same({"/"}, fs.glob("/"))
    assert.same({}, fs.glob(""))
    assert.equal("./tests/spec/fs_spec.lua", fs.glob("./**/fs_spec.lua")[1])
  end)

  it("takes names that are no UTF-8, and is quick with many stars", function()
    local _ <close>, dir = folder()
    for _, name in ipairs{"a\255b", "aüb", "a\xE2\x82b"} do put(dir .. "/" .. name, "") end
    assert.same({"aüb", "a\255b"}, globbed(dir, "a?b"))
    assert.same({"a\255b"}, globbed(dir, "a[\254-\255]b"))
    assert.same({"a\255b"}, globbed(dir, "a\255*"))
    put(dir .. "/" .. ("a"):rep(250), "")
    local before = os.clock()
    assert.same({}, globbed(dir, ("*a"):rep(60) .. "*b"))
    assert.is_true(os.clock() - before < 1)
  end)

  it("raises for what is no pattern", function()
    assert.is_false(pcall(fs.glob))
    local ok, err = pcall(fs.glob, ("{a,b}"):rep(20))
    assert.is_false(ok)
    assert.matches("stand for too many", err)
    assert.is_false(pcall(fs.glob, "*", {dot = true}))
  end)
end)

describe("fs.mkdir", function()
  it("makes one directory, or all that are missing", function()
    local _ <close>, dir = folder()
    assert.is_true(fs.mkdir(dir .. "/one", {mode = "700"}))
    assert.equal(448, fs.stat(dir .. "/one").mode)
    assert_error("EEXIST", "mkdir", dir .. "/one", fs.mkdir(dir .. "/one"))
    assert_error("ENOENT", "mkdir", nil, fs.mkdir(dir .. "/x/y"))
    assert.is_true(fs.mkdir(dir .. "/x//y/./z/../w/", {parents = true}))
    assert.is_true(fs.mkdir(dir .. "/x/y/w", {parents = true}))
    assert.same({"w", "z"}, (fs.list(dir .. "/x/y")))
    put(dir .. "/f", "")
    assert_error("EEXIST", "mkdir", nil, fs.mkdir(dir .. "/f", {parents = true}))
    assert_error("ENOTDIR", "mkdir", nil, fs.mkdir(dir .. "/f/g", {parents = true}))
    assert.is_true(fs.mkdir("/", {parents = true}))
    assert_error("ENOENT", "mkdir", nil, fs.mkdir("", {parents = true}))
  end)

  it("may be done by many at once", function()
    local _ <close>, dir = folder()
    for i = 1, 10 do
      local list = {}
      for j = 1, 16 do list[j] = ("%s/%d/a/b/c/%d"):format(dir, i, j) end
      corun.map(list, function(path) assert(fs.mkdir(path, {parents = true})) end)
    end
  end)
end)

describe("fs.remove", function()
  it("removes a file, an empty directory, a link and not what it leads to", function()
    local _ <close>, dir = folder()
    sh(dir, TREE)
    assert.is_true(fs.remove(dir .. "/link"))
    assert.equal("1\n", get(dir .. "/a/1.lua"))
    assert.is_true(fs.remove(dir .. "/.dot"))
    assert.is_true(fs.mkdir(dir .. "/empty"))
    assert.is_true(fs.remove(dir .. "/empty"))
    assert_error("ENOTEMPTY", "remove", dir .. "/a", fs.remove(dir .. "/a"))
    assert_error("ENOENT", "remove", dir .. "/link", fs.remove(dir .. "/link"))
    assert_error("ENOENT", "remove", nil, fs.remove(dir .. "/link", {recursive = true}))
  end)

  it("takes nothing away that the path does not name", function()
    local _ <close>, dir = folder()
    sh(dir, "mkdir -p a/b; echo x >a/f")
    for _, name in ipairs{"/a/.", "/a/./", "/a/b/..", "/a/b/..//"} do
      local path = dir .. name
      assert_error("EINVAL", "remove", path, fs.remove(path, {recursive = true}))
    end
    assert.equal("x\n", get(dir .. "/a/f"))
  end)

  it("removes a tree and follows no link", function()
    local _ <close>, dir = folder()
    sh(dir, "mkdir keep; echo x >keep/f; mkdir tree; cd tree; " .. TREE
      .. "; ln -s ../keep k; ln -s ../../keep a/k")
    assert.is_true(fs.symlink("tree", dir .. "/t"))
    assert.is_true(fs.remove(dir .. "/t", {recursive = true}))
    assert.is_true(fs.remove(dir .. "/tree", {recursive = true}))
    assert.same({"keep"}, (fs.list(dir)))
    assert.equal("x\n", get(dir .. "/keep/f"))
  end)

  it("removes what is deeper than paths and descriptors reach", function()
    local _ <close>, dir = folder()
    put(dir .. "/deep.py", "import os\nfor i in range(3000):\n"
      .. "  os.mkdir('d' * 20); open('f', 'w').close(); os.chdir('d' * 20)\n")
    sh(dir, "python3 deep.py && rm deep.py")
    local r = files.sh(([[ulimit -n 20; exec "$CORUN" -e 'local fs = require "corun.fs"
      print(fs.remove("%s/%s", {recursive = true}))']]):format(dir, ("d"):rep(20)))
    assert.equal("true\n", r.out)
    assert.same({"f"}, (fs.list(dir)))
  end)

  it("names what could not be removed", function()
    assert_error("EPERM", "remove", "/proc/self/attr", (function()
      local _, err = fs.remove("/proc/self/attr", {recursive = true})
      assert(err.code == "EPERM" or err.code == "EACCES", err)
      local target = err.target:match("^/proc/self/attr")
      return nil, corun.err("EPERM", "not permitted", {op = err.op, target = target})
    end)())
  end)

  it("is not led astray by a tree that changes meanwhile", function()
    local _ <close>, dir = folder()
    for _ = 1, 4 do
      sh(dir, "mkdir -p keep/sub t/a/b t/c $(seq -f t/a/%g 200); "
        .. "touch keep/sub/1 keep/2 $(seq -f t/a/%g/f 200)")
      corun.scope(function(s)
        local removing = s:async(fs.remove, dir .. "/t", {recursive = true})
        -- A directory becomes a link to what must be kept.
        for i = 1, 200, 7 do
          fs.rename(dir .. "/t/a/" .. i, dir .. "/away" .. i)
          fs.symlink(dir .. "/keep", dir .. "/t/a/" .. i)
        end
        removing:await()
      end)
      assert.same({"2", "sub"}, (fs.list(dir .. "/keep")))
      assert.same({"1"}, (fs.list(dir .. "/keep/sub")))
      sh(dir, "rm -rf away* t")
    end
  end)

  it("S16 stops when it is cancelled", function()
    local _ <close>, dir = folder()
    local before = descriptors()
    for i = 1, 4 do
      sh(dir, "mkdir -p $(seq -f t/d%g/e 300)")
      files.cancelled(i * 0.0006, fs.remove, dir .. "/t", {recursive = true})
      assert(fs.remove(dir .. "/t", {recursive = true}) or not fs.exists(dir .. "/t"))
    end
    assert.equal(before, descriptors())
  end)
end)

describe("fs.copy", function()
  it("copies bytes and mode", function()
    local _ <close>, dir = folder()
    local text = ("x"):rep(3 << 20)
    put(dir .. "/a", text)
    assert(fs.chmod(dir .. "/a", "751"))
    assert.is_true(fs.copy(dir .. "/a", dir .. "/b"))
    assert.is_true(get(dir .. "/b") == text)
    assert.equal(489, fs.stat(dir .. "/b").mode)
    put(dir .. "/a", "new")
    assert_error("EEXIST", "copy", nil, fs.copy(dir .. "/a", dir .. "/b", {overwrite = false}))
    assert.is_true(fs.copy(dir .. "/a", dir .. "/b"))
    assert.equal("new", get(dir .. "/b"))
    assert.is_true(fs.copy(dir .. "/a", dir .. "/a"))
    assert.equal("new", get(dir .. "/a"))
  end)

  it("goes by what it reads, not by the size that the system tells", function()
    local _ <close>, dir = folder()
    local told_none, told_more = "/proc/cpuinfo", "/sys/kernel/mm/transparent_hugepage/enabled"
    for _, path in ipairs{told_none, told_more} do
      local text = get(path)
      if text then
        assert.is_true(fs.copy(path, dir .. "/copy"))
        assert.equal(text, get(dir .. "/copy"))
      end
    end
  end)

  it("ends when the file is cut while it is copied", function()
    local _ <close>, dir = folder()
    local before, whole, was_cut = descriptors(), ("0123456789abcdef"):rep(2 << 20), false
    for i = 1, 20 do
      put(dir .. "/a", whole)
      corun.scope(function(s)
        s:spawn(fs.copy, dir .. "/a", dir .. "/b")
        corun.sleep(i * 0.0005)
        put(dir .. "/a", "short")
      end)
      local copy = get(dir .. "/b")
      assert.is_true(copy == "short" or copy == whole:sub(1, #copy))
      was_cut = was_cut or #copy < #whole
    end
    assert.is_true(was_cut)
    assert.equal(before, descriptors())
  end)

  it("S16 stops when it is cancelled, and leaves no part of the copy", function()
    local _ <close>, dir = folder()
    local before = descriptors()
    assert(fs.open(dir .. "/hole", "w")):truncate(1 << 30)
    for i = 1, 10 do
      local done = files.cancelled(i * 0.0005, fs.copy, dir .. "/hole", dir .. "/copy")
      assert.is_true(done or not fs.exists(dir .. "/copy"))
    end
    collectgarbage()
    assert.equal(before, descriptors())
  end)

  it("names the one of both that could not be read or made", function()
    local _ <close>, dir = folder()
    put(dir .. "/a", "x")
    assert_error("ENOENT", "copy", dir .. "/none", fs.copy(dir .. "/none", dir .. "/b"))
    assert_error("ENOENT", "copy", dir .. "/none/b", fs.copy(dir .. "/a", dir .. "/none/b"))
  end)

  it("refuses what is no file, without waiting for it", function()
    local _ <close>, dir = folder()
    sh(dir, "mkfifo p; touch f; mkdir d")
    assert_error("EINVAL", "copy", nil, fs.copy(dir .. "/p", dir .. "/q"))
    assert_error("EINVAL", "copy", nil, fs.copy(dir .. "/f", dir .. "/p"))
    assert_error("EISDIR", "copy", nil, fs.copy(dir .. "/d", dir .. "/e"))
    assert_error("EISDIR", "copy", nil, fs.copy(dir .. "/f", dir .. "/d"))
    assert_error("ENOENT", "copy", nil, fs.copy(dir .. "/none", dir .. "/e"))
    assert_error("EINVAL", "copy", nil, fs.copy("/dev/zero", dir .. "/e"))
    assert_error("EINVAL", "copy", nil, fs.copy(dir .. "/f", "/dev/full"))
  end)

  it("copies a tree: links as links, modes, also of directories that may not be written", function()
    local _ <close>, dir = folder()
    sh(dir, "mkdir t; cd t; " .. TREE
      .. "; rm d/pipe; chmod 555 a/b; chmod 640 a/1.lua; chmod 1777 d")
    assert.is_true(fs.copy(dir .. "/t", dir .. "/u", {recursive = true}))
    assert.equal(picture(dir .. "/t"), picture(dir .. "/u"))
    put(dir .. "/t/a/1.lua", "changed")
    assert.is_true(fs.copy(dir .. "/t", dir .. "/u", {recursive = true}))
    assert.equal(picture(dir .. "/t"), picture(dir .. "/u"))
    assert_error("EEXIST", "copy", nil,
      fs.copy(dir .. "/t", dir .. "/u", {recursive = true, overwrite = false}))
    assert.is_true(fs.copy(dir .. "/t/a/1.lua", dir .. "/v", {recursive = true}))
    assert.equal("changed", get(dir .. "/v"))
    sh(dir, "chmod 755 t/a/b u/a/b")
  end)

  it("refuses to copy a tree into itself, and what it cannot copy", function()
    local _ <close>, dir = folder()
    sh(dir, "mkdir -p t/a; touch t/f; ln -s t l; mkfifo t/p")
    for _, to in ipairs{"/t", "/t/a", "/t/a/new", "/l/x"} do
      assert_error("EINVAL", "copy", nil, fs.copy(dir .. "/t", dir .. to, {recursive = true}))
    end
    assert_error("EINVAL", "copy", dir .. "/t/p",
      fs.copy(dir .. "/t", dir .. "/t2", {recursive = true}))
    assert_error("ENOENT", "copy", nil, (function()
      local _, err = fs.copy(dir .. "/none", dir .. "/x", {recursive = true})
      err.op = "copy"
      return nil, err
    end)())
  end)
end)
