-- SPDX-License-Identifier: MIT
-- `corun build`: one executable of a script and its modules. Built and run in folders of their own.
local corun = require "corun"
local scan = require "corun.build_scan"
local program = dofile("tests/fixtures/cli/program.lua")

local fs, process = corun.fs, corun.process

-- Run a command; what it printed on both ways out, and its exit status.
local function run(dir, argv, env)
  argv.cwd, argv.stderr, argv.env = dir, "stdout", env
  local r = assert(process.run(argv))
  return r.stdout, r.code
end

local function runs(expected, dir, argv, env)
  local out, status = run(dir, argv, env)
  assert.equal(expected, out)
  assert.equal(0, status)
end

local function build(dir, ...)
  return run(dir, {program.path, "build", ...})
end

local function builds(dir, ...)
  local out, status = build(dir, ...)
  assert.equal(0, status, out)
  return out
end

local function fails(status, expected, dir, ...)
  local out, got = build(dir, ...)
  assert.matches(expected, out, 1, true)
  assert.equal(status, got)
end

-- A folder with these files.
local function folder(files)
  local temp = assert(fs.temp{dir = true})
  for name, text in pairs(files) do
    assert(fs.mkdir(temp:path() .. "/" .. name:gsub("[^/]*$", ""), {parents = true}))
    assert(fs.write(temp:path() .. "/" .. name, text))
  end
  return temp, temp:path()
end

local APP = {
  ["app.lua"] = '#!/usr/bin/env corun\nlocal m = require "lib.mod"\nprint(m.text, ...)\n',
  ["lib/mod.lua"] = 'local name, from = ...\nreturn {text = name .. from, raise = function()\n'
    .. '  error("on purpose") end}\n',
}

