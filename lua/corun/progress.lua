-- SPDX-License-Identifier: MIT
-- corun.progress: how far a loop has come, on standard error. On a terminal each open bar has a
-- line below everything else; all are drawn together, in one write, ten times a second at most, and
-- only by the steps of the loops themselves: no task, no timer. Elsewhere a line every few seconds.
-- What corun writes to a terminal meanwhile makes room: the bars are taken away and drawn anew.
local core = require "corun.ttycore"
local options = require "corun.options"
local source = require "corun.source"
local stdio = require "corun.stdio"
local task = require "corun.task"
local style = require "corun.progress_style"

local now = task.now

local REDRAW, LINE = 0.1, 5 -- seconds between two drawings, between two plain lines
local SPEC = {total = "amount", done = "amount", label = "string", unit = "string",
  quiet = "boolean"}
local SMOOTH = 5 -- seconds over which the rate is smoothed

-- The screen --------------------------------------------------------------------------------------

local bars = {} -- oldest first
local lines, width = {}, 80 -- columns of each line that is drawn, and of the terminal then
local is_partial = false -- the cursor stands behind a text that has no end of line yet
local original -- the streams' own write, while bars are drawn

local is_terminal

local function has_terminal()
  if is_terminal == nil then
    local term = os.getenv("TERM")
    is_terminal = core.is("stderr") and term ~= nil and term ~= "" and term ~= "dumb"
  end
  return is_terminal
end

