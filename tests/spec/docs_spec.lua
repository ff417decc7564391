-- SPDX-License-Identifier: MIT
-- The documentation tells the truth: each program in README.md and the guides that is followed by
-- its output is run, and prints just that.

local corun = os.getenv("CORUN") or "/proc/self/exe"
if corun == "/proc/self/exe" then
  local p = io.popen("readlink /proc/" .. io.open("/proc/self/stat"):read("n") .. "/exe")
  corun = p:read("l")
  p:close()
end

local function read_file(path)
  local f = assert(io.open(path))
  local text = f:read("a")
  f:close()
  return text
end

local function run(name, code)
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
  local f = assert(io.open(dir .. "/" .. name, "w"))
  f:write(code)
  f:close()
  local p = assert(io.popen(("cd %s && env -u CORUN_SEED %s %s 2>&1"):format(dir, corun, name)))
  local output = p:read("a")
  p:close()
  os.remove(dir .. "/" .. name)
  os.remove(dir)
  return output
end

for _, path in ipairs {"README.md", "docs/guide.md", "docs/guide-parallel.md"} do
  describe(path, function()
    local text = read_file(path)
    local count = 0
    for name, code, output in text:gmatch("```lua (%S+)\n(.-\n)```\n\n```output\n(.-\n)```") do
      count = count + 1
      it("prints what it says: " .. name, function()
        assert.equal(output, run(name, code))
      end)
    end
    it("has programs with their output", function()
      assert.is_true(count > 0)
    end)
  end)
end