describe("corun build", function()
  it("makes an executable that runs without its sources, wherever it is", function()
    local temp <close>, dir = folder(APP)
    assert.matches("^app: app.lua and 1 module, %d+%.%d MB\n$", builds(dir, "app.lua"))
    local elsewhere <close>, there = folder{}
    assert(fs.rename(dir .. "/app", there .. "/moved"))
    assert(fs.symlink("moved", there .. "/link"))
    assert(fs.chmod(there .. "/moved", "555"))
    assert(temp:close())
    runs("lib.mod:app:\ta\t-e\t--help\n", there, {"./moved", "a", "-e", "--help"})
    runs("lib.mod:app:\n", there, {"./link"})
    runs("lib.mod:app:\ttest\n", "/", {"sh", "-c", "exec moved test"},
      {PATH = there .. ":" .. os.getenv("PATH")})
    assert(elsewhere:close())
  end)

  it("leaves a valid program, which has nothing but more bytes at its end", function()
    local _ <close>, dir = folder(APP)
    builds(dir, "app.lua", "-o", "first")
    builds(dir, "app.lua", "--output=second")
    runs("", dir, {"cmp", "first", "second"})
    local plain = assert(process.run{"readelf", "-lSW", program.path}).stdout
    local sections = plain:gsub("^\n?File:[^\n]*\n", "")
    runs(sections, dir, {"readelf", "-lSW", "first"})
  end)

  it("leaves arg and corun.args to the script", function()
    local _ <close>, dir = folder{["tool.lua"] = [[
      local corun = require "corun"
      local args = corun.args{"FILE", count = 3, help = "what it does"}
      print(arg[0], #arg, arg[-1], args.file, args.count)]]}
    builds(dir, "tool.lua")
    runs("./tool\t3\tnil\tx\t7\n", dir, {"./tool", "x", "--count", "7"})
    local out, status = run(dir, {"./tool", "--worker=x", "y"})
    assert.matches('^tool: unknown option "%-%-worker=x"\nusage: tool ', out)
    assert.equal(2, status)
    assert.matches("what it does", (run(dir, {"./tool", "--help"})), 1, true)
  end)

  it("names the files and lines of the sources in errors", function()
    local _ <close>, dir = folder{["app.lua"] = "\n\nrequire('lib.mod').raise()",
      ["lib/mod.lua"] = APP["lib/mod.lua"], ["own.lua"] = "#!corun\n\nerror('here')"}
    builds(dir, "app.lua")
    local out, status = run(dir, {"./app"})
    assert.matches("^corun: %./lib/mod%.lua:3: on purpose\n", out)
    assert.matches("\tapp.lua:3: in main chunk", out, 1, true)
    assert.equal(1, status)
    builds(dir, "own.lua")
    assert.matches("corun: own.lua:3: here\n", (run(dir, {"./own"})), 1, true)
  end)

  it("finds its modules in workers, threads and processes alike", function()
    local _ <close>, dir = folder{
      ["app.lua"] = [[
        local pool = require "corun.pool"
        local text = require("lib.mod").text
        print(pool.run(function() return require("lib.mod").text end))
        for _, kind in ipairs{"thread", "process"} do
          local p <close> = pool.new{kind = kind, size = 1, init = "ready"}
          print(p:run(function() return READY, text, require("lib.mod").text end))
        end]],
      ["ready.lua"] = "READY = ...",
      ["lib/mod.lua"] = APP["lib/mod.lua"],
    }
    builds(dir, "app.lua", "--include=ready")
    local same = "ready\tlib.mod:app:\tlib.mod:app:\n"
    runs("lib.mod:app:\n" .. same .. same, "/", {dir .. "/app"})
  end)

  it("runs the modules that were taken in, not files that lie about", function()
    local _ <close>, dir = folder(APP)
    builds(dir, "app.lua")
    assert(fs.write(dir .. "/lib/mod.lua", "return {text = 'another'}"))
    runs("lib.mod:app:\n", dir, {"./app"})
    assert(fs.write(dir .. "/later.lua", "print(pcall(require, '') == false, require('later2'))"))
    assert(fs.write(dir .. "/later2.lua", "return 'from a file'"))
    builds(dir, "later.lua", "--exclude=later2")
    runs("true\tfrom a file\t./later2.lua\n", dir, {"./later"})
  end)

  it("is built from another program, also one that has a script", function()
    local _ <close>, dir = folder(APP)
    assert(fs.write(dir .. "/next.lua", "print('next', ...)"))
    builds(dir, "app.lua")
    builds(dir, "--program=app", "next.lua")
    runs("next\t1\n", dir, {"./next", "1"})
    builds(dir, "next.lua", "-o", "straight")
    runs("", dir, {"cmp", "next", "straight"})
  end)

  it("replaces a program that runs", function()
    local _ <close>, dir = folder{["app.lua"] = "print('first') io.stdout:flush() io.read()"}
    builds(dir, "app.lua")
    local p <close> = assert(process.spawn{dir .. "/app"})
    assert.equal("first", p.stdout:read())
    assert(fs.write(dir .. "/app.lua", "print('second')"))
    builds(dir, "app.lua")
    runs("second\n", dir, {"./app"})
    assert(p.stdin:close())
    assert.equal(0, p:wait().code)
  end)
end)

describe("corun build: modules", function()
  it("are found where they are required by a literal name", function()
    local function found(text)
      assert(load(text))
      local names = {}
      for _, call in ipairs(scan(text)) do
        names[#names + 1] = ("%s%s:%d"):format(call.name or "?", call.optional and "?" or "",
          call.line)
      end
      return table.concat(names, " ")
    end
    assert.equal("a:1 b:2 c:3", found("require 'a'\nrequire\"b\"\nrequire [==[c]==]"))
    assert.equal("a:1 b.c:2 d:3",
      found("require('a')\nlocal x = require ( 'b.c' ).y\nrequire\n'd'"))
    assert.equal("a\tb'c:1", found([[require "a\tb\'c"]]))
    assert.equal("", found("-- require 'a'\n--[[ require 'b' ]] --[=[\nrequire 'c' ]] ]=]"))
    assert.equal("", found("local s = \"require 'a'\" .. 'require \"b\"' .. [[ require 'c' ]]"))
    assert.equal("z:2", found("local s = '\\' require \"a\"\\\\' --[==[ ]] ]=]\n]==] require 'z'"))
    assert.equal("", found("local t = {} t.require 'a' t:require 'b' local require = require"))
    assert.equal("", found("function require(x) end my_require('a') require2 'b'"))
    assert.equal("?:1 ?:1 ?:1", found("require(x) require('a' .. x) require(('b'):rep(2))"))
    assert.equal("a?:1 b:1", found("pcall(require, 'a') pcall(f, require 'b')"))
    assert.equal("c?:1", found("xpcall(require, print, 'd') pcall(require, 'c')"))
    assert.equal("a:1 b:1", found("require'a'require'b'"))
    assert.equal("m:3",
      found("local x = 1e-3 // 0x.8p1\nlocal y = 3 .. 4 --x\nreturn require 'm', x - y"))
  end)

  it("are taken in with those that they require, each once", function()
    local _ <close>, dir = folder{
      ["app.lua"] = "require 'a' require 'b' print('app', require('a') == require('b').a)",
      ["a.lua"] = "print(...) return {b = function() return require 'b' end}",
      ["b/init.lua"] = "print(...) return {a = require('a')}",
    }
    assert.matches("app.lua and 2 modules", builds(dir, "app.lua"), 1, true)
    runs("a\t:app:\nb\t:app:\napp\ttrue\n", "/", {dir .. "/app"})
  end)

  it("of corun and of Lua are there anyway", function()
    local _ <close>, dir = folder{["app.lua"] = [[
      require "string" require "corun" require "corun.http" require "cjson"
      print(require "corun.json".encode{1})]]}
    assert.matches("^app: app.lua and 0 modules", builds(dir, "app.lua"))
    runs("[1]\n", dir, {"./app"})
    fails(1, "corun build: --include=corun.http: it is in every corun\n", dir, "app.lua",
      "--include=corun.http")
  end)

  it("in C stay outside, and that is said", function()
    local _ <close>, dir = folder{["app.lua"] = "\nprint(require('lfs').currentdir())"}
    local out = builds(dir, "app.lua")
    assert.matches("^corun build: app.lua:2: 'lfs' is a C module %(/.*lfs.so%): it is left outside,"
      .. " and looked for in package.cpath when the program runs\napp: ", out)
    runs(fs.realpath(dir) .. "\n", dir, {"./app"})
    fails(1, "--include=lfs: it is a C module", dir, "app.lua", "--include=lfs")
  end)

  it("that are missing or wrong are told with the place", function()
    local _ <close>, dir = folder{
      ["app.lua"] = "\nrequire 'gone.away'",
      ["try.lua"] = "print(pcall(require, 'gone.away') == false)",
      ["names.lua"] = "local n = 'a'\nprint(require(n .. 'b'))",
      ["ab.lua"] = "return 'AB'",
      ["bad.lua"] = "\n\nlocal = 1",
      ["uses.lua"] = "require 'bad'",
      ["code.lua"] = string.dump(load "return 1"),
    }
    fails(1, "corun build: app.lua:2: module 'gone.away' not found:\n\tno file ", dir, "app.lua")
    fails(1, "(--exclude=gone.away leaves it outside)\n", dir, "app.lua")
    assert.is_nil((fs.stat(dir .. "/app")))
    builds(dir, "app.lua", "--exclude=gone.away")
    builds(dir, "try.lua")
    runs("true\n", dir, {"./try"})
    assert.matches("names.lua:2: the name of a module is computed: --include=MODULE takes it in\n",
      builds(dir, "names.lua", "--include=ab"), 1, true)
    runs("AB\t:app:\n", "/", {dir .. "/names"})
    fails(1, "corun build: ./bad.lua:3: <name> expected near '='\n", dir, "uses.lua")
    fails(1, "corun build: bad.lua:3: <name> expected near '='\n", dir, "bad.lua")
    fails(1, "corun build: code.lua is bytecode: its source is needed\n", dir, "code.lua")
    fails(1, "--include=nowhere: module not found:\n\tno file", dir, "ab.lua", "--include=nowhere")
  end)
end)

describe("corun build: misuse", function()
  it("of its command line is answered", function()
    local _ <close>, dir = folder{["app.lua"] = "", ["noext"] = "", ["text"] = "no program"}
    fails(2, "corun build: missing argument SCRIPT\nusage: corun build [options] SCRIPT", dir)
    fails(2, 'unknown option "--outptu=x" (did you mean "--output"?)', dir, "app.lua", "--outptu=x")
    fails(1, "corun build: read gone.lua: no such file or directory (ENOENT)\n", dir, "gone.lua")
    fails(1, "corun build: noext does not end in .lua: -o says how to call the program\n", dir,
      "noext")
    fails(1, "corun build: ./app.lua is the script itself\n", dir, "app.lua", "-o", "./app.lua")
    fails(1, "corun build: text is no corun that can be copied\n", dir, "app.lua",
      "--program=text")
    fails(1, "corun build: write no/app: no such file or directory (ENOENT)\n", dir, "app.lua",
      "-o", "no/app")
    assert.matches("^usage: corun build %[options%] SCRIPT\n", (build(dir, "--help")))
    assert.equal("", fs.read(dir .. "/app.lua"))
  end)

  it("of what it has made is answered", function()
    local _ <close>, dir = folder(APP)
    builds(dir, "app.lua")
    local text = assert(fs.read(dir .. "/app"))
    local cannot = "corun: cannot read the script in this program: "
    local function answers(expected, bytes)
      assert(fs.write(dir .. "/broken", bytes, {mode = "755"}))
      local out, status = run(dir, {"./broken", "--help"})
      assert.equal(cannot .. expected .. "\n", out)
      assert.equal(70, status)
    end
    answers("it ends too early (was it cut, or stripped?)", text:sub(1, -2))
    answers("it is damaged", text:sub(1, -40) .. "?" .. text:sub(-38))
    runs("lib.mod:app:\n", dir, {"./app"})
    runs("", dir, {"strip", "-o", "stripped", "app"})
    local out, status = run(dir, {"./stripped"})
    assert.equal(cannot .. "it ends too early (was it cut, or stripped?)\n", out)
    assert.equal(70, status)
  end)
end)
