-- SPDX-License-Identifier: MIT
-- `corun new ext`: the skeleton of an extension, which builds and tests itself with an installed
-- corun.
local corun = require "corun"
local installed = dofile("tests/spec/support/installed.lua")
local program = dofile("tests/fixtures/cli/program.lua")

local fs, process = corun.fs, corun.process

local function run(dir, argv, env)
  argv.cwd, argv.stderr, argv.env = dir, "stdout", env
  local r = assert(process.run(argv))
  return r.stdout, r.code
end

local function new(dir, ...)
  return run(dir, {program.path, "new", ...})
end

local function refuses(status, expected, dir, ...)
  local out, got = new(dir, ...)
  assert.equal(expected, out)
  assert.equal(status, got)
end

local function list(dir)
  local names = assert(fs.list(dir))
  for i, entry in ipairs(names) do names[i] = type(entry) == "table" and entry.name or entry end
  table.sort(names)
  return table.concat(names, " ")
end

describe("corun new ext", function()
  it("writes the example under another name", function()
    local temp <close> = assert(fs.temp{dir = true})
    local dir = temp:path()
    local out, status = new(dir, "ext", "sprite")
    assert.equal("sprite: CMakeLists.txt, sprite.c, test.lua, try.lua\n"
      .. "cmake -B build && cmake --build build && ctest --test-dir build\n", out)
    assert.equal(0, status)
    local example = "examples/ext-hello"
    for _, name in ipairs{"CMakeLists.txt", "hello.c", "test.lua", "try.lua"} do
      local text = assert(fs.read(example .. "/" .. name)):gsub("hello", "sprite")
      assert.equal(text, fs.read(("%s/sprite/%s"):format(dir, (name:gsub("hello", "sprite")))))
    end
    assert.equal("CMakeLists.txt hello.c test.lua try.lua", list(example))
  end)

  it("writes into another folder, made where it is missing, and overwrites nothing", function()
    local temp <close> = assert(fs.temp{dir = true})
    local dir = temp:path()
    assert.equal(0, select(2, new(dir, "ext", "sprite", "a/b")))
    assert(fs.remove(dir .. "/a/b/CMakeLists.txt"))
    assert(fs.write(dir .. "/a/b/try.lua", "mine"))
    refuses(2, "corun new: a/b/sprite.c is there already: nothing was written\n", dir, "ext",
      "sprite", "a/b")
    assert.equal("sprite.c test.lua try.lua", list(dir .. "/a/b"))
    assert.equal("mine", fs.read(dir .. "/a/b/try.lua"))
    assert(fs.write(dir .. "/file", "mine"))
    assert.equal(1, select(2, new(dir, "ext", "other", "file")))
    assert.equal("mine", fs.read(dir .. "/file"))
  end)

  it("leaves nothing behind when it cannot write all", function()
    local temp <close> = assert(fs.temp{dir = true})
    local dir = temp:path()
    local long = ("n"):rep(254) -- with .c longer than names of files may be
    assert(fs.mkdir(dir .. "/there"))
    assert(fs.write(dir .. "/there/mine", "mine"))
    for _, folder in ipairs{"fresh", "there"} do
      local out, status = new(dir, "ext", long, folder)
      assert.equal(1, status)
      assert.matches("^corun new: write " .. folder .. "/n+%.c: name too long", out)
    end
    assert.matches("^corun new: mkdir n+: name too long", (new(dir, "ext", ("n"):rep(300))))
    assert.matches("^corun new: mkdir : ", (new(dir, "ext", "sprite", "")))
    assert.equal("there", list(dir))
    assert.equal("mine", list(dir .. "/there"))
  end)

  it("answers names that cannot be", function()
    local temp <close> = assert(fs.temp{dir = true})
    local dir = temp:path()
    local cannot = 'corun new: an extension cannot be called "%s": %s\n'
    for _, name in ipairs{"3d", "a-b", "a.b", "_a", "a b", "../up", "", "h\xC3\xA9"} do
      refuses(2, cannot:format(name, "it must be letters, digits and _, and begin with a letter"),
        dir, "ext", name)
    end
    for _, name in ipairs{"end", "string", "test", "corun", "install", "try", "assert", "require",
      "arg", "preinstall", "ALL_BUILD", "began"} do
      refuses(2, cannot:format(name, "the name is taken"), dir, "ext", name)
    end
    refuses(2, cannot:format("cjson", "the name is taken by a module of corun"), dir, "ext",
      "cjson")
    refuses(2, 'corun new: there is nothing called "exd" to begin (did you mean "ext"?); '
      .. 'there is "ext"\n', dir, "exd", "a")
    local usage = "usage: corun new [options] KIND NAME [FOLDER] (--help tells more)\n"
    refuses(2, "corun new: missing argument NAME\n" .. usage, dir, "ext")
    refuses(2, 'corun new: unexpected argument "c"\n' .. usage, dir, "ext", "a", "b", "c")
    assert.matches("^usage: corun new %[options%] KIND NAME %[FOLDER%]\n", (new(dir, "--help")))
    assert.equal("", list(dir))
  end)

  -- A module without a sanitizer does not load into a program with one.
  if program.is_sanitized() then return end

  it("makes what builds, passes its test and installs, with an installed corun #heavy", function()
    local _ <close>, prefix = installed.new()
    local temp <close> = assert(fs.temp{dir = true})
    local dir, env = temp:path(), installed.environment(prefix)
    local function go(...)
      local out, status = run(dir, {"sh", "-c", ...}, env)
      assert.equal(0, status, out)
      return out
    end
    go("corun new ext sprite && cd sprite && cmake -B build && cmake --build build")
    assert.matches("100% tests passed", go("ctest --test-dir sprite/build"), 1, true)
    go(("cmake --install sprite/build --prefix '%s'"):format(prefix))
    assert.equal("LOUD\n", go("corun -e 'print(require(\"sprite\").shout(\"loud\"))'"))
  end)
end)
