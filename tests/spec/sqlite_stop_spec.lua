-- SPDX-License-Identifier: MIT
-- corun.sqlite: what is cancelled, closed while it is used, left to the collector or to the end of
-- the program.
local corun = require "corun"
local debug_ = require "corun.debug"
local sqlite = require "corun.sqlite"
local eventually = require("tests.spec.support.eventually")
local program = dofile("tests/fixtures/cli/program.lua")
local support = dofile("tests/spec/support/sqlite.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local endless, error_of = support.endless, tasks.error_of

-- Start fn in a task that waits on return.
local function started(fn, ...)
  local t = corun.async(fn, ...)
  repeat corun.yield() until t:status() ~= "ready"
  return t
end

local function assert_code(code, t)
  local value, err = t:await()
  assert.is_nil(value)
  assert.equal(code, err.code)
end


describe("corun.sqlite: a cancelled task", function()
  local db

  before_each(function()
    db = support.memory()
    db:exec("create table t (a); insert into t values (0)")
  end)

  after_each(function()
    db:close()
    assert.equal(0, debug_.stats().jobs)
  end)

  it("S13 begins no statement", function()
    local t = corun.async(function()
      corun.current():cancel()
      db:exec("insert into t values (1)")
    end)
    assert_code("ECANCELED", t)
    assert.equal(1, db:value("select count(*) from t"))
  end)

  for name, method in pairs{value = "value", row = "row", exec = "exec", all = "all"} do
    it("S16 ends its statement: " .. name, function()
      local t = started(db[method], db, endless)
      corun.sleep(0.01)
      t:cancel()
      assert_code("ECANCELED", t)
      assert.equal(1, db:value("select 1"))
    end)
  end

  it("S16 ends its statement: between rows, and before the first", function()
    local seen = 0
    local t = corun.async(function()
      for _ in db:rows("with recursive c(x) as (values(1) union all select x + 1 from c) " ..
        "select x from c") do
        seen = seen + 1
      end
    end)
    eventually(function() return seen > 2000 end)
    t:cancel()
    assert_code("ECANCELED", t)
    t = started(function()
      for _ in db:rows(endless) do error("a row") end
    end)
    corun.sleep(0.01)
    t:cancel()
    assert_code("ECANCELED", t)
    assert.equal(0, (db:exec("drop table t"))) -- no statement is under way
  end)

  it("S17 ends its statement when its time is over", function()
    local value, err = corun.timeout(0.02, db.value, db, endless)
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
  end)

  it("leaves at once when its statement has not begun, and others alone", function()
    local first = started(db.value, db, endless)
    local second = started(db.exec, db, "insert into t values (2)")
    local third = started(db.exec, db, "insert into t values (3)")
    second:cancel()
    assert_code("ECANCELED", second)
    assert.equal("waiting", third:status())
    first:cancel()
    assert_code("ECANCELED", first)
    assert.equal(1, (third:await()))
    assert.equal(3, db:value("select sum(a) from t"))
  end)

  it("does not disturb the rows of another task", function()
    local next_row, rows <close> = db:rows(support.numbers(3000))
    assert.equal(1, next_row(rows).x)
    for _ = 1, 3 do
      local t = started(db.value, db, endless)
      corun.sleep(0.01)
      t:cancel()
      assert_code("ECANCELED", t)
    end
    for i = 2, 3000 do assert.equal(i, next_row(rows).x) end
    assert.is_nil(next_row(rows))
    assert.is_nil(next_row(rows))
  end)

  -- Rows of which the one behind the first batch takes for ever.
  local slow_rows = "with recursive c(x) as (values(1) union all select x + 1 from c) " ..
    "select x, case when x = 600 then (" .. endless .. ") end as y from c"

  it("leaves the rows that have come to others, who are told that there were more", function()
    local next_row, rows = db:rows(slow_rows)
    for i = 1, 512 do assert.equal(i, next_row(rows).x) end
    local before = started(db.value, db, endless)
    local last = started(db.value, db, "select 1")
    local t = started(next_row, rows)
    before:cancel()
    assert_code("ECANCELED", before)
    assert.equal(1, last:await()) -- which is told when the next has begun
    t:cancel()
    assert_code("ECANCELED", t)
    local count = 512 -- how far it came until the cancellation
    local err = error_of(function()
      for row in next_row, rows do
        count = count + 1
        assert.equal(count, row.x)
      end
    end)
    assert.is_true(count < 600)
    assert.equal("SQLITE_INTERRUPT", err.code)
    assert.equal("SQLITE_INTERRUPT", error_of(next_row, rows).code)
    assert.equal(0, (db:exec("drop table t"))) -- no statement is under way
    rows:close()
  end)

  it("leaves rows that were not asked for yet to others", function()
    local next_row, rows <close> = db:rows(support.numbers(2000))
    for i = 1, 512 do assert.equal(i, next_row(rows).x) end
    local before = started(db.value, db, endless)
    local t = started(next_row, rows)
    t:cancel()
    assert_code("ECANCELED", t)
    before:cancel()
    assert_code("ECANCELED", before)
    for i = 513, 2000 do assert.equal(i, next_row(rows).x) end
    assert.is_nil(next_row(rows))
  end)

  it("lets go of rows that another task has closed meanwhile", function()
    local next_row, rows = db:rows(support.numbers(2000))
    for _ = 1, 512 do next_row(rows) end
    local before = started(db.value, db, endless)
    local t = started(next_row, rows)
    rows:close()
    t:cancel()
    assert_code("ECANCELED", t)
    before:cancel()
    assert_code("ECANCELED", before)
    assert.equal("ECLOSED", error_of(next_row, rows).code)
    assert.equal(0, (db:exec("drop table t")))
  end)

  it("closes its own rows at once when its time is over in their midst", function()
    local n = 0
    local value, err = corun.timeout(0.05, function()
      for row in db:rows(slow_rows) do n = row.x end
    end)
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
    assert.is_true(n == 0 or n == 512 or n == 599, n)
    collectgarbage("stop")
    assert.equal(0, (db:exec("drop table t")))
    collectgarbage("restart")
  end)

  it("does not disturb the transaction of another task", function()
    local tx <close> = assert(db:begin())
    tx:exec("insert into t values (1)")
    local t = corun.async(function() return db:value(endless) end) -- joins it, as a child
    corun.sleep(0.01)
    t:cancel()
    assert_code("ECANCELED", t)
    assert.equal(1, (tx:exec("insert into t values (2)")))
    assert.is_true(tx:commit())
    assert.equal(3, db:value("select sum(a) from t"))
  end)

  it("rolls its transaction back, wherever it was", function()
    for steps = 0, 12 do
      local t = corun.async(function()
        local tx <close> = assert(db:begin())
        tx:exec("insert into t values (1)")
        do
          local inner <close> = assert(tx:begin())
          inner:exec("insert into t values (2)")
          inner:commit()
        end
        db:value("select * from (" .. support.numbers(1000) .. ")")
        return tx:commit()
      end)
      for _ = 1, steps * 3 do corun.yield() end
      t:cancel()
      local done = t:await()
      assert.equal(done and 3 or 0, db:value("select sum(a) from t"))
      db:exec("delete from t")
      assert.is_true(db:transaction(function() end))
      db:exec("insert into t values (0)")
    end
  end)

  it("leaves the queue of those who want a transaction", function()
    local tx = assert(db:begin())
    local others = {}
    corun.shield(function()
      for i = 1, 3 do
        others[i] = corun.async(function()
          corun.locals()[db] = nil -- no member of the transaction
          return db:transaction(function(t) return (t:exec("insert into t values (1)")) end)
        end)
      end
      repeat corun.yield() until others[3]:status() == "waiting"
      others[2]:cancel()
      assert_code("ECANCELED", others[2])
      assert.is_true(tx:commit())
      assert.equal(1, others[1]:await())
      assert.equal(1, others[3]:await())
    end)
    assert.equal(2, db:value("select sum(a) from t"))
  end)

  it("stops waiting for the lock of another process", function()
    local path, dir <close> = support.path()
    local file <close> = assert(sqlite.open(path, {timeout = 1000}))
    file:exec("create table t (a)")
    local locker <close> = support.locker(path)
    local t = started(file.exec, file, "insert into t values (1)")
    corun.sleep(0.02)
    t:cancel()
    assert_code("ECANCELED", t)
    t = started(file.begin, file)
    corun.sleep(0.02)
    t:cancel()
    assert_code("ECANCELED", t)
    locker.free()
    assert.equal(1, (file:exec("insert into t values (1)")))
    assert.is_not_nil(dir)
  end)

  it("ends its backup, which leaves the file as it was", function()
    local path, dir <close> = support.path()
    db:exec("insert into t select x from (" .. support.numbers(50000) .. ")")
    local pages = 0
    local t = corun.async(db.backup, db, path, {pages = 1, progress = function(n) pages = n end})
    eventually(function() return pages > 3 end)
    t:cancel()
    assert_code("ECANCELED", t)
    assert.equal("0", support.python(path,
      "print(len(db.execute('select * from sqlite_master').fetchall()), end='')"))
    assert.is_not_nil(dir)
  end)
end)

describe("corun.sqlite: a database", function()
  it("S20 that is closed ends what waits", function()
    local db = support.memory()
    local running = started(db.value, db, endless)
    local queued = started(db.value, db, "select 1")
    corun.sleep(0.01)
    db:close()
    assert_code("ECLOSED", running)
    assert_code("ECLOSED", queued)
    db:close()
  end)

  it("S20 that is closed ends what waits for a transaction", function()
    local db = support.memory()
    local tx <close> = assert(db:begin())
    local all = {}
    for i, fn in ipairs{function() db:exec("select 1") end, function() db:begin() end,
      function() db:transaction(print) end} do
      all[i] = started(function()
        corun.locals()[db] = nil
        return error_of(fn)
      end)
    end
    corun.sleep(0.01)
    db:close()
    for _, t in ipairs(all) do assert.equal("ECLOSED", t:await().code) end
    assert.equal("ECLOSED", error_of(tx.commit, tx).code)
  end)

  it("S20 that is closed tells each of a hundred tasks", function()
    local db = support.memory()
    local tx = assert(db:begin())
    local all = {}
    for i = 1, 100 do
      all[i] = corun.async(function()
        corun.locals()[db] = nil
        return error_of(i % 3 == 0 and db.begin or db.exec, db, i % 3 ~= 0 and "select 1" or nil)
      end)
    end
    repeat corun.yield() until all[100]:status() == "waiting"
    db:close()
    for i = 1, 100 do assert.equal("ECLOSED", all[i]:await().code) end
    assert.equal("ECLOSED", error_of(tx.exec, tx, "select 1").code)
  end)

  it("S20 that is closed takes nothing more", function()
    local db = support.memory()
    local statement = assert(db:prepare("select 1"))
    local next_row, rows = db:rows(support.numbers(2000))
    local tx = assert(db:begin())
    db:close()
    for name, fn in pairs{
      exec = function() db:exec("select 1") end,
      row = function() db:row("select 1") end,
      rows = function() db:rows("select 1") end,
      all = function() db:all("select 1") end,
      prepare = function() db:prepare("select 1") end,
      begin = function() db:begin() end,
      transaction = function() db:transaction(print) end,
      backup = function() db:backup("/nowhere/x") end,
      statement = function() statement:value() end,
      inside = function() tx:exec("select 1") end,
      commit = function() tx:commit() end,
      iterator = function() while true do next_row(rows) end end,
    } do
      local err = error_of(fn)
      assert.equal("ECLOSED", err.code, name)
      assert.matches("sqlite_stop_spec.lua:%d+: .*the database is closed", tostring(err))
    end
    statement:close()
    tx:close()
    assert.matches("%(closed%)", tostring(db))
  end)

  it("is closed as soon as a cancelled statement has come back", function()
    for i = 1, 100 do
      local db = support.memory()
      local t = started(db.value, db, endless)
      t:cancel()
      assert_code("ECANCELED", t)
      t = nil -- luacheck: ignore 311
      if i % 2 == 0 then collectgarbage() end
      db:close()
    end
  end)

  it("tells the finaliser of what has outlived it that it is closed", function()
    local said = {}
    local function note(fn, ...)
      local ok, err = pcall(fn, ...)
      said[#said + 1] = ok and "fine" or err.code or tostring(err)
    end
    corun.async(function()
      local user = setmetatable({}, {__gc = function(self)
        note(tostring, self.db)
        note(tostring, self.tx)
        for _, name in ipairs{"close", "path"} do note(self.db[name], self.db) end
        for _, name in ipairs{"begin", "commit", "close_tx"} do
          note(self.tx[name:match("^close") or name], self.tx)
        end
        for _, name in ipairs{"exec", "rows", "all", "prepare", "backup"} do
          note(self.db[name], self.db, "select 1")
        end
        note(self.next_row, self.rows)
        note(self.rows.close, self.rows)
      end})
      user.db = support.memory() -- made later, and so finalised sooner
      user.next_row, user.rows = user.db:rows(support.numbers(2000))
      user.tx = user.db:begin()
    end):await()
    eventually(function()
      collectgarbage()
      return said[1]
    end)
    assert.equal("fine fine fine fine ECLOSED ECLOSED fine ECLOSED ECLOSED ECLOSED ECLOSED " ..
      "ECLOSED ECLOSED fine", table.concat(said, " "))
  end)

  it("that is closed takes its backup with it, before the file is closed", function()
    local path, dir <close> = support.path()
    local db = assert(sqlite.open(path))
    db:exec("create table t (a); insert into t select x from (" .. support.numbers(20000) .. ")")
    local copy = dir:path() .. "/copy.db"
    local at = corun.event()
    local t = started(function()
      return error_of(db.backup, db, copy, {pages = 1, progress = function()
        at:set()
        corun.sleep(0.2)
      end})
    end)
    at:wait()
    db:close()
    local r = support.python(path, "import os; print(os.path.exists(sys.argv[1][:-7] + 'copy.db'))")
    assert.equal("False\n", r)
    assert.equal("ECLOSED", t:await().code)
  end)

  it("S14 is closed by a cancelled task", function()
    local inner
    local t = corun.async(function()
      local db <close> = support.memory()
      inner = db
      db:value(endless)
    end)
    eventually(function() return inner end)
    corun.sleep(0.01)
    t:cancel()
    assert_code("ECANCELED", t)
    assert.equal("ECLOSED", error_of(inner.exec, inner, "select 1").code)
  end)

  it("is closed with its open transaction rolled back", function()
    local path, dir <close> = support.path()
    local db = assert(sqlite.open(path))
    db:exec("create table t (a)")
    local tx = assert(db:begin())
    tx:exec("insert into t values (1)")
    db:close()
    assert.equal("[(0,)]\n", support.python(path,
      "print(db.execute('select count(*) from t').fetchall())"))
    assert.is_not_nil(dir)
  end)

  it("and all that belongs to it may be left to the collector", function()
    local function leave()
      local db = support.memory()
      assert(db:prepare("select 1"))
      local next_row, rows = db:rows(support.numbers(2000))
      next_row(rows)
      local _ = db:begin()
      return setmetatable({db}, {__mode = "v"})
    end
    for _ = 1, 20 do
      local weak = corun.async(leave):await()
      eventually(function()
        collectgarbage()
        return weak[1] == nil
      end)
    end
  end)

  it("goes on when a transaction was left to the collector", function()
    local db <close> = support.memory()
    db:exec("create table t (a)")
    corun.async(function()
      local tx = assert(db:begin())
      tx:exec("insert into t values (1)")
    end):await()
    local t = corun.async(db.exec, db, "insert into t values (2)")
    eventually(function()
      collectgarbage()
      return t:done()
    end)
    assert.equal(2, db:value("select sum(a) from t"))
  end)

  it("is shown among what tasks wait for", function()
    local db <close> = support.memory()
    local t = started(db.value, db, endless)
    assert.matches("value", table.concat(debug_.tasks(), "\n"))
    corun.sleep(0.01)
    t:cancel()
    db:close() -- too late: it is cancelled already
    assert_code("ECANCELED", t)
  end)
end)

describe("corun.sqlite: the end of the program", function()
  local function assert_ends(code, o)
    local path, dir <close> = support.path()
    o = o or {}
    o.env = "LUA_CPATH_5_4='" .. package.cpath .. "'"
    local r = program.code(([[
      local corun, sqlite = require "corun", require "corun.sqlite"
      local db = assert(sqlite.open(%q))
      local endless = %q
      ]]):format(path, endless) .. code, o)
    assert.is_not_nil(dir)
    return r
  end

  it("comes with a database left open, in the midst of everything", function()
    local r = assert_ends[[
      kept = {db}
      db:exec("create table t (a)")
      kept[2], kept[3] = db:begin(), db:prepare("select 1")
      kept[2]:exec("insert into t values (1)")
      kept[4] = {db:rows((endless:gsub("count%(%*%)", "x")))}
      kept[4][1](kept[4][2])
      print "end"]]
    assert.equal("", r.err)
    assert.equal("end\n", r.out)
    assert.equal(0, r.status)
  end)

  it("comes although statements are queued", function()
    local r = assert_ends[[
      for i = 1, 50 do corun.spawn(function() db:exec(endless) end) end
      corun.sleep(0.02)
      corun.exit(3)]]
    assert.equal("", r.err)
    assert.equal(3, r.status)
  end)

  it("comes by a signal while a statement runs", function()
    local r = assert_ends([[
      corun.spawn(function() corun.sleep(0.02) print "running" io.stdout:flush() end)
      db:exec(endless)]], {signals = {{after = "running", signal = "TERM"}}})
    assert.equal("", r.err)
    assert.equal("running\n", r.out)
    assert.is_true(r.signal == 15 or r.status == 143)
  end)

  it("comes with an error that nobody took", function()
    local r = assert_ends[[
      db:exec("create table t (a)")
      local tx = assert(db:begin())
      error("oh")]]
    assert.equal(1, r.status)
    assert.matches("oh", r.err)
  end)
end)
