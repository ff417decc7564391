-- SPDX-License-Identifier: MIT
-- What `cmake --install` brings, in a prefix that was moved since: the program, the manual page,
-- completion for bash and zsh, what extensions need, types for editors, scripts.
local corun = require "corun"
local installed = dofile("tests/spec/support/installed.lua")
local program = dofile("tests/fixtures/cli/program.lua")

local fs, process = corun.fs, corun.process

local function run(argv)
  argv.stderr = "stdout"
  local r = assert(process.run(argv))
  assert.equal(0, r.code, r.stdout)
  return r.stdout
end

local function exists(name)
  return process.run{shell = "command -v " .. name}.code == 0
end

-- The options that a text of --help lists: "-o", "--output" ...
local function options_of(...)
  local list = {}
  for line in run{program.path, ...}:gmatch("[^\n]+") do
    local left = line:match("^ +(%-.-)  ") or line:match("^ +(%-.*)$") or ""
    for option in left:gmatch("%f[-]%-%-?%a*") do list[#list + 1] = option end
  end
  return list
end

local function set_of(list)
  local set = {}
  for _, value in ipairs(list) do set[value] = true end
  return set
end

describe("the manual page", function()
  local text = assert(fs.read("man/corun.1"))

  it("has all options and subcommands of --help", function()
    local known = {}
    for line in text:gmatch("[^\n]+") do
      local flags = line:match("%f[%a]Fl (.*)$")
      for flag in (flags or ""):gmatch("%S+") do known["-" .. flag] = true end
    end
    local all = options_of("--help")
    assert.is_true(#all > 8)
    for _, command in ipairs{"build", "new"} do
      table.move(options_of(command, "--help"), 1, 20, #all + 1, all)
    end
    for _, option in ipairs(all) do assert.is_true(known[option], option) end
    for _, command in ipairs{"run", "test", "build", "new ext"} do
      assert.matches("\n.It Cm " .. command, text, 1, true)
    end
  end)

  it("has all statuses that a program ends with", function()
    for _, status in ipairs{"0", "1", "2", "13", "70", "124", "128+N"} do
      assert.matches("\n.It " .. status .. "\n", text, 1, true)
    end
  end)

  it("is well-formed", function()
    if exists("mandoc") then
      assert.equal("", (run{"mandoc", "-Tlint", "-Wwarning", "man/corun.1"}))
    elseif exists("man") then
      local r = assert(process.run{"man", "--warnings", "-l", "man/corun.1", env = {LC_ALL = "C"}})
      assert.equal("", (r.stderr:gsub("[^\n]*mdoc%.local[^\n]*\n", "")))
      assert.matches("%-%-timeout S", r.stdout)
    else
      pending("neither mandoc nor man is installed")
    end
  end)
end)

-- What bash offers for the last of these words, sorted.
local function bash_offers(dir, ...)
  local code = [[
    compopt() { :; }
    source "$1"; shift
    COMP_WORDS=(corun "$@") COMP_CWORD=$#
    _corun
    printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort]]
  local argv = {"bash", "-c", code, "bash", fs.realpath("completions/corun.bash"), ...}
  argv.cwd = dir
  local out = run(argv)
  local list = {}
  for line in out:gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

local function project()
  local temp = assert(fs.temp{dir = true})
  assert(fs.write(temp:path() .. "/app.lua", "print('app')"))
  assert(fs.write(temp:path() .. "/notes.txt", ""))
  assert(fs.mkdir(temp:path() .. "/bin dir"))
  return temp, temp:path()
end

describe("completion for bash", function()
  it("offers scripts, folders and subcommands, and after - the options of --help", function()
    local _ <close>, dir = project()
    assert.same({"app.lua", "bin dir", "build", "new", "run", "test"}, bash_offers(dir, ""))
    assert.same({"app.lua"}, bash_offers(dir, "--timeout", "=", "3", "ap"))
    assert.same({"bin dir", "build"}, bash_offers(dir, "--dev", "b"))
    assert.same({"--threads", "--timeout"}, bash_offers(dir, "--t"))
    assert.same(set_of(options_of("--help")), set_of(bash_offers(dir, "-")))
    for _, option in ipairs{"-e", "-l", "--timeout", "--grace", "--threads"} do
      assert.same({}, bash_offers(dir, option, ""))
    end
    assert.same({}, bash_offers(dir, "app.lua", "b"))
    assert.same({}, bash_offers(dir, "-e", "x = 1", "app.lua", "b"))
  end)

  it("knows what follows subcommands", function()
    local _ <close>, dir = project()
    local build = {}
    for _, option in ipairs(bash_offers(dir, "build", "-")) do
      build[#build + 1] = option:gsub("=$", "")
    end
    assert.same(set_of(options_of("build", "--help")), set_of(build))
    assert.same({"app.lua", "bin dir"}, bash_offers(dir, "build", ""))
    assert.same({}, bash_offers(dir, "build", "--include", "=", ""))
    assert.same({"app.lua"}, bash_offers(dir, "build", "-o", "x", "a"))
    assert.same({"ext"}, bash_offers(dir, "new", ""))
    assert.same({}, bash_offers(dir, "new", "ext", ""))
    assert.same({"bin dir"}, bash_offers(dir, "new", "ext", "name", ""))
    assert.same({"app.lua"}, bash_offers(dir, "run", "a"))
    assert.same({"app.lua"}, bash_offers(dir, "--grace", "1", "test", "a"))
  end)

  it("completes what is typed", function()
    local _ <close>, dir = project()
    local p <close> = assert(process.spawn{"bash", "--norc", "--noprofile", "-i",
      pty = {cols = 200}, cwd = dir,
      env = {PS1 = "", TERM = "dumb", HISTFILE = "", INPUTRC = "/dev/null"}})
    p.stdin:write("corun() { printf '{%s}' \"$@\"; echo; }; source '",
      fs.realpath("completions/corun.bash"), "'; echo read''y\n")
    repeat local line = p.stdout:read({timeout = 20}) until line:find("^ready")
    p.stdin:write("corun --st\tbu\t-o new --ou\tx a\t && exit\n")
    local seen = p.stdout:read("a", {timeout = 20})
    assert.matches("{--stats}{build}{-o}{new}{--output=x}{app.lua}", seen, 1, true)
  end)
end)

describe("completion for zsh", function()
  it("knows all options", function()
    local text = assert(fs.read("completions/_corun"))
    for _, option in ipairs(options_of("--help")) do
      assert.matches(option, text, 1, true)
    end
  end)

  it("completes what is typed #heavy", function()
    if not exists("zsh") then return pending("zsh is not installed") end
    local _ <close>, dir = project()
    local p <close> = assert(process.spawn{"zsh", "-f", "-i", pty = {cols = 200}, cwd = dir,
      env = {TERM = "dumb", HOME = dir}})
    p.stdin:write("PS1= PS2=; unsetopt zle_bracketed_paste prompt_sp 2>/dev/null; fpath=('",
      fs.realpath("completions"), "' $fpath); autoload -Uz compinit && compinit -u -D; ",
      "corun() { printf '{%s}' \"$@\"; echo; }; echo read''y\n")
    repeat local line = p.stdout:read({timeout = 60}) until line:find("^ready")
    p.stdin:write("corun --st\tbui\t-o new ap\t && exit\n")
    local seen = p.stdout:read("a", {timeout = 60})
    assert.matches("{--stats}{build}{-o}{new}{app.lua}", seen, 1, true)
  end)
end)

-- A program that embeds corun, and, as a module, an extension.
local HOST = [[
#include <corun.h>
#ifdef MODULE
int luaopen_beside(lua_State *L) {
  corun_checkabi(L);
  lua_pushliteral(L, "beside");
  return 1;
}
#else
static const char code[] =
  "local _, why = pcall(require, 'nowhere') print(require 'beside', why:match('^[^:]*'))";

int main(void) {
  corun_options options = {.size = sizeof options};
  corun_runtime *rt;
  return corun_new(&rt, &options) || corun_run_string(rt, code, sizeof code - 1, "=code") ||
    corun_close(rt);
}
#endif
]]

describe("an installed corun that was moved #heavy", function()
  local temp, prefix
  setup(function() temp, prefix = installed.new() end)
  teardown(function() temp:close() end)

  local function go(line)
    return run{"sh", "-c", line, env = installed.environment(prefix)}
  end

  it("has its files where they are looked for", function()
    for _, path in ipairs{"bin/corun", "include/corun.h", "share/man/man1/corun.1",
      "share/bash-completion/completions/corun", "share/zsh/site-functions/_corun",
      "share/corun/meta/corun.lua", "share/corun/scripts/scrape.lua", "share/doc/corun/LICENSE",
      "share/doc/corun/docs/guide.md",
      "share/doc/corun/examples/ext-hello/hello.c",
      "share/doc/corun/examples/embed-hello/host.c"} do
      assert(fs.stat(prefix .. "/" .. path))
    end
    assert.matches("^corun ", go("corun -v"))
    assert.matches("items +mean", go(("corun '%s/share/corun/scripts/scrape.lua'"):format(prefix)))
  end)

  it("is nowhere told where it was built or installed first", function()
    local first = prefix:gsub("moved$", "first")
    assert.equal("", go(("cd '%s'; grep -rlIF -e '%s' -e '%s' lib share include || true"):format(
      prefix, first, fs.realpath("."))))
  end)

  it("tells pkg-config and CMake where it is now", function()
    local pc = assert(fs.glob(prefix .. "/lib*/**/corun.pc"))[1]
    local dir = pc:match("^(.*)/[^/]*$")
    local flags = go(("PKG_CONFIG_PATH='%s' pkg-config --cflags corun"):format(dir))
    local include = flags:match("%-I(%S*)")
    assert(fs.stat(include .. "/corun.h"), flags)
    assert.equal(fs.realpath(prefix .. "/include"), fs.realpath(include))
  end)

  it("tells CMake where it is through a link, such as /lib is", function()
    local dir = assert(fs.glob(prefix .. "/lib*/**/corun-config.cmake"))[1]
      :sub(#prefix + 2):match("^(.*)/[^/]*$")
    local root = temp:path() .. "/root"
    assert(fs.mkdir(root))
    assert(fs.symlink(prefix .. "/" .. dir:match("^[^/]*"), root .. "/" .. dir:match("^[^/]*")))
    assert(fs.write(root .. "/CMakeLists.txt", "cmake_minimum_required(VERSION 3.16)\n"
      .. "project(where LANGUAGES C)\nfind_package(corun REQUIRED)\n"
      .. 'message(STATUS "prefix=${corun_PREFIX}=")\n'))
    local out = go(("cd '%s' && cmake -B build -Dcorun_DIR='%s/%s' ."):format(root, root, dir))
    assert.matches("prefix=" .. fs.realpath(prefix) .. "=", out, 1, true)
  end)

  it("has a library that says its name, links without CMake, and finds the extensions", function()
    local pc = assert(fs.glob(prefix .. "/lib*/**/corun-embed.pc"))[1]
    local library = pc:gsub("/pkgconfig/.*", "/libcorun.so")
    assert.matches("soname: %[libcorun%.so%.1%]", go("readelf -d " .. library))
    assert(fs.write(temp:path() .. "/host.c", HOST))
    assert.equal("beside\tmodule 'nowhere' not found\n", go(([[
      cd '%s' && mkdir -p '%s/corun' && export PKG_CONFIG_PATH='%s'
      cc -Wall -Werror host.c $(pkg-config --cflags --libs corun-embed) -Wl,-rpath,'%s' -o host
      cc -shared -fPIC -DMODULE host.c $(pkg-config --cflags corun) -o '%s/corun/beside.so'
      ./host]]):format(temp:path(), library:gsub("/[^/]*$", ""), pc:gsub("/[^/]*$", ""),
      library:gsub("/[^/]*$", ""), library:gsub("/[^/]*$", ""))))
  end)

  it("finds modules beside itself, before those of any Lua", function()
    local path = go("corun -e 'io.write(package.path)'")
    local own = ("%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;"):format(prefix, prefix)
    assert.matches("^" .. prefix:gsub("%p", "%%%0") .. "/lib[^;]*/lua/5%.4/%?%.so;.*;"
      .. prefix:gsub("%p", "%%%0") .. "/lib[^;]*/corun/%?%.so$",
      go("corun -e 'io.write(package.cpath)'"))
    assert.equal(own .. go(program.path .. " -e 'io.write(package.path)'"), path)
    assert(fs.mkdir(prefix .. "/share/lua/5.4/own", {parents = true}))
    assert(fs.write(prefix .. "/share/lua/5.4/own/init.lua", "return 'own'"))
    assert.equal("own\n", go("corun -e 'print((require(\"own\")))'"))
    assert.equal("own\n", go("ln -s \"$(command -v corun)\" '" .. temp:path() .. "/link'; '"
      .. temp:path() .. "/link' -e 'print((require(\"own\")))'"))
  end)
end)

describe("package.path and package.cpath", function()
  -- What a Lua prints of both, with these variables; without the folder of corun's own extensions.
  local function paths(lua, env)
    for _, name in ipairs{"LUA_PATH", "LUA_PATH_5_4", "LUA_CPATH", "LUA_CPATH_5_4"} do
      env[name] = env[name] or false
    end
    local out = run{lua, "-e", "print(package.path) print(package.cpath)", env = env}
    return (out:gsub(";?[^;\n]*/ext/%?%.so\n$", "\n"))
  end

  it("are those of lua5.4, also with LUA_PATH and LUA_CPATH", function()
    for _, env in ipairs{{}, {LUA_PATH = "/a/?.lua"}, {LUA_PATH = "/a/?.lua;;"},
      {LUA_PATH_5_4 = ";;/b/?.lua", LUA_PATH = "/a/?.lua"}, {LUA_CPATH = "/c/?.so"},
      {LUA_CPATH_5_4 = "/d/?.so;;", LUA_CPATH = "/c/?.so"}, {LUA_PATH = "", LUA_CPATH = ""},
      {LUA_PATH = ";;", LUA_CPATH = ";;"}} do
      assert.equal(paths("lua5.4", env), paths(program.path, env))
    end
  end)
end)
