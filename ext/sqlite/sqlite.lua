-- SPDX-License-Identifier: MIT
-- The policy of corun.sqlite: options, transactions, pools, backups. `core` has the functions of
-- mod_sqlite.c and the classes whose methods are given here.
local core = ...
local corun = require "corun"

local sqlite = {version = core.version, blob = core.blob}
local database, statement = {}, {}

-- Options -----------------------------------------------------------------------------------------

-- How many letters have to be changed, put in or left out to make one name of the other.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local left_up = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = left_up + (a:byte(i) == b:byte(j) and 0 or 1)
      left_up = row[j]
      row[j] = math.min(cost, row[j] + 1, row[j - 1] + 1)
    end
  end
  return row[#b]
end

-- The nearest of the known names: few letters away, or what begins alike.
local function nearest(name, known)
  local best, least = nil, 3
  for k in pairs(known) do
    local n = #name > 40 and 40 or distance(name, k)
    if n > 2 and #name > 2 and (k:sub(1, #name) == name or name:sub(1, #k) == k) then n = 2 end
    if n < least or n == least and best and k < best then best, least = k, n end
  end
  return best and (" (did you mean '%s'?)"):format(best) or ""
end

-- Raise unless all options are known, and of the type that `known` says.
local function check_options(o, op, known)
  if o == nil then return {} end
  if type(o) ~= "table" then
    core.misuse(("%s: the options must be a table, not a %s"):format(op, type(o)))
  end
  for k, v in pairs(o) do
    local want = known[k]
    if not want then
      core.misuse(("%s: unknown option '%s'%s"):format(op, tostring(k),
        nearest(tostring(k), known)))
    elseif type(v) ~= want and math.type(v) ~= want then
      core.misuse(("%s: option '%s' must be %s, not a %s"):format(op, k,
        want == "integer" and "an integer" or "a " .. want, math.type(v) or type(v)))
    end
  end
  return o
end

local function check_count(o, op, name, default)
  local n = o[name] or default
  if not (n >= 0 and n <= 1 << 30) then
    core.misuse(("%s: option '%s' must be a number from 0 to 2^30, not %s"):format(op, name, n))
  end
  return n
end

local function check_path(path, op)
  if type(path) ~= "string" then
    core.misuse(("%s: the path must be a string, not a %s"):format(op, type(path)))
  elseif path:find("\0", 1, true) then
    core.misuse(op .. ": the path has a zero byte in it")
  end
end

local READONLY, READWRITE, CREATE, URI = 1, 2, 4, 64
local OPEN = {readonly = "boolean", create = "boolean", uri = "boolean", wal = "boolean",
  timeout = "number", statements = "integer", pragmas = "table"}

local function pragma(name, value)
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
    core.misuse(("open: '%s' is no name of a pragma"):format(tostring(name)))
  end
  local kind = type(value)
  if kind == "boolean" then
    value = value and "ON" or "OFF"
  elseif kind == "string" then
    value = "'" .. value:gsub("'", "''") .. "'"
  elseif kind ~= "number" then
    core.misuse(("open: the pragma '%s' cannot be a %s"):format(name, kind))
  end
  return ("PRAGMA %s = %s;"):format(name, value)
end

-- What a connection does first. In WAL mode a commit is safe without waiting for the disk: after a
-- power failure the last ones may be missing, and the database is whole.
local function preamble(o)
  local lines = {}
  if o.wal then lines = {"PRAGMA journal_mode = WAL;", "PRAGMA synchronous = NORMAL;"} end
  local names = {}
  for name in pairs(o.pragmas or {}) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do lines[#lines + 1] = pragma(name, o.pragmas[name]) end
  return table.concat(lines, "\n")
end

-- Of each database and transaction: the lock for what is begun in it, and what is open in it.
local state = setmetatable({}, {__mode = "k"})

local function new_state(session)
  state[session] = {mutex = corun.mutex()}
  return session
end

function sqlite.open(path, options)
  check_path(path, "open")
  local o = check_options(options, "open", OPEN)
  local timeout = check_count(o, "open", "timeout", 5)
  local statements = check_count(o, "open", "statements", 64)
  local flags = o.readonly and READONLY or o.create == false and READWRITE or READWRITE + CREATE
  if o.uri then flags = flags + URI end
  local db, err = core.open(path, flags, timeout, statements, preamble(o))
  if not db then return nil, err end
  local st = state[new_state(db)]
  st.is_readonly, st.timeout = o.readonly, timeout
  return db
end

-- Transactions ------------------------------------------------------------------------------------

local transactions = 0 -- begun so far: names of savepoints

-- The transaction that is open in the session, if the calling task belongs to it. Tasks that were
-- started inside of it do, since they inherit what is in locals().
local function joined(session)
  local child = state[session].child
  if child and corun.locals()[session] == child.token then return child.ref[1] end
end

-- The session in which the task's next statement runs, once it is its turn.
local function enter(session)
  local inner = joined(session)
  if inner then return enter(inner) end
  state[session].mutex:acquire():close()
  return session
end

-- The transaction is over; what is open in it too. Others may go on.
local function finish(tx, is_undone)
  local st = state[tx]
  if st.is_finished then return end
  st.is_finished = true
  local inner = st.child and st.child.ref[1]
  if inner then finish(inner, false) end
  core.end_transaction(tx, is_undone)
  local parent = st.parent
  state[parent].child = nil
  core.gate(parent, false)
  if corun.locals()[parent] == st.token then corun.locals()[parent] = nil end
  st.guard:close()
end

local function forsaken(tx)
  finish(tx, true)
end

local MODES = {deferred = true, immediate = true, exclusive = true}

local function texts(session, mode)
  if state[session].parent then
    transactions = transactions + 1
    local name = "corun_" .. transactions
    return "SAVEPOINT " .. name, "RELEASE " .. name, ("ROLLBACK TO %s; RELEASE %s"):format(name,
      name)
  end
  mode = mode or (state[session].is_readonly and "deferred" or "immediate")
  return "BEGIN " .. mode:upper(), "COMMIT", "ROLLBACK"
end

-- A transaction that could not begin: nothing of it stays.
local failing = {__close = function(self)
  if self.ok then return end
  if self.tx then finish(self.tx, true) else self.guard:close() end
end}

local function begin(session, mode)
  local inner = joined(session)
  if inner then return begin(inner, mode) end
  local parent = state[session]
  local new <close> = setmetatable({guard = parent.mutex:acquire()}, failing)
  local start, commit, undo = texts(session, mode)
  local tx, token = new_state(core.new_transaction(session, undo)), {}
  local st = state[tx]
  st.guard, st.parent, st.token, st.commit = new.guard, session, token, commit
  st.timeout = parent.timeout
  new.tx = tx
  parent.child = {token = token, ref = setmetatable({tx}, {__mode = "v"})}
  core.gate(session, true)
  corun.locals()[session] = token
  local ok, err = core.control(tx, start, "begin", parent.parent ~= nil)
  if not ok then return nil, err end
  new.ok = true
  return tx
end

function database.begin(session, mode)
  core.check_open(session, "begin")
  if mode ~= nil and not MODES[mode] then
    core.misuse(("begin: the mode is 'deferred', 'immediate' or 'exclusive', not %s")
      :format(tostring(mode)))
  end
  return begin(session, mode)
end

local function transaction_of(session, op)
  core.check_open(session, op)
  local st = state[session]
  if not st.parent then core.misuse(op .. ": a database is no transaction: begin one") end
  return st
end

function database.commit(tx)
  local st = transaction_of(tx, "commit")
  if st.child then
    core.misuse("commit: a transaction inside of it is still open")
  end
  local ok, err = core.control(tx, st.commit, "commit", true)
  if not ok then return nil, err end
  finish(tx, false)
  return true
end

function database.rollback(tx)
  transaction_of(tx, "rollback")
  local parent = state[tx].parent
  finish(tx, true)
  return core.sync(parent)
end

local function conclude(tx, ...)
  local st = state[tx]
  if st.is_finished then return ... end
  local failed = select("#", ...) > 1 and (...) == nil and select(2, ...) ~= nil
  if failed then
    database.rollback(tx)
    return ...
  end
  local ok, err = database.commit(tx)
  if not ok then return nil, err end
  if select("#", ...) == 0 then return true end
  return ...
end

function database.transaction(session, fn, mode)
  if type(fn) ~= "function" then
    core.misuse(("transaction: a function was expected, got a %s"):format(type(fn)))
  end
  local tx <close>, err = database.begin(session, mode)
  if not tx then return nil, err end
  return conclude(tx, fn(tx))
end

-- Statements --------------------------------------------------------------------------------------

database.exec, database.row, database.value = core.exec, core.row, core.value
database.prepare, database.path = core.prepare, core.path

-- The iterator of a `for`.
function database.rows(...)
  local rows, err = core.open_rows(...)
  if not rows then core.raise(err) end
  return core.next, rows, nil, rows
end

function database.all(...)
  local rows <close>, err = core.open_rows(...)
  if not rows then return nil, err end
  local list = {}
  while true do
    local is_whole, why = core.collect(rows, list)
    if is_whole then return list end
    local ok = is_whole == false
    if ok then ok, why = core.fetch(rows) end
    if not ok then return nil, why end
  end
end

statement.exec, statement.row, statement.value = core.exec, core.row, core.value
statement.rows, statement.all = database.rows, database.all
statement.close = core.close_statement

-- Close: wait for the thread, undisturbed by cancellation; where no wait is possible it ends by
-- itself.
function database.close(session)
  core.path(session) -- it is one
  if not state[session] then return end -- it was finalised
  if state[session].parent then
    if not core.is_over(session) then finish(session, true) end
    return
  end
  core.close(session)
  local child = state[session].child
  local open = child and child.ref[1]
  if open then finish(open, false) end -- whoever waits for its end is told
  if core.can_wait() then corun.shield(core.sync, session) end -- not in a finaliser
end

-- Backups -----------------------------------------------------------------------------------------

local BACKUP = {pages = "integer", progress = "function"}
local RETRY = 0.02 -- seconds until a locked file is tried again

-- Copy until all is done; a file that another program has locked is waited for without keeping the
-- connection's other statements from going on.
local function copy_all(session, copy, progress)
  local deadline
  while true do
    enter(session) -- what a transaction of others has written is not copied
    local more, left, all = core.backup_step(copy)
    if more ~= nil then
      if progress then progress(all - left, all) end
      if not more then return true end
      deadline = nil
    else
      local err, now = left, corun.now()
      deadline = deadline or now + state[session].timeout
      if err.code ~= "SQLITE_BUSY" or now >= deadline then return nil, err end
      corun.sleep(RETRY)
    end
  end
end

function database.backup(session, path, options)
  core.check_open(session, "backup")
  check_path(path, "backup")
  if path == "" or path == ":memory:" then
    core.misuse("backup: the path is that of a database in memory, of which nothing would stay")
  end
  local o = check_options(options, "backup", BACKUP)
  local pages = o.pages or 256
  if pages < 1 or pages > 1 << 30 then
    core.misuse(("backup: option 'pages' must be a number from 1 on, not %s"):format(pages))
  end
  local copy <close>, err = core.backup_begin(session, path, pages)
  if not copy then return nil, err end
  return copy_all(session, copy, o.progress)
end

-- Pools -------------------------------------------------------------------------------------------

-- One connection writes, the others read what was committed last, all at the same time.
local pool = {}

local function known_of_pool()
  local known = {readers = "integer"}
  for k, v in pairs(OPEN) do known[k] = v end
  known.readonly, known.wal, known.uri = nil, nil, nil
  return known
end

function sqlite.pool(path, options)
  check_path(path, "pool")
  local o = check_options(options, "pool", known_of_pool())
  local n = check_count(o, "pool", "readers", 4)
  if n < 1 or n > 64 then core.misuse("pool: option 'readers' must be a number from 1 to 64") end
  if path == "" or path == ":memory:" then
    core.misuse("pool: a database in memory has one connection: open it")
  end
  local function with(more)
    for _, k in ipairs{"create", "timeout", "statements", "pragmas"} do
      if more[k] == nil then more[k] = o[k] end
    end
    return more
  end
  local self = setmetatable({readers = {}, turn = 0, reads = 0, slots = corun.channel(n)}, pool)
  local _ <close> = corun.defer(function()
    if not self.is_open then self:close() end
  end)
  local err
  self.writer, err = sqlite.open(path, with{wal = true})
  for i = 1, self.writer and n or 0 do
    self.readers[i], err = sqlite.open(path, with{readonly = true})
    if err then break end
    self.slots:try_send(true)
  end
  if err then return nil, err end
  self.is_open = true
  return self
end

local CLOSED <const>, GATED <const> = math.maxinteger, core.gated

-- The reader with the least to do, and how much that is: GATED when there are only such with a
-- transaction, CLOSED when there is none.
local function reader_of(self)
  local n, best, least = #self.readers, self.readers[1], CLOSED
  self.turn = self.turn % n + 1
  for i = 0, n - 1 do
    local reader = self.readers[(self.turn + i - 1) % n + 1]
    local load = core.load(reader)
    if load < least then best, least = reader, load end
  end
  return best, least
end

-- The connection in whose transaction, or read, the task is.
local function inside(self)
  if joined(self.writer) then return self.writer end
  if self.reads == 0 then return nil end
  for _, reader in ipairs(self.readers) do
    if joined(reader) then return reader end
  end
end

-- There is one slot for each reader: who has it finds one without a read of others. It goes back
-- when it is closed.
local slot_mt = {__close = function(slot)
  slot.pool.reads = slot.pool.reads - 1
  slot.pool.slots:try_send(true)
end}

local function take_slot(self)
  if not self.slots:recv() then return nil end -- the pool was closed: the readers say so
  self.reads = self.reads + 1
  return setmetatable({pool = self}, slot_mt)
end

-- Where a statement that reads goes. The slot is free again before others run.
local function source_of(self)
  local own = inside(self)
  if own then return own end
  local reader, load = reader_of(self)
  if load ~= GATED then return reader end
  local _ <close> = take_slot(self)
  return (reader_of(self))
end

local function check_pool(self, op)
  if type(self) == "table" and getmetatable(self) == "sqlite.pool" then return end
  core.misuse(("%s: a pool was expected, got a %s: call its methods with ':'"):format(op,
    type(self)))
end

for _, name in ipairs{"row", "value", "rows", "all"} do
  local method = database[name]
  pool[name] = function(self, ...)
    check_pool(self, name)
    return method(source_of(self), ...)
  end
end

for _, name in ipairs{"exec", "begin", "transaction"} do
  local method = database[name]
  pool[name] = function(self, ...)
    check_pool(self, name)
    return method(self.writer, ...)
  end
end

-- One state for all that the function asks: what it, and tasks that it starts, ask of the pool goes
-- to the same reader.
function pool.read(self, fn)
  check_pool(self, "read")
  if type(fn) ~= "function" then
    core.misuse(("read: a function was expected, got a %s"):format(type(fn)))
  end
  local own = inside(self)
  if own then return database.transaction(own, fn) end
  local _ <close> = take_slot(self)
  return database.transaction(reader_of(self), fn)
end

function pool.backup(self, ...)
  check_pool(self, "backup")
  return database.backup(reader_of(self), ...)
end

function pool.path(self)
  check_pool(self, "path")
  return core.path(self.writer)
end

function pool.close(self)
  check_pool(self, "close")
  self.slots:close()
  for _, reader in ipairs(self.readers) do core.close(reader) end
  for _, reader in ipairs(self.readers) do database.close(reader) end
  if self.writer then database.close(self.writer) end -- the last one copies the log back
end

function pool.__tostring(self)
  return ("sqlite.pool: %s%s"):format(core.path(self.writer),
    core.is_over(self.writer) and " (closed)" or "")
end

-- Classes -----------------------------------------------------------------------------------------

local function class(meta, methods, name)
  meta.__index, meta.__name, meta.__close, meta.__metatable = methods, name, methods.close, name
end

class(core.session, database, "sqlite.database")
class(core.statement, statement, "sqlite.statement")
class(core.rows, {close = core.close_rows}, "sqlite.rows")
class(core.bytes, {}, "sqlite.blob")
class(pool, pool, "sqlite.pool")

return sqlite, enter, forsaken
