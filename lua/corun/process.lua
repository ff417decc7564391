-- SPDX-License-Identifier: MIT
-- corun.process: programs as children of tasks. C starts, signals and reaps them
-- (corun.processcore); here is what may be asked for, how their streams are fed and collected, and
-- what belongs to which scope. Embedded, loaded at first use. Invariant: whoever waits for a
-- process that is his own leaves only once it has been reaped.
local corun = require "corun"
local core = require "corun.processcore"
local options = require "corun.options"
local source = require "corun.source"

local checkpoint = require("corun.inside").checkpoint

local scope, shield, misuse = corun.scope, corun.shield, options.misuse

local process = {}

local GRACE = 2 -- seconds from TERM to KILL
local DRAIN = 1 -- seconds for what still comes after the process has ended
local PIECE = 128 * 1024 -- bytes of a long input that are queued at once
local MOST_IN_PIPE = 1 << 20 -- bytes, as Linux has it
local TAIL = 400 -- bytes of standard error that a message shows at most
local COLS, ROWS = 80, 24

-- What may be asked for -------------------------------------------------------------------------

local COMMON = {
  cwd = "string", env = "table", env_clear = "boolean", shell = "string", grace = "duration",
  pty = "boolean|table", stdin = "any", stdout = "any", stderr = "any",
}
local RUN = {
  input = "any", timeout = "duration", max_output = "count", check = "boolean", drain = "duration",
}
local SPAWN = {}
for name, kind in pairs(COMMON) do RUN[name], SPAWN[name] = kind, kind end

local function refuse(message, ...)
  misuse(message:format(...), 4)
end

-- A string that the system can take.
local function text(value, what, op)
  local kind = math.type(value)
  if kind then value = tostring(value) end
  if type(value) ~= "string" then
    refuse("%s of %s must be a string or a number, got %s", what, op, type(value))
  elseif value:find("\0", 1, true) then
    refuse("%s of %s must not hold a zero byte", what, op)
  end
  return value
end

