-- SPDX-License-Identifier: MIT
-- The scripts that use every core: each runs and does what it says. All in children.

local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")

local codec, fs = corun.codec, corun.fs

local function run(name, ...)
  return program.run{"--timeout=60", "scripts/" .. name .. ".lua", ...}
end

-- What it prints; it must end well and say nothing else.
local function output_of(name, ...)
  local r = run(name, "--quiet", ...)
  assert.equal("", r.err)
  assert.equal(0, r.status)
  return r.out
end

local function folder()
  return assert(fs.temp{dir = true})
end

-- Whether it refuses an option that it does not know, and tells how it is used.
local function check_command_line(name)
  local r = run(name, "--worker=1")
  assert.equal(2, r.status)
  assert.equal("", r.out)
  assert.matches(('^%s.lua: unknown option "%%-%%-worker=1" %%(did you mean "%%-%%-workers"')
    :format(name), r.err)
  r = run(name, "--workers=0")
  assert.equal(2, r.status)
  assert.matches("at least 1", r.err)
  r = run(name, "--help")
  assert.equal(0, r.status)
  assert.matches("^usage: " .. name, r.out)
end

describe("scripts/mandelbrot.lua", function()
  -- The width, the height and the pixels of a file of either kind.
  local function read_picture(path)
    local data = assert(fs.read(path))
    if path:find("%.pgm$") then
      local w, h, at = data:match("^P5\n(%d+) (%d+)\n255\n()")
      return tonumber(w), tonumber(h), data:sub(at)
    end
    assert.equal("\x89PNG\r\n\x1a\n", data:sub(1, 8))
    local at, chunks, kinds = 9, {}, {}
    while at <= #data do
      local size, kind = string.unpack(">I4c4", data, at)
      local body = data:sub(at + 8, at + 7 + size)
      assert.equal(codec.crc32(kind .. body), (string.unpack(">I4", data, at + 8 + size)))
      chunks[kind], kinds[#kinds + 1], at = body, kind, at + 12 + size
    end
    assert.same({"IHDR", "IDAT", "IEND"}, kinds)
    local w, h = string.unpack(">I4I4", chunks.IHDR)
    local lines = assert(codec.deflate.decode(chunks.IDAT))
    assert.equal((w + 1) * h, #lines)
    return w, h, (lines:gsub(".(" .. ("."):rep(w) .. ")", "%1"))
  end

  it("draws the set, the same in each kind of file, with any number of workers", function()
    local dir <close> = folder()
    local path = dir:path()
    local pictures = {}
    for i, case in ipairs{{"1.pgm", 1}, {"2.png", 2}, {"3.pgm", 3}} do
      output_of("mandelbrot", "--width=61", "--height=40", "--iterations=60",
        "--workers=" .. case[2], path .. "/" .. case[1])
      local w, h, pixels = read_picture(path .. "/" .. case[1])
      assert.same({61, 40, 61 * 40}, {w, h, #pixels})
      pictures[i] = pixels
    end
    assert.equal(pictures[1], pictures[2])
    assert.equal(pictures[1], pictures[3])
    local inside = select(2, pictures[1]:gsub("%z", ""))
    assert(inside > 300 and inside < 700, inside) -- the set is 1.5 of the 6.75 that are shown
    assert.equal(pictures[1]:sub(1, 61), pictures[1]:sub(-61)) -- as the set is symmetric
    assert.are_not.equal(0, pictures[1]:byte(1))
    assert.equal(0, pictures[1]:byte(61 * 20 + 37)) -- a point beside 0
  end)

  it("goes to the point that it is told", function()
    local dir <close> = folder()
    local path = dir:path()
    output_of("mandelbrot", "--width=5", "--height=5", "--x=0", "--zoom=1000", path .. "/in.pgm")
    assert.equal(("\0"):rep(25), select(3, read_picture(path .. "/in.pgm")))
    output_of("mandelbrot", "--width=5", "--height=5", "--x=2", "--zoom=1000", path .. "/out.pgm")
    assert.is_nil(select(3, read_picture(path .. "/out.pgm")):find("%z"))
  end)

  it("tells what it did, and shows how far it is", function()
    local dir <close> = folder()
    local path = dir:path()
    local r = run("mandelbrot", "--width=16", "--height=8", "--workers=2", path .. "/a.png")
    assert.equal(0, r.status)
    assert.matches("a%.png: 16 x 8, 2 workers, %d+%.%d%d s\n$", r.out)
    assert.matches("rows: 8/8 %(100%%%)", r.err)
  end)

  it("says what is wrong", function()
    check_command_line("mandelbrot")
    local r = run("mandelbrot", "picture.jpg")
    assert.equal(2, r.status)
    assert.matches("^mandelbrot.lua: FILE is a NAME.png or a NAME.pgm", r.err)
    r = run("mandelbrot", "-q", "--width=2", "--height=2", "/nowhere/a.png")
    assert.equal(1, r.status)
    assert.matches("^mandelbrot.lua: [^\n]*/nowhere/[^\n]*ENOENT[^\n]*\n$", r.err)
  end)
end)

describe("scripts/wordcount.lua", function()
  it("counts words, wherever files are cut", function()
    local dir <close> = folder()
    local path = dir:path()
    local text = ("The quick brown fox jumps over the lazy dog; münchen!\n"):rep(40) .. "The end"
    assert(fs.write(path .. "/a.txt", text))
    assert(fs.write(path .. "/b.txt", "dog"))
    assert(fs.write(path .. "/empty.txt", ""))
    for _, part in ipairs{1, 2, 3, 7, 100, 1 << 20} do
      assert.equal("     81  the\n     41  dog\n     40  brown\n",
        output_of("wordcount", "--top=3", "--part=" .. part, path .. "/*.txt"))
      local all = output_of("wordcount", "--top=99", "--part=" .. part, path .. "/a.txt")
      assert.matches("\n     40  münchen\n", all, 1, true)
      assert.equal(10, select(2, all:gsub("\n", "")))
    end
  end)

  it("keeps one very long word whole", function()
    local dir <close> = folder()
    local path = dir:path()
    assert(fs.write(path .. "/a", ("x"):rep(5000) .. " y"))
    assert.equal(("      1  %s\n      1  y\n"):format(("x"):rep(5000)),
      output_of("wordcount", "--part=100", path .. "/a"))
  end)

  it("tells what it did, and shows how far it is", function()
    local dir <close> = folder()
    local path = dir:path()
    assert(fs.write(path .. "/a", "one two one"))
    local r = run("wordcount", "--workers=1", path .. "/a")
    assert.equal(0, r.status)
    assert.matches("\n3 words, 2 different; 1 files, 0%.0 MB, %d+%.%d%d s\n$", r.out)
    assert.matches("parts: 1/1 %(100%%%)", r.err)
  end)

  it("goes on with the other files where one cannot be read, and fails", function()
    local dir <close> = folder()
    local path = dir:path()
    assert(fs.write(path .. "/a", "word"))
    local r = run("wordcount", "-q", path .. "/none", path .. "/a", path, path .. "/*.lua")
    assert.equal("      1  word\n", r.out)
    assert.equal(1, r.status)
    assert.matches("wordcount.lua: [^\n]*/none: [^\n]*ENOENT", r.err)
    assert.matches("wordcount.lua: [^\n]*: Is a directory\n", r.err)
    assert.matches("wordcount.lua: no file fits " .. path .. "/*.lua\n", r.err, 1, true)
  end)

  it("says what is wrong", function()
    check_command_line("wordcount")
    local r = run("wordcount")
    assert.equal(2, r.status)
    assert.matches("missing argument FILE", r.err)
  end)
end)

describe("scripts/hash_tree.lua", function()
  local function make_tree(path)
    assert(fs.mkdir(path .. "/tree/sub/deep", {parents = true}))
    assert(fs.write(path .. "/tree/a", ""))
    assert(fs.write(path .. "/tree/sub/b c", "text\n"))
    assert(fs.write(path .. "/tree/sub/deep/large", ("0123456789"):rep(100001)))
    assert(fs.write(path .. "/tree/back\\slash\nand newline", "odd"))
    assert(fs.symlink("a", path .. "/tree/link"))
    for i = 1, 100 do assert(fs.write(("%s/tree/sub/%03d"):format(path, i), tostring(i))) end
  end

  it("prints what sha256sum prints, and what it can check", function()
    local dir <close> = folder()
    local path = dir:path()
    make_tree(path)
    local out = output_of("hash_tree", path .. "/tree")
    local theirs = program.sh(("find %s/tree -type f -exec sha256sum {} + | sort"):format(path))
    local mine = program.sh("sort", {stdin = out})
    assert.equal(theirs.out, mine.out)
    assert.equal(0, program.sh("sha256sum --quiet -c -", {stdin = out}).status)
    for _, how in ipairs{{"--workers=1"}, {"--workers=5"}, {"--how=threads"}} do
      assert.equal(out, output_of("hash_tree", how[1], path .. "/tree"))
    end
    assert.equal(program.sh(("md5sum %s/tree/a"):format(path)).out,
      output_of("hash_tree", "-a", "md5", path .. "/tree"):match("[^\n]*/a\n"))
  end)

  it("tells what it did, and shows how far it is", function()
    local dir <close> = folder()
    local path = dir:path()
    assert(fs.write(path .. "/a", "x"))
    local r = run("hash_tree", path)
    assert.equal(0, r.status)
    assert.matches("^%x+  [^\n]*/a\n$", r.out)
    assert.matches("files: 1/1 %(100%%%).*\n1 files, 0%.0 MB, %d+%.%d%d s, %d+ MB/s\n$", r.err)
  end)

  it("goes on where a file cannot be read, and fails", function()
    local dir <close> = folder()
    local path = dir:path()
    assert(fs.write(path .. "/a", "x"))
    assert(fs.write(path .. "/b", "x"))
    for _, how in ipairs{"workers", "threads"} do
      -- The walk has told of a file that is gone when it is opened: in a directory no name can.
      local r = program.sh(('cd %s && "$CORUN" --timeout=60 -e %s'):format(path,
        ("'local fs, walk = require(\"corun\").fs, require(\"corun\").fs.walk; "
        .. "fs.walk = function(d) local w = walk(d) return function() local p, k, e = w() "
        .. "if p == \"./b\" then os.remove(p) end return p, k, e end end; "
        .. "arg = {[0] = \"hash_tree.lua\", \"-q\", \"--how=%s\"}; dofile(\"%s\")'")
        :format(how, assert(fs.realpath("scripts/hash_tree.lua")))))
      assert.matches("^%x+  %./a\n$", r.out)
      assert.equal(1, r.status)
      assert.matches("^hash_tree.lua: [^\n]*%./b[^\n]*\n$", r.err)
      assert(fs.write(path .. "/b", "x"))
    end
  end)

  it("says what is wrong", function()
    check_command_line("hash_tree")
    local r = run("hash_tree", "/nowhere")
    assert.equal(1, r.status)
    assert.equal("", r.out)
    assert.matches("^hash_tree.lua: [^\n]*/nowhere[^\n]*ENOENT[^\n]*\n$", r.err)
    r = run("hash_tree", "--algorithm=crc")
    assert.equal(2, r.status)
  end)
end)
