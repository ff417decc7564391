-- SPDX-License-Identifier: MIT
-- The Debian package that `cpack -G DEB` makes. tools/cleanroot installs it in a bare root.
local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")

local fs, process = corun.fs, corun.process
local build = os.getenv("CORUN_BUILD") or "build"

local function run(argv)
  argv.stderr = "stdout"
  local r = assert(process.run(argv))
  assert.equal(0, r.code, r.stdout)
  return r.stdout
end

-- The package of a program with a sanitizer would need its libraries.
if program.is_sanitized() or process.run{shell = "command -v dpkg-deb"}.code ~= 0 then return end

describe("the package for Debian #heavy", function()
  local temp, deb

  setup(function()
    temp = assert(fs.temp{dir = true})
    run{"cpack", "-G", "DEB", "-B", temp:path(), "--config",
      fs.realpath(build .. "/CPackConfig.cmake")}
    deb = assert(fs.glob(temp:path() .. "/*.deb"))[1]
  end)
  teardown(function() temp:close() end)

  it("says what it is and needs", function()
    local function field(name) return (run{"dpkg-deb", "-f", deb, name}:gsub("\n$", "")) end
    local version = run{program.path, "-v"}:match("^corun (%S+)")
    local arch = run{"dpkg", "--print-architecture"}:gsub("\n", "")
    assert.equal(("corun_%s_%s.deb"):format(version, arch), deb:match("[^/]*$"))
    assert.equal("corun", field("Package"))
    assert.equal(version, field("Version"))
    assert.equal(arch, field("Architecture"))
    assert.equal("interpreters", field("Section"))
    assert.equal("ca-certificates", field("Recommends"))
    assert.matches("libssl3t64 | libssl3", field("Depends"), 1, true)
    assert.matches("libpsl5t64 | libpsl5", field("Depends"), 1, true)
    assert.matches("libc6 %(>= [%d.]+%)", field("Depends"))
    assert.matches("^Lua scripts whose coroutines ", field("Description"))
  end)

  it("has files where Debian wants them, which are everybody's to read", function()
    run{"dpkg-deb", "-x", deb, temp:path() .. "/x"}
    for _, path in ipairs{"bin/corun", "include/corun.h", "share/man/man1/corun.1.gz",
      "share/doc/corun/copyright", "share/doc/corun/changelog.gz",
      "share/bash-completion/completions/corun", "share/zsh/vendor-completions/_corun",
      "share/corun/meta/corun.lua", "share/corun/scripts/scrape.lua"} do
      assert(fs.stat(temp:path() .. "/x/usr/" .. path))
    end
    for line in run{"dpkg-deb", "-c", deb}:gmatch("[^\n]+") do
      if not line:find("^lrwxrwxrwx") then
        assert.matches("^[d-]rw[x-]r%-[x-]r%-[x-] root/root .* %./", line)
      end
    end
    assert.equal("activate-noawait ldconfig\n", run{"dpkg-deb", "-I", deb, "triggers"})
    assert.matches("^corun ", run{temp:path() .. "/x/usr/bin/corun", "-v"})
  end)

  it("leaves a stripped program that can still be built from", function()
    local dir = temp:path()
    run{"dpkg-deb", "-x", deb, dir .. "/y"}
    assert(fs.write(dir .. "/app.lua", "print('built', ...)"))
    run{dir .. "/y/usr/bin/corun", "build", "app.lua", cwd = dir}
    assert.equal("built\t1\n", run{dir .. "/app", "1"})
  end)
end)