-- Take the list of arguments and the options apart, which may stand in one table.
local function read_argv(argv, o, op, spec)
  if type(argv) ~= "table" then
    refuse('%s takes a list such as {"ls", "-l"}, got %s; for a command line of the shell: '
      .. '%s{shell = "ls | wc"}', op, type(argv), op)
  end
  local list, own = {}, nil
  local count = 0
  for k, v in next, argv do
    if type(k) == "string" then
      own = own or {}
      own[k] = v
    else
      count = count + 1
    end
  end
  for i = 1, #argv do list[i] = text(argv[i], "argument " .. i, op) end
  if count > #list then refuse("the arguments of %s must be a list without holes", op) end
  for k, v in next, own and type(o) == "table" and o or {} do
    if own[k] ~= nil then refuse('option "%s" of %s stands in both of its arguments', k, op) end
    own[k] = v
  end
  o = options.check(type(o) == "table" and own or o or own, op, spec, 4)
  if o.shell then
    -- The arguments become $1, $2 ...: nothing in them is read as a command.
    table.move(list, 1, #list, 5)
    list[1], list[2], list[3], list[4] = "/bin/sh", "-c", text(o.shell, 'option "shell"', op), "sh"
  elseif #list == 0 then
    refuse("%s needs a program to run", op)
  end
  return list, o
end

local function read_env(o, op)
  if not o.env and not o.env_clear then return nil end
  local all = o.env_clear and {} or core.environment()
  for name, value in next, o.env or {} do
    if type(name) ~= "string" or name == "" or name:find("[=%z]") then
      refuse("bad name of a variable in the environment of %s: %s", op, tostring(name))
    end
    all[name] = value ~= false and text(value, "variable " .. name, op) or nil
  end
  local list = {}
  for name, value in next, all do list[#list + 1] = name .. "=" .. value end
  return list
end

local STREAMS = {"stdin", "stdout", "stderr"}
local WORDS = {
  stdin = {pipe = true, null = true, inherit = true},
  stdout = {pipe = true, null = true, inherit = true},
  stderr = {pipe = true, null = true, inherit = true, stdout = true},
}

-- One of the three streams: a word, {path =}, a file of io.open.
local function read_stdio(value, name, op)
  if type(value) == "string" and WORDS[name][value] or io.type(value) == "file" then
    return value
  elseif io.type(value) then
    refuse('option "%s" for %s is a closed file', name, op)
  elseif type(value) == "table" and type(value.path) == "string" and not getmetatable(value) then
    options.check(value, ('option "%s" of %s'):format(name, op), {path = "string",
      append = "boolean"}, 5)
    text(value.path, ("the path of %s"):format(name), op)
    return value
  end
  local words = {}
  for word in pairs(WORDS[name]) do words[#words + 1] = ('"%s"'):format(word) end
  table.sort(words)
  refuse('option "%s" for %s must be %s, {path = "..."} or an open file, got %s', name, op,
    table.concat(words, ", "), type(value) == "string" and ('"%s"'):format(value) or type(value))
end

local function is_side(n)
  return math.type(n) == "integer" and n > 0 and n < 65536
end

local function read_size(pty, op)
  local what = ('option "pty" of %s'):format(op)
  local size = options.check(type(pty) == "table" and pty or nil, what,
    {cols = "count", rows = "count"}, 5)
  local cols, rows = size.cols or COLS, size.rows or ROWS
  if not (is_side(cols) and is_side(rows)) then
    refuse("%s takes cols and rows from 1 to 65535", what)
  end
  return cols, rows
end

-- What C is to start.
local function read_spec(list, o, op)
  local spec = {op = op, argv = list, env = read_env(o, op), cwd = o.cwd, grace = o.grace or GRACE}
  if o.cwd then text(o.cwd, 'option "cwd"', op) end
  if not o.pty then return spec end
  for _, name in ipairs(STREAMS) do
    if o[name] ~= nil then refuse('option "%s" for %s has no place beside "pty"', name, op) end
  end
  spec.cols, spec.rows = read_size(o.pty, op)
  return spec
end

-- run -------------------------------------------------------------------------------------------

local function has_write(value)
  local mt = (type(value) == "userdata" or type(value) == "table") and getmetatable(value)
  local index = type(mt) == "table" and mt.__index
  return type(index) == "table" and index.write ~= nil and io.type(value) == nil
end

-- Where the three streams of a run lead. Answers what its output is to be written on, by name.
local function read_run_stdio(spec, o)
  local sinks = {}
  if o.input ~= nil and o.stdin ~= nil then refuse('run takes "input" or "stdin", not both') end
  if o.stdin == "pipe" then refuse('option "stdin" for run must not be "pipe": see "input"') end
  if o.pty then return sinks end
  spec.stdin = o.input ~= nil and "pipe" or o.stdin and read_stdio(o.stdin, "stdin", "run")
  for _, name in ipairs{"stdout", "stderr"} do
    local value = o[name]
    if value == nil then
      spec[name] = "pipe"
    elseif has_write(value) then
      spec[name], sinks[name] = "pipe", value
    else
      spec[name] = read_stdio(value, name, "run")
    end
  end
  return sinks
end

local function is_text(value)
  return type(value) == "string" or math.type(value) ~= nil
end

-- Refuse a list with something else than text in it before the program is started.
local function check_input(input)
  if type(input) == "string" then return end
  source.open(input, "run")
  if type(input) ~= "table" or getmetatable(input) ~= nil then return end
  local n = math.tointeger(input.n or #input)
  if not n then refuse('the "n" of "input" for run must be an integer') end
  for i = 1, n do
    if not is_text(input[i]) then
      refuse('item %d of "input" for run must be a string, got %s', i, type(input[i]))
    end
  end
end

-- Give `input` to the process, and then the end. Answers nothing, or the error of the source; that
-- the process does not take it is none, since it need not read.
local function feed(stdin, input, is_pty)
  local last, next_piece, closing
  if type(input) == "string" then
    local at = 1
    next_piece = function()
      if at > #input then return nil end
      local piece = input:sub(at, at + PIECE - 1)
      at = at + PIECE
      return piece
    end
  else
    next_piece, closing = source.open(input, "run")
  end
  local _ <close> = closing
  while true do
    local piece, err = next_piece()
    if piece == nil then
      if err ~= nil then return err end
      break
    end
    if not is_text(piece) then
      local what = options.show(piece)
      return corun.err("EINVAL", ("it gave %s where a string or a number must be"):format(what))
    end
    if not stdin:write(piece) then return nil end
    last = piece
  end
  if not is_pty then
    stdin:close()
  elseif last and tostring(last):sub(-1) ~= "\n" then
    stdin:write("\4\4") -- the first one only sends the line
  else
    stdin:write("\4") -- what the terminal takes for the end
  end
end

-- What has arrived and was not read: what the stream has, and the pipe. Who still writes must not
-- keep us.
local function rest(stream, max)
  local pieces, left = {}, max or math.maxinteger
  while left > 0 do
    local data = stream:recv(left, {timeout = 0})
    if not data then break end
    pieces[#pieces + 1] = data
    left = math.min(left - #data, #pieces == 1 and MOST_IN_PIPE or left)
  end
  return #pieces > 1 and table.concat(pieces) or pieces[1] or "" -- much is one piece: no copy of it
end

-- A run under way.
local job_mt = {}
job_mt.__index = job_mt

-- Our ends are closed at the end, whatever is still queued.
function job_mt:__close()
  for _, stream in pairs(self.streams) do core.abandon(stream) end
end

-- The job has failed: the process is stopped. The first reason counts.
function job_mt:fail(code, message, cause)
  if self.err then return end
  self.err = {code = code, message = message, cause = cause}
  core.stop(self.process)
end

-- The task that reads one stream: keeps all, or passes it on to a sink.
local function collect(job, name, stream, sink)
  if not sink then
    local data, err = stream:read("a", {max = job.max})
    if data then
      job.output[name] = data
    elseif err and err.code == "EMSGSIZE" then
      job:fail("EMSGSIZE", ("more than %d bytes of %s (max_output)"):format(job.max, name))
    elseif err then
      job:fail(err.code, ("%s: %s"):format(name, err.message), err)
    end
    return
  end
  while true do
    local data, err = stream:recv()
    local ok = data and true
    if data then ok, err = sink:write(data) end
    if not ok then
      if err then job:fail(err.code, ("%s: %s"):format(name, err.message), err) end
      return
    end
  end
end

-- The task that writes the input.
local function supply(job, input)
  local err = feed(job.streams.stdin, input, job.is_pty)
  if not err then return end
  local code = type(err) == "table" and err.code or "EIO"
  job:fail(code, "the input failed: " .. tostring(err), err)
end

-- Wait for the process, which is stopped when the time is over.
local function wait_end(job)
  local result, err = core.own(job.process, job.timeout)
  if err and err.code == "ETIMEDOUT" then
    job:fail("ETIMEDOUT", ("it took longer than %g s and was stopped"):format(job.timeout))
    result, err = core.own(job.process)
  end
  if not result then
    job:fail(err.code, err.message, err)
    job.drain = 0 -- it may still run, and hold its output
  end
  job.result = result or {ok = false}
end

local function await_all(tasks)
  for _, task in ipairs(tasks) do task:await() end
end

local function are_done(tasks)
  for _, task in ipairs(tasks) do
    if not task:done() then return false end
  end
  return true
end

-- The process has ended. If others hold its output open, wait a moment for what they still write.
local function drain(job, readers)
  if are_done(readers) then return end
  corun.timeout(job.drain, await_all, readers)
  for _, task in ipairs(readers) do
    if not task:done() then
      job.result.held = true
      task:cancel()
    end
  end
end

-- The body of a run's scope; its readers and its writer are children.
local function attend(s, job, input)
  local readers, writer = {}, nil
  for _, name in ipairs{"stdout", "stderr"} do
    local stream = job.streams[name]
    if stream then readers[#readers + 1] = s:spawn(collect, job, name, stream, job.sinks[name]) end
  end
  if input ~= nil then writer = s:spawn(supply, job, input) end
  wait_end(job)
  if writer and not writer:done() then
    if not job.is_pty then core.abandon(job.streams.stdin) end
    writer:cancel()
  end
  drain(job, readers)
end

-- The last lines of what a process said.
local function tail(said)
  said = (said or ""):match("^.*%S") or "" -- in linear time, whatever was said
  if #said <= TAIL then return said end
  return "... " .. said:sub(-TAIL):gsub("^[^\n]*\n", "")
end

local function check_end(job, o)
  local result = job.result
  if job.err or not o.check or result.ok then return end
  local how = result.signal and "ended by " .. result.signal or "exit status " .. result.code
  local said = tail(o.stderr == "stdout" and result.stdout or result.stderr or
    o.pty and result.stdout)
  job.err = {code = "EEXIT", message = said == "" and how or how .. ": " .. said,
    status = result.code, signal = result.signal}
end

-- What run gives: the result, or an error that has it.
local function conclude(job, o, target)
  local result = job.result
  for _, name in ipairs{"stdout", "stderr"} do
    local stream = job.streams[name]
    if stream and not job.sinks[name] then
      result[name] = job.output[name] or rest(stream, job.max)
    end
  end
  check_end(job, o)
  local e = job.err
  if not e then return result end
  local code, message = e.code, e.message
  e.code, e.message, e.op, e.target, e.result = nil, nil, "run", target, result
  return nil, corun.err(code, message, e)
end

---Run a program and wait for its end.
---@param argv table
---@param o table?
---@return table? result
---@return table? err
function process.run(argv, o)
  local list
  list, o = read_argv(argv, o, "run", RUN)
  local spec = read_spec(list, o, "run")
  local sinks = read_run_stdio(spec, o)
  local input = o.input
  if input ~= nil then check_input(input) end
  local proc <close>, stdin, stdout, stderr = core.spawn(spec)
  if not proc then return nil, stdin end
  if o.pty then stdout = stdin end
  local job <close> = setmetatable({
    process = proc, streams = {stdin = stdin, stdout = stdout, stderr = stderr}, sinks = sinks,
    output = {}, max = o.max_output, timeout = o.timeout, drain = o.drain or DRAIN,
    is_pty = o.pty and true,
  }, job_mt)
  scope(function(s) attend(s, job, input) end)
  return conclude(job, o, o.shell or list[1])
end

-- spawn -----------------------------------------------------------------------------------------

local methods = {}
local process_mt = {__index = methods, __name = "process"}

-- stdin, stdout and stderr are the script's to change.
local function abandon_all(p)
  for _, stream in pairs(p.streams) do core.abandon(stream) end
end

-- The task that owns a process: a child of the scope in which it was started.
local function keep(p, spec, started)
  local proc, stdin, stdout, stderr = core.spawn(spec)
  if proc then
    p.process, p.stdin, p.stdout, p.stderr = proc, stdin, stdout, stderr
    p.streams = {stdin = stdin, stdout = stdout, stderr = stderr}
  else
    p.err = stdin
  end
  started:set()
  if not proc then return end
  -- What it said before it ended by itself is still there to be read; the streams of one that was
  -- stopped with its scope are not.
  local ok, cancellation = pcall(core.own, proc)
  if ok then return end
  core.stop(proc)
  abandon_all(p)
  error(cancellation, 0)
end

-- Stops the process if spawn fails after it was started (out of memory): nobody would know of it.
local guard_mt = {
  __close = function(guard)
    if guard.keeper then guard.keeper:cancel() end
  end,
}

---Start a program, as a child of the calling scope.
---@param argv table
---@param o table?
---@return table? process
---@return table? err
function process.spawn(argv, o)
  local list
  list, o = read_argv(argv, o, "spawn", SPAWN)
  local spec = read_spec(list, o, "spawn")
  for _, name in ipairs(not o.pty and STREAMS or {}) do
    spec[name] = o[name] == nil and "pipe" or read_stdio(o[name], name, "spawn")
  end
  checkpoint()
  local p, started = {name = o.shell or list[1]}, corun.event()
  local guard <close> = setmetatable({keeper = false}, guard_mt)
  guard.keeper = corun.spawn(keep, p, spec, started)
  p.keeper = guard.keeper
  started:wait()
  if o.pty then p.stdout, p.has_pty = p.stdin, true end
  if p.process then p.pid = core.pid(p.process) end
  guard.keeper = false
  if not p.process then return nil, p.err end
  return setmetatable(p, process_mt)
end

-- The keeper has ended, or is about to.
local function await_keeper(p)
  p.keeper:await()
end

---Wait for its end.
---@param o table? timeout
---@return table? result
---@return table? err
function methods:wait(o)
  options.self(self, process_mt, "wait")
  o = options.check(o, "wait", {timeout = "duration"})
  local result, err = core.wait(self.process, o.timeout)
  if not result then return nil, err end
  self.result = self.result or result
  corun.try(await_keeper, self) -- it may have been cancelled
  return self.result
end

---Send a signal to the process and its group.
---@param signal string|integer|nil
---@return true? ok
---@return table? err
function methods:kill(signal)
  options.self(self, process_mt, "kill")
  return core.kill(self.process, signal)
end

---Tell its terminal another size.
---@param cols integer
---@param rows integer
---@return true? ok
---@return table? err
function methods:resize(cols, rows)
  options.self(self, process_mt, "resize")
  if not self.has_pty then misuse("the process has no terminal to resize") end
  if not (is_side(cols) and is_side(rows)) then
    misuse("resize takes columns and rows from 1 to 65535")
  end
  return core.resize(self.streams.stdin, cols, rows)
end

local function close(p, by_scope)
  local result, err = core.close(p.process, by_scope)
  abandon_all(p)
  corun.try(shield, await_keeper, p)
  if not result then return nil, err end
  p.result = p.result or result
  return p.result
end

---Stop it if it still runs, wait until it has ended, close its streams.
---@return table? result
---@return table? err
function methods:close()
  options.self(self, process_mt, "close")
  return close(self, false)
end

function process_mt:__close()
  close(self, true)
end

function process_mt:__tostring()
  return ("process %p (%s, pid %d, %s)"):format(self, self.name, self.pid, core.state(self.process))
end

return process
