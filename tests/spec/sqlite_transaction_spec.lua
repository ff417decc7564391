-- SPDX-License-Identifier: MIT
-- corun.sqlite: transactions, who is in them and who waits; locks of other processes.
local corun = require "corun"
local sqlite = require "corun.sqlite"
local support = dofile("tests/spec/support/sqlite.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local error_of = tasks.error_of

local function sum(db)
  return db:value("select coalesce(sum(a), 0) from t")
end

-- Start fn in a task that belongs to no transaction of the caller.
local function outside(db, fn)
  local t = corun.async(function()
    corun.locals()[db] = nil
    return fn()
  end)
  repeat corun.yield() until t:status() ~= "ready"
  return t
end

describe("a transaction", function()
  local db

  before_each(function()
    db = support.memory()
    db:exec("create table t (a)")
  end)

  after_each(function()
    db:close()
  end)

  it("is committed, or rolled back by the end of its block", function()
    do
      local tx <close> = assert(db:begin())
      assert.equal(1, (tx:exec("insert into t values (1)")))
      assert.is_true(tx:commit())
    end
    assert.equal(1, sum(db))
    do
      local tx <close> = assert(db:begin())
      tx:exec("insert into t values (2)")
      assert.equal(3, sum(tx))
    end
    assert.equal(1, sum(db))
    local tx = assert(db:begin())
    tx:exec("insert into t values (2)")
    assert.is_true(tx:rollback())
    assert.equal(1, sum(db))
  end)

  it("around a function ends as that does", function()
    local a, b = db:transaction(function(tx)
      tx:exec("insert into t values (1)")
      return "a", "b"
    end)
    assert.same({"a", "b"}, {a, b})
    assert.is_true(db:transaction(function(tx) tx:exec("insert into t values (1)") end))
    local value, err = db:transaction(function(tx)
      tx:exec("insert into t values (5)")
      return nil, "changed my mind"
    end)
    assert.is_nil(value)
    assert.equal("changed my mind", err)
    assert.matches("oh", error_of(db.transaction, db, function(tx)
      tx:exec("insert into t values (5)")
      error("oh")
    end))
    assert.equal("early", db:transaction(function(tx)
      tx:rollback()
      return "early"
    end))
    assert.equal(2, sum(db))
  end)

  it("takes in what its task and those started in it ask of the database", function()
    local get = assert(db:prepare("select count(*) from t"))
    db:transaction(function()
      db:exec("insert into t values (1)")
      corun.gather(function() db:exec("insert into t values (2)") end,
        function() db:exec("insert into t values (4)") end)
      assert.equal(3, get:value())
      assert.equal(7, sum(db))
      return nil, "back"
    end)
    assert.equal(0, get:value())
  end)

  it("keeps the statements of other tasks out", function()
    local tx = assert(db:begin())
    tx:exec("insert into t values (1)")
    local seen = {}
    local reader = outside(db, function() return sum(db) end)
    local rows = outside(db, function()
      for row in db:rows("select a from t") do seen[#seen + 1] = row.a end
      return true
    end)
    corun.sleep(0.01)
    assert.equal("waiting", reader:status())
    tx:exec("insert into t values (2)")
    tx:rollback()
    assert.equal(0, reader:await())
    assert.is_true(rows:await())
    assert.same({}, seen)
  end)

  it("keeps its rows from iterators of other tasks that are under way", function()
    db:exec("insert into t select x from (" .. support.numbers(2000) .. ")")
    local seen, first = 0, corun.event()
    local rows = outside(db, function()
      for row in db:rows("select a from t order by rowid") do
        seen = row.a
        if seen == 512 then
          first:set()
          corun.sleep(0.01)
        end
      end
      return "end"
    end)
    first:wait()
    local tx = assert(db:begin())
    tx:exec("update t set a = -1 where a = 1500")
    corun.sleep(0.03)
    assert.equal("waiting", rows:status())
    assert.equal(512, seen)
    tx:rollback()
    assert.equal("end", rows:await())
    assert.equal(2000, seen)
  end)

  it("waits for its turn, first come, first served", function()
    local order, all = {}, {}
    local tx = assert(db:begin())
    for i = 1, 10 do
      all[i] = outside(db, function()
        return db:transaction(function(inner)
          order[#order + 1] = i
          inner:exec("insert into t values (1)")
          corun.yield()
          assert.equal(i, sum(inner))
        end)
      end)
    end
    tx:close()
    for i = 1, 10 do assert.is_true(all[i]:await()) end
    table.sort(order)
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, order)
  end)

  it("may stand in another one", function()
    db:transaction(function(tx)
      tx:exec("insert into t values (1)")
      local value, err = db:transaction(function(inner)
        inner:exec("insert into t values (2)")
        inner:transaction(function() db:exec("insert into t values (4)") end)
        assert.equal(7, sum(db))
        return nil, "inner"
      end)
      assert.same({nil, "inner"}, {value, err})
      assert.equal(1, sum(db))
      do
        local inner <close> = assert(tx:begin())
        inner:exec("insert into t values (8)")
        assert.matches("a transaction inside of it is still open", error_of(tx.commit, tx))
        assert.is_true(inner:commit())
      end
      local _ = assert(tx:begin()) -- ends with the one around it
      db:exec("insert into t values (16)")
      tx:rollback()
      assert.equal("ECLOSED", error_of(_.exec, _, "select 1").code)
    end)
    assert.equal(0, sum(db))
    assert.is_true(db:transaction(function(tx)
      tx:exec("insert into t values (1)")
      return tx:transaction(function(inner) inner:exec("insert into t values (2)") end)
    end))
    assert.equal(3, sum(db))
  end)

  it("is over once, and then takes nothing more", function()
    local tx = assert(db:begin())
    assert.matches("^sqlite.transaction: :memory:$", tostring(tx))
    assert.is_true(tx:commit())
    tx:close()
    assert.matches("ended", tostring(tx))
    for _, method in ipairs{"commit", "rollback", "begin"} do
      local err = error_of(function() tx[method](tx) end)
      assert.equal("ECLOSED", err.code)
      assert.matches("sqlite_transaction_spec.lua:%d+: .*the transaction has ended", tostring(err))
    end
    assert.equal("ECLOSED", error_of(tx.exec, tx, "select 1").code)
  end)

  it("that SQLite has rolled back by itself lets nothing through", function()
    db:exec("pragma max_page_count = 10")
    local tx <close> = assert(db:begin())
    tx:exec("insert into t values (1)")
    local _, err = tx:exec("insert or rollback into t values (zeroblob(100000))")
    assert.equal("SQLITE_FULL", err.code)
    tx:exec("rollback")
    for _, fn in ipairs{function() return tx:exec("insert into t values (2)") end,
      function() return tx:value("select 1") end, function() return tx:commit() end,
      function() return tx:begin() end} do
      local value, why = fn()
      assert.is_nil(value)
      assert.equal("SQLITE_ABORT_ROLLBACK", why.extended)
      assert.matches("the transaction is over", tostring(why))
    end
    tx:close()
    assert.equal(0, sum(db))
  end)

  it("is not begun by a statement behind the back of others", function()
    for _, text in ipairs{"begin", "insert into t values (1); begin; insert into t values (2)",
      "savepoint x"} do
      assert.matches("the statement began a transaction and did not end it",
        error_of(db.exec, db, text))
    end
    assert.equal(1, (db:exec("begin; insert into t values (4); commit")))
    assert.equal(5, sum(db))
  end)

  it("refuses what it does not know", function()
    assert.matches("the mode is 'deferred', 'immediate' or 'exclusive', not slow",
      error_of(db.begin, db, "slow"))
    assert.matches("a function was expected, got a nil", error_of(db.transaction, db))
    assert.matches("commit: a database is no transaction: begin one", error_of(db.commit, db))
    assert.matches("rollback: a database is no transaction", error_of(db.rollback, db))
  end)

  it("keeps its modes", function()
    for _, mode in ipairs{"deferred", "immediate", "exclusive"} do
      assert.is_true(db:transaction(function(tx) tx:exec("insert into t values (1)") end, mode))
    end
    assert.equal(3, sum(db))
  end)
end)

describe("the lock of another process", function()
  local path, dir

  before_each(function()
    path, dir = support.path()
    support.python(path, "db.execute('create table t (a)')")
  end)

  after_each(function()
    dir:close()
  end)

  it("is waited for", function()
    local db <close> = assert(sqlite.open(path))
    local locker <close> = support.locker(path)
    local t = corun.async(db.exec, db, "insert into t values (1)")
    corun.sleep(0.05)
    assert.is_false(t:done())
    locker.free()
    assert.equal(1, (t:await()))
  end)

  it("is an error when it lasts too long", function()
    local db <close> = assert(sqlite.open(path, {timeout = 0.03}))
    local _ <close> = support.locker(path)
    for _, fn in ipairs{function() return db:exec("insert into t values (1)") end,
      function() return db:begin() end, function() return db:value("select count(*) from t") end,
      function() return db:transaction(error) end} do
      local value, err = fn()
      assert.is_nil(value)
      assert.equal("SQLITE_BUSY", err.code)
      assert.is_true(err.retryable)
    end
  end)

  it("is an error of the commit, which may be tried again", function()
    local db <close> = assert(sqlite.open(path, {timeout = 0}))
    local other <close> = assert(sqlite.open(path, {timeout = 0}))
    local tx <close> = assert(db:begin())
    tx:exec("insert into t values (1)")
    local next_row, rows =
      other:rows("select * from (" .. support.numbers(2000) .. "), sqlite_schema")
    next_row(rows) -- holds a lock to read
    local ok, err = tx:commit()
    assert.is_nil(ok)
    assert.equal("SQLITE_BUSY", err.code)
    rows:close()
    assert.equal(1, other:value("select 1")) -- after what was asked of it before
    assert.equal(1, tx:value("select count(*) from t"))
    assert.is_true(tx:commit())
    assert.equal(1, other:value("select count(*) from t"))
  end)

  it("does not see what another process has not committed", function()
    local db <close> = assert(sqlite.open(path, {wal = true}))
    assert.equal("1\n", support.python(path, [[
db.execute("begin")
db.execute("insert into t values (1)")
print(db.execute("select count(*) from t").fetchone()[0])
db.execute("rollback")]]))
    assert.equal(0, sum(db))
    support.python(path, "db.execute('insert into t values (9223372036854775807)')")
    assert.equal(math.maxinteger, sum(db))
  end)
end)
