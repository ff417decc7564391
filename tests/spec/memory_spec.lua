-- SPDX-License-Identifier: MIT
-- Memory: what a parked task costs (S40), what happens when there is none left, and that ordinary C
-- modules of Lua load into the program.
local corun = require "corun"
local programs = require "tests.spec.support.programs"
local stats = require("corun.debug").stats

local PARKED = 1331 -- bytes: 1.3 KB

describe("memory", function()
  it("S40 a parked task costs at most 1.3 KB #heavy", function()
    local n = 20000
    local function park() corun.sleep(60) end
    corun.scope(function(s)
      for _ = 1, n do s:spawn(park) end -- warms up tables and the pool
      corun.yield()
      collectgarbage()
      local before = stats().memory
      for _ = 1, n do s:spawn(park) end
      corun.yield()
      collectgarbage()
      local each = (stats().memory - before) / n
      assert.is_true(each < PARKED, ("%.0f bytes a task"):format(each))
      s:cancel()
    end)
  end)

  -- What code prints in a program of its own, in which `grow(n)` keeps n times about 190 bytes and
  -- lets the loop turn.
  local function printed(code)
    local r = dofile("tests/fixtures/cli/program.lua").code([[
      local corun = require "corun"
      local hold = {}
      local function grow(n)
        hold = {}
        for i = 1, n do hold[i] = {i, {}, {}} end
        collectgarbage()
        corun.sleep(0)
      end
      local function memory() return corun.debug.stats().memory end
      local function connection() -- both ends
        local net = require("corun.net")
        local listener <close> = assert(net.listen("127.0.0.1:0"))
        local accepting = corun.async(listener.accept, listener)
        return assert(net.connect(listener:address())), assert(accepting:await())
      end
    ]] .. code)
    assert.equal("", r.err)
    return r.out
  end

  it("S40 the mode of the collector follows the size of the heap", function()
    for n, expected in pairs{[0] = "generational\tsmall\n", [60000] = "incremental\tlarge\n"} do
      assert.equal(expected, printed(([[
        grow(%d)
        print(collectgarbage("incremental"), memory() > 4 << 20 and "large" or "small")
      ]]):format(n)))
    end
    assert.equal("generational\ttrue\n", printed([[ -- and back
      grow(60000)
      local was_large = memory() > 4 << 20
      grow(0)
      print(collectgarbage("incremental"), was_large)]]))
    assert.equal("incremental\tfalse\ttrue\n", printed([[ -- not at once
      grow(60000)
      grow(14000)
      print(collectgarbage("incremental"), memory() > 4 << 20, memory() > 2 << 20)]]))
  end)

  it("S40 so does its pause", function()
    for n, expected in pairs{[300000] = "400\ttrue\ttrue\n", [100000] = "200\tfalse\ttrue\n"} do
      assert.equal(expected, printed(([[
        grow(%d)
        print(collectgarbage("setpause", 100), memory() > 64 << 20, memory() > 4 << 20)
      ]]):format(n)))
    end
  end)

  it("S40 what a script sets stays as it is", function()
    assert.equal("generational\n", printed([[
      collectgarbage("generational")
      grow(60000)
      print(collectgarbage("incremental"))]]))
    assert.equal("incremental\n", printed([[
      collectgarbage("incremental")
      grow(60000)
      grow(0)
      print(collectgarbage("incremental"))]]))
    assert.equal("100\n", printed([[
      collectgarbage("setpause", 100)
      grow(300000)
      print(collectgarbage("setpause", 100))]]))
    assert.equal("false\nbad argument #1 to 'collectgarbage' (invalid option 'pause')\n", printed([[
      local ok, why = pcall(collectgarbage, "pause")
      print(ok) print(why)]]))
  end)

  it("S40 what a script cannot set changes nothing", function()
    assert.equal("nil\tincremental\n", printed([[ -- in a finalizer
      local mode = "none"
      setmetatable({}, {__gc = function() mode = collectgarbage("generational") end})
      grow(0)
      local answer = mode
      grow(60000)
      print(answer, collectgarbage("incremental"))]]))
    assert.equal("false\tincremental\n", printed([[
      local ok = pcall(collectgarbage, "generational", "much")
      grow(60000)
      print(ok, collectgarbage("incremental"))]]))
  end)

  it("S40 what has lived for some time is collected soon after it was dropped", function()
    assert.equal("true\n", printed([[
      local gone = false
      local old = {setmetatable({}, {__gc = function() gone = true end})}
      for _ = 1, 5 do collectgarbage("step") end
      old[1] = nil
      local give_up = corun.now() + 30
      repeat corun.sleep(0.05) until gone or corun.now() > give_up
      print(gone)]]))
  end)

  it("a collector that a script has stopped collects nothing, whatever the size", function()
    assert.equal("true\ttrue\n", printed([[
      local weak = setmetatable({{}}, {__mode = "v"})
      collectgarbage("stop")
      local big = {}
      for i = 1, 60000 do big[i] = {i, {}, {}} end
      corun.sleep(0)
      print(weak[1] ~= nil, memory() > 4 << 20 and #big == 60000)]]))
  end)

  -- Run `prepare` in a task that has received a large piece, and let it wait for the next one,
  -- which is more than the collector lets the heap grow by; `look` runs meanwhile. Prints what the
  -- wait came to.
  local function receiving(prepare, look)
    return printed(([[
      local from, to = connection()
      local weak, piece = setmetatable({}, {__mode = "v"}), ("x"):rep(32 << 10)
      local last
      repeat -- the system may give less at a time
        assert(from:write(piece))
        local left = #piece
        repeat
          last = #to:recv()
          left = left - last
        until left == 0
      until last > #piece // 2
      local is_prepared = corun.event()
      local receiver = corun.async(function()
        collectgarbage("generational", 1)
        collectgarbage("step")
        %s
        is_prepared:set()
        local data, err = to:recv()
        return data and #(data .. to:read_exactly(#piece - #data)) or err.code
      end)
      is_prepared:wait()
      %s
      from:write(piece)
      print(receiver:await())]]):format(prepare, look))
  end

  it("S40 garbage goes before a task waits for a large piece, not once that has come", function()
    assert.equal("true\n32768\n", receiving("weak[1] = {}", "print(weak[1] == nil)"))
  end)

  it("S40 a finaliser may close the stream of the recv in which it runs", function()
    assert.equal("ECLOSED\n", receiving("setmetatable({}, {__gc = function() to:close() end})", ""))
  end)

  it("what a finaliser reads is given once, also within a read of the same stream", function()
    for _, read in ipairs{"recv()", "recv(99)", "read(1)", 'read("l")', 'read_until("9")'} do
      assert.equal("true\ttrue\n", printed(([[
        local from, to = connection()
        local sent, given, thefts = {}, {}, 0
        local function trap()
          setmetatable({}, {__gc = function()
            local ok, data = pcall(to.recv, to)
            if ok and data then
              given[#given + 1] = data
              thefts = thefts + 1
            end
            trap()
          end})
        end
        trap()
        corun.async(function()
          for i = 1, 2000 do
            if thefts >= 3 then break end
            sent[i] = ("%%d "):format(i):rep(500) .. "\n"
            from:write(sent[i])
            corun.yield()
          end
          from:shutdown()
        end)
        while true do
          local data = to:%s
          if not data then break end
          given[#given + 1] = data
        end
        given[#given + 1] = to:read("a")
        local function joined(all) return (table.concat(all):gsub("\n", "")) end
        print(thefts > 0, joined(sent) == joined(given))]]):format(read)))
    end
  end)

  it("a collector that was stopped is not run by recv either", function()
    assert.equal("false\n32768\n", receiving('collectgarbage("stop") weak[1] = {}',
      "print(weak[1] == nil)"))
  end)

  it("out of memory is an error, and cleanup runs #faults", function()
    local code = [[
      local corun = require "corun"
      io.write("begin ")
      do
        local _ <close> = corun.defer(function() io.write("cleanup ") end)
        pcall(corun.scope, function(s)
          for i = 1, 4 do
            s:spawn(function() corun.yield() return ("x"):rep(i), {i} end)
          end
          corun.await(corun.async(function() return 1, 2 end))
          corun.map({1, 2, 3}, function(x) corun.yield() return x end)
          corun.timeout(1, corun.yield)
        end)
      end]]
    local seen = {}
    for nth = 900, 1700, 20 do
      local output, status = programs.run(code, {fail = nth})
      assert.is_true(status == 0 or status == 1 or status == 70,
        ("allocation %d: status %d, %s"):format(nth, status, output))
      if status == 1 then assert.matches("not enough memory", output) end
      if status == 0 then assert.matches("begin cleanup", output) end
      seen[status] = true
    end
    assert.is_true(seen[0])
  end)
end)

describe("ordinary C modules", function()
  it("load, and see the program's Lua", function()
    local lpeg, lfs, cjson = require "lpeg", require "lfs", require "cjson"
    assert.equal(4, lpeg.match(lpeg.P"abc", "abcd"))
    assert.equal("directory", lfs.attributes("tests", "mode"))
    assert.equal(require("corun.json").null, cjson.null)
  end)

  it("run a loop of their own (luv)", function()
    local uv = require "luv"
    local rang = false
    local timer = uv.new_timer()
    timer:start(1, 0, function() rang = true timer:close() end)
    uv.run()
    assert.is_true(rang)
  end)
end)
