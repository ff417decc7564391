-- SPDX-License-Identifier: MIT
-- corun.progress: loops of every kind; what a terminal shows, read from a small model of one; plain
-- lines elsewhere.
local corun = require "corun"
local progress = require "corun.progress"
local style = require "corun.progress_style"
local program = dofile("tests/fixtures/cli/program.lua")
local tty = dofile("tests/spec/support/tty.lua")

local QUIET = {quiet = true}

-- The lines that a terminal shows after these bytes.
local function screen(bytes)
  local rows, row, col = {""}, 1, 0
  local at = 1
  while at <= #bytes do
    local n, command = bytes:match("^\27%[(%d*)(%a)", at)
    local char = bytes:match("^[^\128-\191][\128-\191]*", at)
    if command then
      at = at + #bytes:match("^\27%[%d*%a", at)
      if command == "A" then row = math.max(1, row - tonumber(n)) end
      if command == "K" or command == "J" then
        rows[row] = rows[row]:sub(1, (utf8.offset(rows[row], col + 1) or #rows[row] + 1) - 1)
      end
      if command == "J" then for i = #rows, row + 1, -1 do rows[i] = nil end end
    else
      at = at + #char
      if char == "\r" then
        col = 0
      elseif char == "\n" then
        row = row + 1
        rows[row] = rows[row] or ""
      else
        local text = rows[row] .. (" "):rep(col - utf8.len(rows[row]))
        local from, to = utf8.offset(text, col + 1), utf8.offset(text, col + 2)
        rows[row] = text:sub(1, (from or #text + 1) - 1) .. char .. (to and text:sub(to) or "")
        col = col + 1
      end
    end
  end
  if rows[#rows] == "" then rows[#rows] = nil end
  return rows
end

local function shown(code, steps, env)
  local r = tty.sh(steps or {}, (env or "LC_ALL=C") .. " exec env $CORUN $SCRIPT",
    'local corun = require "corun"\nlocal progress = corun.progress\n' .. code)
  assert.equal(0, r.status, r.out)
  return screen((r.out:gsub("[\xc2\xc3].", function(c) -- the driver gives bytes as Latin-1
    return string.char(utf8.codepoint(c))
  end))), r.out
end

local function collect(...)
  local list = {}
  for a, b in ... do list[#list + 1] = b == nil and a or {a, b} end
  return list
end

describe("corun.progress", function()
  it("passes on what any loop gives: lists, numbers, functions, channels, each", function()
    assert.same({"a", "b"}, collect(progress({"a", "b"}, QUIET)))
    assert.same({1, 2, 3}, collect(progress(3, QUIET)))
    assert.same({}, collect(progress(0, QUIET)))
    local f, state, control = ipairs{"a", "b"}
    assert.same({{1, "a"}, {2, "b"}}, collect(progress(f, state, control, nil, QUIET)))
    assert.same({{"k", "v"}}, collect(progress(next, {k = "v"}, nil, nil, QUIET)))
    assert.same({"x", "yz"}, collect(progress(("x yz"):gmatch("%S+"), QUIET)))
    local c = corun.channel(2)
    c:send(1)
    c:send(2)
    c:close()
    assert.same({1, 2}, collect(progress(c, QUIET)))
    assert.same({{5, 25}}, collect(progress(corun.each({5}, function(x) return x * x end), QUIET)))
    assert.same({2, 4, n = 2}, corun.map(progress({1, 2}, QUIET), function(x) return 2 * x end))
  end)

  it("closes what it loops over: break cancels each and waits", function()
    local cancelled, seen = 0, 0
    for _ in progress(corun.each({1, 2, 3}, function(i)
      local _ <close> = corun.defer(function() cancelled = cancelled + 1 end)
      corun.sleep(i == 1 and 0 or 60)
      return i
    end), QUIET) do
      seen = seen + 1
      if cancelled > 0 then break end
    end
    assert.same({1, 3}, {seen, cancelled})
  end)

  it("counts an item once the next is asked for, so a break leaves it out", function()
    local loop
    for i in (function(...)
      loop = ...
      return ...
    end)(progress(10, QUIET)) do
      if i == 4 then break end
    end
    assert.matches("^progress 0x%x+ %(3/10%)$", tostring(loop))
    local bar = loop.bar
    assert.matches("%(3/10, closed%)$", tostring(bar))
  end)

  it("knows the total of lists and numbers, and of each of one, in threads too", function()
    local function double(x) return 2 * x end
    local function amount(loop)
      local text = tostring(loop):match("%((.*)%)$")
      for _ in loop do end -- luacheck: ignore
      return text, tostring(loop):match("%((.*)%)$")
    end
    local pool <close> = corun.pool.new{size = 2}
    for _, src in ipairs{{{1, 2, 3}}, {3}, {{1, 2, 3, n = 3}}} do
      assert.same({"0/3", "3/3"}, {amount((progress(src[1], QUIET)))})
    end
    local list = {1, 2, 3, 4}
    assert.same({"0/4", "4/4"}, {amount((progress(corun.each(list, double), QUIET)))})
    assert.same({"0/4", "4/4"}, {amount((progress(pool:each(list, double), QUIET)))})
    assert.same({"0/9", "4/9"}, {amount((progress(pool:each(list, double), {total = 9,
      quiet = true})))})
    assert.same({"0", "2"}, {amount((progress(pool:each(("x y"):gmatch("%S"), string.upper),
      QUIET)))})
    local loop = progress(list, QUIET)
    assert.same({2, 4, 6, 8, n = 4}, pool:map(loop, double))
    assert.matches("%(4/4%)$", tostring(loop))
    loop = progress(corun.each(list, double)) -- all four values of the loop, and no options
    assert.matches("%(0/4%)$", tostring(loop))
    loop.bar.mode = "quiet"
    assert.same({"0/4", "4/4"}, {amount(loop)})
    loop = progress(pool:each(progress(list, QUIET), double), QUIET)
    assert.same({"0/4", "4/4"}, {amount(loop)})
  end)

  it("passes errors of the loop on", function()
    assert.error_matches(function()
      for _ in progress(function() error("source", 0) end, QUIET) do error("body") end
    end, "^source$")
  end)

  it("refuses misuse", function()
    assert.error_matches(function() progress({}, {totl = 1}) end, 'did you mean "total"')
    assert.error_matches(function() progress(true) end, "takes a list, a function or a channel")
    assert.error_matches(function() progress.bar{total = "x"} end, "must be a number")
    local bar <close> = progress.bar(QUIET)
    for _, total in ipairs{-1, 0/0, -math.huge} do
      local seen = total ~= total and "NaN" or tostring(total):gsub("%-", "%%-")
      local words = "must be a number %(0 or more%), got " .. seen
      assert.error_matches(function() progress.bar{total = total} end, words)
      assert.error_matches(function() progress({}, {total = total}) end, words)
      assert.error_matches(function() progress(total) end, words)
      assert.error_matches(function() bar:set(1, total) end, words)
    end
    assert.error_matches(function() bar:add("x") end, 'add takes a number, got "x"')
    assert.error_matches(function() bar:set(0/0) end, "set takes a number")
  end)

  it("leaves no task, and hides no deadlock", function()
    local before = corun.debug.stats()
    local bar = progress.bar(QUIET)
    assert.same(before.tasks, corun.debug.stats().tasks)
    bar:close()
    bar:close()
    local r = program.code([[
      local corun = require "corun"
      local bar <close> = corun.progress.bar{total = 3}
      corun.channel():recv()]])
    assert.equal(13, r.status)
  end)
end)

describe("corun.progress without a terminal", function()
  it("prints a plain line at the end", function()
    local r = program.code([[
      local corun = require "corun"
      for _ in corun.progress({1, 2}, {label = "pages", unit = "pages"}) do corun.sleep(0.01) end
      for _ in corun.progress(function() end) do end]])
    assert.matches("^pages: 2/2 pages %(100%%%), [%d.]+/s, 0:00\n0, 0.0/s, 0:00\n$", r.err)
  end)

  it("prints one every five seconds", function()
    local lines = {}
    corun.debug.virtual(true)
    local bar = progress.bar{label = "slow", total = 100, quiet = true}
    for _ = 1, 12 do
      corun.sleep(1)
      bar:add(1)
    end
    lines[1] = style.plain(bar, corun.now())
    bar:close()
    assert.matches("^slow: 12/100 %(12%%%)", lines[1])
    local r = program.code([[
      local corun = require "corun"
      corun.debug.virtual(true)
      for _ in corun.progress(12, {label = "slow"}) do corun.sleep(1) end]])
    local _, n = r.err:gsub("slow: ", "")
    assert.equal(3, n)
    assert.matches("^slow: 5/12 %(41%%%), 1.0/s, ETA 0:07\nslow: 1[01]/12 .*\nslow: 12/12 .*\n$",
      r.err)
  end)

  it("goes on where another run has stopped: what was done before counts for no rate", function()
    local r = program.code([[
      local corun = require "corun"
      corun.debug.virtual(true)
      local bar <close> = corun.progress.bar{label = "rows", total = 100, done = 90}
      for _ = 1, 4 do
        corun.sleep(1)
        bar:add(2)
      end]])
    assert.equal("rows: 98/100 (98%), 2.0/s, 0:04\n", r.err)
    local bar = progress.bar{total = 100, done = 90, quiet = true}
    assert.matches("^90/100 %(90%%%)", style.plain(bar, corun.now()))
    bar:close()
  end)

  it("prints nothing when it is quiet", function()
    local r = program.code("for _ in require('corun').progress(3, {quiet = true}) do end")
    assert.same({out = "", err = "", status = 0}, r)
  end)
end)

describe("corun.progress on a terminal", function()
  it("ends with the last state of each bar, and leaves the cursor below", function()
    assert.same({"one  100%  [########################################]  4/4  RATE  0:00", "after"},
      (function()
        local rows = shown[[
          for _ in progress(4, {label = "one"}) do corun.sleep(0.06) end
          print("after")]]
        rows[1] = rows[1]:gsub("[%d.]+/s", "RATE")
        return rows
      end)())
  end)

  it("keeps several bars apart from each other and from what is written", function()
    local rows = shown[[
      local turn = corun.mutex() -- what one writes in parts, others would write between
      local function say(stream, ...)
        local _ <close> = turn:acquire()
        stream:write(...)
      end
      corun.scope(function(s)
        for n = 1, 3 do
          s:spawn(function()
            for i in progress(6 + n, {label = "bar " .. n}) do
              corun.sleep(0.03)
              if i == 2 then say(corun.stderr, "err ", n, "\n") end
              if i == 4 then say(corun.stdout, "out ", n, "\n") end
              if i == 5 then
                local _ <close> = turn:acquire()
                corun.log.info("log " .. n)
              end
              if i == 3 and n == 2 then
                local _ <close> = turn:acquire()
                corun.stderr:write("in two ")
                corun.sleep(0.015)
                corun.stderr:write("parts\n")
              end
            end
          end)
        end
      end)
      print("after")]]
    local seen = {}
    for _, row in ipairs(rows) do
      local key = row:match("^bar %d") or row:match("log %d$") or row
      seen[key] = (seen[key] or 0) + 1
      if key:find("^bar") then assert.matches("100%%  %[#+%]  (%d+)/%1 ", row) end
    end
    local expected = {after = 1, ["in two parts"] = 1}
    for n = 1, 3 do
      for _, word in ipairs{"bar ", "err ", "out ", "log "} do expected[word .. n] = 1 end
    end
    assert.same(expected, seen)
    assert.equal("after", rows[#rows])
  end)

  it("fits the window, also when it is resized", function()
    local rows, out = shown([[
      local bar <close> = progress.bar{label = "a rather long label", total = 10}
      bar:add(5)
      local s <close> = corun.signal("WINCH")
      corun.stdout:write("wide\n")
      s:recv()
      corun.sleep(0.15)
      bar:add(1)]], {"expect wide", "size 30 10"})
    for row in out:gsub("\27%[%d*%a", ""):gmatch("[^\r\n]+") do assert.is_true(#row < 80) end
    assert.is_true(#rows[#rows] < 30, rows[#rows])
    assert.matches("a rather long label", rows[#rows])
  end)

  it("draws blocks where the locale is UTF-8, spins where the total is not known", function()
    local _, out = shown([[
      for _ in progress(function() end, {label = "spin"}) do end
      local bar <close> = progress.bar{total = 2}
      bar:add(1)]], nil, "LC_ALL=C.UTF-8")
    assert.matches("spin  \u{280b}", (out:gsub("[\xc2\xc3].", function(c)
      return string.char(utf8.codepoint(c))
    end)))
    _, out = shown[[for _ in progress(function() end, {label = "spin"}) do end]]
    assert.matches("spin  |  0", out)
    assert.is_nil(out:find("[\128-\255]"))
  end)

  it("is out of the way of a prompt", function()
    local rows = shown([[
      local bar <close> = progress.bar{label = "bar", total = 2}
      local name = corun.tty.prompt("name? ")
      bar:add(1)
      corun.stdout:write("hello ", name, "\n")]], {"expect name? ", "send Ann\\r"})
    assert.same({"name? Ann", "hello Ann"}, {rows[1], rows[2]})
    assert.matches("^bar   50%%", rows[3])
    assert.is_nil(rows[4])
  end)

  it("draws ten times a second at most", function()
    local _, out = shown[[
      local stop = corun.now() + 0.5
      for _ in progress(function() return corun.now() < stop or nil end) do end]]
    local _, n = out:gsub("\r", "")
    assert.is_true(n < 20, n)
  end)

  it("plain lines where the terminal is dumb", function()
    local rows = shown("for _ in progress(2, {label = 'x'}) do end", nil, "TERM=dumb")
    assert.equal(1, #rows)
    assert.matches("^x: 2/2", rows[1])
  end)
end)

describe("corun.progress bars", function()
  it("show bytes, rates and times as people read them", function()
    local bar = {done = 1234567, total = 5e9, unit = "bytes", started = 0, rate = 98765}
    assert.equal("1.23 MB/5.00 GB", style.amount(bar))
    assert.matches("98.8 kB/s, ETA 14:03:33$", style.plain(bar, 10))
    bar = {done = 3, total = 0, started = 0}
    assert.equal("3, 1:05", style.plain(bar, 65))
    assert.equal("?[31m", (style.clean("\27[31m"):gsub(" ", "?")))
  end)

  it("can be set back, overshot and given a total later", function()
    local bar <close> = progress.bar(QUIET)
    bar:set(5, 4)
    assert.matches("5/4", tostring(bar))
    assert.matches("%(100%%%)", style.plain(bar, corun.now()))
    bar:set(1)
    assert.matches("1/4", tostring(bar))
  end)

  it("cost little per step #heavy", function()
    local t = corun.now()
    for _ in progress(100000, QUIET) do end
    assert.is_true(corun.now() - t < 1) -- about 25 ms
  end)
end)