-- What takes the cursor to the first line of the bars. A window that got narrower has broken them.
local function go_up(columns)
  local up = 0
  for i, used in ipairs(lines) do
    up = up + math.max(1, (used + columns - 1) // columns)
    lines[i] = nil
  end
  return up > 0 and ("\r\27[%dA"):format(up) or ""
end

-- Draw all bars that there is room for, below `text`. A terminal that takes no more is not pressed:
-- the next step tries again.
local function draw(text)
  if text == "" and (is_partial or core.queued(stdio.stderr) > 0) then return end
  local columns, rows = core.size("stderr")
  columns, rows = columns or 80, columns and rows or 24
  local up = go_up(columns)
  local frame = {up, (text ~= "" or columns ~= width) and up ~= "" and "\27[J" or "", text}
  local t = now()
  for i, bar in ipairs(bars) do
    if i >= rows or is_partial then break end
    frame[#frame + 1], lines[i] = style.line(bar, t, columns - 1)
    frame[#frame + 1] = "\27[K\n"
  end
  frame[#frame + 1] = up ~= "" and "\27[J" or ""
  width = columns
  core.put(stdio.stderr, table.concat(frame))
end

local function erase()
  local up = go_up(core.size("stderr") or 80)
  if up ~= "" then core.put(stdio.stderr, up .. "\27[J") end
end

-- Do write(stream, ...) to a terminal with the bars out of its way.
local function among_bars(write, stream, ...)
  if not core.is(stream) then return write(stream, ...) end
  erase()
  local r = table.pack(pcall(write, stream, ...))
  for i = select("#", ...), 1, -1 do
    local text = select(i, ...)
    if r[1] and type(text) ~= "table" and text ~= "" then -- no options, and no empty piece
      is_partial = tostring(text):sub(-1) ~= "\n"
      break
    end
  end
  draw("")
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

-- Somebody types on the terminal, and has typed a line.
local function pause()
  erase()
  is_partial = true
end

local function resume()
  is_partial = false
  draw("")
end

local function show(bar)
  bars[#bars + 1] = bar
  if not original then
    original = core.methods.write
    core.methods.write = function(stream, ...) return among_bars(original, stream, ...) end
    rawset(stdio, "bars", among_bars)
    rawset(stdio, "pause", pause)
    rawset(stdio, "resume", resume)
  end
  draw("")
end

-- Take a bar out of the screen; its last line stays above the others.
local function settle(bar)
  for i, other in ipairs(bars) do
    if other == bar then table.remove(bars, i) end
  end
  local line = style.line(bar, now(), (core.size("stderr") or 80) - 1) .. "\n"
  if is_partial then line, is_partial = "\n" .. line, false end
  draw(line)
  if #bars > 0 then return end
  core.methods.write, original = original, nil
  rawset(stdio, "bars", nil)
  rawset(stdio, "pause", nil)
  rawset(stdio, "resume", nil)
end

-- Bars --------------------------------------------------------------------------------------------

local methods = {}
local bar_mt = {__index = methods, __name = "progress bar"}

-- The rate, smoothed over the last seconds.
local function measure(bar, t)
  local passed = t - bar.measured
  if passed <= 0 then return end
  local share = 1 - math.exp(-passed / SMOOTH)
  bar.sum = bar.sum * (1 - share) + (bar.done - bar.counted) / passed * share
  bar.weight = bar.weight * (1 - share) + share
  bar.rate = bar.sum / bar.weight
  bar.measured, bar.counted = t, bar.done
end

-- The bar has moved and it is time to show that.
local function refresh(bar, t)
  if bar.mode == "bar" then
    for _, other in ipairs(bars) do
      measure(other, t)
      other.next = t + REDRAW
    end
    draw("")
  else
    measure(bar, t)
    bar.next = t + LINE
    core.put(stdio.stderr, style.plain(bar, t) .. "\n")
  end
end

local function check_number(op, n)
  if math.type(n) == nil or n ~= n then
    options.misuse(("%s takes a number, got %s"):format(op, options.show(n)), 3)
  end
end

local function check_total(op, n)
  if math.type(n) == nil or n ~= n or n < 0 then
    options.misuse(("the total for %s must be a number (0 or more), got %s")
      :format(op, options.show(n)), 3)
  end
end

---So much more is done.
function methods:add(n)
  options.self(self, bar_mt, "add")
  if n == nil then n = 1 else check_number("add", n) end
  self.done = self.done + n
  local t = now()
  if t >= self.next then refresh(self, t) end
end

---So much is done, of so much.
function methods:set(done, total)
  options.self(self, bar_mt, "set")
  check_number("set", done)
  if total ~= nil then
    check_total("set", total)
    self.total = total
  end
  self.done = done
  local t = now()
  if t >= self.next then refresh(self, t) end
end

---No more will be done: the last state stays.
function methods:close()
  options.self(self, bar_mt, "close")
  if self.closed then return end
  local t = now()
  self.rate = t > self.started and (self.done - self.before) / (t - self.started) or nil
  self.closed, self.next = t, math.huge
  if self.mode == "bar" then
    settle(self)
  elseif self.mode == "line" then
    core.put(stdio.stderr, style.plain(self, t) .. "\n")
  end
end

function bar_mt:__close()
  self:close()
end

function bar_mt:__tostring()
  return ("progress bar %p (%s, %s)"):format(self, style.amount(self),
    self.closed and "closed" or "open")
end

-- `o` has been checked.
local function open(o)
  local t, before = now(), o.done or 0
  if o.total then check_number('option "total" of progress', o.total) end
  local bar = setmetatable({
    total = o.total, label = o.label and style.clean(o.label), unit = o.unit, done = before,
    before = before, started = t, measured = t, counted = before, sum = 0, weight = 0,
    mode = (o.quiet or not stdio.open("stderr")) and "quiet" or has_terminal() and "bar" or "line",
  }, bar_mt)
  bar.next = bar.mode == "bar" and t + REDRAW or bar.mode == "line" and t + LINE or math.huge
  if bar.mode == "bar" then show(bar) end
  return bar
end

-- Loops -------------------------------------------------------------------------------------------

local loop_mt = {__name = "progress"}

-- The step has given these values.
local function pass(self, control, ...)
  if self.is_begun then self.bar:add(1) end -- an item is done once the next one is asked for
  self.is_begun = control ~= nil
  if control == nil then
    self.bar:close()
    return nil
  end
  self.control = control
  return control, ...
end

function loop_mt:__call()
  return pass(self, self.step(self.state, self.control))
end

function loop_mt:__close(err)
  self.bar:close()
  local closing = self.closing
  self.closing = nil
  local mt = getmetatable(closing)
  if mt and mt.__close then mt.__close(closing, err) end
end

function loop_mt:__items()
  return self.length
end

function loop_mt:__tostring()
  return ("progress %p (%s)"):format(self, style.amount(self.bar))
end

local function count_to(n)
  local i = 0
  return function()
    if i < n then
      i = i + 1
      return i
    end
  end
end

---Show how far a loop comes.
local function progress(src, o, ...)
  local n = select("#", ...)
  local loop = {length = source.length(src)}
  if n > 0 then -- the values of a generic for: iterator, state, control, closing value
    local control, closing, last = ...
    loop.step, loop.state, loop.control, loop.closing = src, o, control, closing
    o = options.check(last, "progress", SPEC)
  else
    o = options.check(o, "progress", SPEC)
    if math.type(src) then
      check_total("progress", src)
      loop.length, loop.step = src, count_to(src)
    else
      loop.step, loop.closing = source.open(src, "progress")
    end
  end
  if loop.length and not o.total then
    local copy = {total = loop.length}
    for k, v in pairs(o) do copy[k] = v end
    o = copy
  end
  loop.bar = open(o)
  setmetatable(loop, loop_mt)
  return loop, nil, nil, loop
end

return setmetatable({
  ---Make a bar that is moved by hand.
  bar = function(o)
    return open(options.check(o, "progress.bar", SPEC))
  end,
}, {__call = function(_, ...) return progress(...) end})
