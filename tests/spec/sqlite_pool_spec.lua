-- SPDX-License-Identifier: MIT
-- corun.sqlite: pools of readers, backups.
local corun = require "corun"
local fs = require "corun.fs"
local process = require "corun.process"
local sqlite = require "corun.sqlite"
local eventually = require("tests.spec.support.eventually")
local support = dofile("tests/spec/support/sqlite.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local error_of = tasks.error_of

local function sum(db)
  return db:value("select coalesce(sum(a), 0) from t")
end

describe("a pool", function()
  local path, dir, pool

  before_each(function()
    path, dir = support.path()
    pool = assert(sqlite.pool(path, {readers = 3, pragmas = {cache_size = -500}}))
    pool:exec("create table t (a)")
  end)

  after_each(function()
    pool:close()
    dir:close()
  end)

  it("reads what was written", function()
    assert.equal(1, (pool:exec("insert into t values (1)")))
    assert.equal(1, sum(pool))
    assert.same({{a = 1}}, pool:all("select * from t"))
    assert.same({a = 1}, pool:row("select * from t"))
    for row in pool:rows("select a from t") do assert.equal(1, row.a) end
    assert.equal(path, pool:path())
    assert.equal(3, #pool.readers)
    assert.equal("wal", pool.writer:value("pragma journal_mode"))
    local value, err = pool:value("insert into t values (1) returning a")
    assert.is_nil(value)
    assert.equal("SQLITE_READONLY", err.code)
    assert.equal(2, pool.writer:value("insert into t values (2) returning a"))
  end)

  it("reads while it writes and other reads go on", function()
    local slow = {}
    for i = 1, 2 do slow[i] = corun.async(pool.value, pool, support.endless) end
    corun.sleep(0.01)
    assert.equal(0, sum(pool)) -- the reader that is free
    pool:transaction(function()
      pool:exec("insert into t values (1)")
      assert.equal(1, sum(pool)) -- inside
      local other = corun.async(function()
        corun.locals()[pool.writer] = nil
        return sum(pool)
      end)
      assert.equal(0, other:await())
    end)
    assert.equal(1, sum(pool))
    for _, t in ipairs(slow) do
      t:cancel()
      assert.equal("ECANCELED", select(2, t:await()).code)
    end
  end)

  it("reads of one state", function()
    assert.equal("1 1", pool:read(function(tx)
      pool:exec("insert into t values (1)")
      local first = sum(tx) -- the state of the first read
      pool:exec("insert into t values (1)")
      return first .. " " .. sum(tx)
    end))
    assert.equal(2, sum(pool))
  end)

  it("reads of one state, however it is asked", function()
    local seen = {pool:read(function(tx)
      local first = sum(tx)
      assert(corun.async(pool.exec, pool, "insert into t values (1)"):await())
      return first, sum(tx), sum(pool), pool:all("select sum(a) as n from t")[1].n or 0,
        pool:read(function(inner) return sum(inner) end), corun.async(sum, pool):await()
    end)}
    assert.same({0, 0, 0, 0, 0, 0}, seen)
    assert.equal(1, sum(pool))
    assert.equal(3, pool:transaction(function(tx)
      tx:exec("insert into t values (2)")
      return pool:read(function(inner) return sum(inner) end) -- what it has written
    end))
  end)

  -- Start a read that belongs to no other, and goes on when the event is set.
  local function read_until(event)
    local t = corun.async(function()
      return pool:read(function(tx)
        local n = sum(tx)
        event:wait()
        return n + sum(tx)
      end)
    end)
    repeat corun.yield() until t:status() ~= "ready"
    return t
  end

  it("gives the first free reader to whoever waits for one", function()
    local long, short = corun.event(), corun.event()
    local all = {read_until(long), read_until(long), read_until(short)}
    local more, plain = {}, corun.async(sum, pool)
    for i = 1, 5 do more[i] = read_until(short) end
    corun.sleep(0.02)
    assert.equal("waiting", plain:status())
    short:set()
    assert.equal(0, all[3]:await())
    for i = 1, 5 do assert.equal(0, more[i]:await()) end
    assert.equal(0, plain:await())
    assert.is_false(all[1]:done() or all[2]:done())
    long:set()
    assert.same({0, 0}, {all[1]:await(), (all[2]:await())})
  end)

  it("loses no reader to what fails or is cancelled, also while it waits for one", function()
    for _ = 1, 4 do
      local event, all = corun.event(), {}
      for i = 1, 6 do all[i] = read_until(event) end
      assert.matches("oh", error_of(function()
        corun.timeout(0.01, function() pool:read(function() end) end)
        error("oh")
      end))
      all[2]:cancel() -- reads
      all[5]:cancel() -- waits
      assert.equal("ECANCELED", select(2, all[2]:await()).code)
      assert.equal("ECANCELED", select(2, all[5]:await()).code)
      event:set()
      for _, i in ipairs{1, 3, 4, 6} do assert.equal(0, all[i]:await()) end
      assert.matches("oh", error_of(pool.read, pool, function() error("oh") end))
      assert.same({nil, "no"}, {pool:read(function() return nil, "no" end)})
    end
  end)

  it("goes on without a reader that was closed", function()
    pool.readers[2]:close()
    for _ = 1, 6 do
      assert.equal(0, sum(pool))
      assert.equal(0, pool:read(function(tx) return sum(tx) end))
    end
  end)

  it("that is closed tells those who wait for a reader", function()
    local event, all, inside = corun.event(), {}, 0
    for i = 1, 6 do
      all[i] = corun.async(error_of, pool.read, pool, function(tx)
        inside = inside + 1
        event:wait()
        return sum(tx)
      end)
    end
    eventually(function() return inside == 3 end)
    local plain = corun.async(error_of, sum, pool)
    repeat corun.yield() until plain:status() == "waiting"
    pool:close()
    event:set()
    for i = 1, 6 do assert.equal("ECLOSED", all[i]:await().code) end
    assert.equal("ECLOSED", plain:await().code)
    assert.matches("%(closed%)$", tostring(pool))
  end)

  it("refuses what is no pool, and what is no function", function()
    for _, name in ipairs{"row", "value", "rows", "all", "exec", "begin", "transaction", "read",
      "backup", "path", "close"} do
      assert.matches("sqlite_pool_spec.lua:%d+: " .. name .. ": a pool was expected, got a table",
        error_of(function() pool[name]({}, "select 1") end))
    end
    assert.matches("read: a function was expected, got a string", error_of(pool.read, pool, "x"))
  end)

  it("is backed up while it writes", function()
    local copy = dir:path() .. "/copy.db"
    pool:exec("insert into t select x from (" .. support.numbers(20000) .. ")")
    local calls = {}
    local t = corun.async(pool.backup, pool, copy, {pages = 10, progress = function(done, all)
      calls[#calls + 1] = {done, all}
      pool:exec("update t set a = a where rowid = 1")
    end})
    assert.is_true(t:await())
    assert.is_true(#calls > 3)
    assert.same({calls[1][2], calls[1][2]}, calls[#calls])
    local check <close> = assert(sqlite.open(copy, {readonly = true}))
    assert.equal(20000, check:value("select count(*) from t"))
    assert.equal("ok", check:value("pragma integrity_check"))
  end)

  it("fails as its database does", function()
    local value, err = sqlite.pool(dir:path() .. "/none/test.db")
    assert.is_nil(value)
    assert.equal("SQLITE_CANTOPEN", err.code)
    assert.matches("a database in memory has one connection", error_of(sqlite.pool, ":memory:"))
    assert.matches("pool: unknown option 'readonly'",
      error_of(sqlite.pool, path, {readonly = true}))
    assert.matches("from 1 to 64", error_of(sqlite.pool, path, {readers = 0}))
    pool:close()
    assert.equal("ECLOSED", error_of(function() return (sum(pool)) end).code)
    assert.is_nil(fs.stat(path .. "-wal")) -- the last one has copied it back
  end)
end)

describe("a backup", function()
  it("copies a database to a file, and back", function()
    local path, dir <close> = support.path()
    local db <close> = support.memory()
    db:exec("create table t (a); insert into t values ('kept')")
    assert.is_true(db:backup(path))
    assert.equal("kept\n",
      support.python(path, "print(db.execute('select a from t').fetchone()[0])"))
    db:exec("delete from t")
    assert.is_true(db:backup(path, {pages = 1}))
    local err = select(2, db:backup(dir:path() .. "/none/x"))
    assert.equal("SQLITE_CANTOPEN", err.code)
    assert.equal("backup", err.op)
    assert.matches("option 'pages' must be a number from 1 on, not 0",
      error_of(db.backup, db, path, {pages = 0}))
    assert.matches("unknown option 'page' %(did you mean 'pages'%?%)",
      error_of(db.backup, db, path, {page = 1}))
  end)

  it("ends when what it calls fails, and leaves no file that was not there", function()
    local path, dir <close> = support.path()
    local db <close> = support.memory()
    db:exec("create table t (a); insert into t select x from (" .. support.numbers(20000) .. ")")
    assert.equal(1, error_of(db.backup, db, path, {pages = 1, progress = error}))
    db:value("select 1") -- after what was asked of it before
    assert.is_nil(fs.stat(path))
    local started = corun.event()
    local t = corun.async(db.backup, db, path, {pages = 1, progress = function()
      started:set()
      corun.sleep(10)
    end})
    started:wait()
    t:cancel()
    assert.equal("ECANCELED", select(2, t:await()).code)
    db:value("select 1")
    assert.is_nil(fs.stat(path))
    assert.equal("SQLITE_FULL", select(2, db:backup("/dev/full")).code)
    assert.is_not_nil(fs.stat("/dev/full"))
    assert.is_not_nil(dir)
  end)

  it("that fails leaves alone what another one makes of the same name", function()
    local path, dir <close> = support.path()
    local db <close> = support.memory()
    local other <close> = support.memory{timeout = 0}
    for _, d in ipairs{db, other} do
      d:exec("create table t (a); insert into t select x from (" .. support.numbers(20000) .. ")")
    end
    local started = corun.event()
    local second = corun.async(function()
      started:wait()
      return other:backup(path)
    end)
    local first = corun.async(db.backup, db, path, {pages = 1, progress = function()
      if started:is_set() then return end
      started:set()
      assert.equal("SQLITE_BUSY", select(2, second:await()).code)
    end})
    assert.is_true(first:await())
    local copy <close> = assert(sqlite.open(path, {create = false}))
    assert.equal(20000, copy:value("select count(*) from t"))
    assert.is_not_nil(dir)
  end)

  it("is not written over the database itself, by whatever name", function()
    local path, dir <close> = support.path()
    local db <close> = assert(sqlite.open(path))
    db:exec("create table t (a)")
    assert(process.run({"ln", "-s", path, dir:path() .. "/symbolic"}, {check = true}))
    assert(process.run({"ln", path, dir:path() .. "/hard"}, {check = true}))
    for _, name in ipairs{"test.db", "symbolic", "hard", "./test.db"} do
      local ok, err = db:backup(dir:path() .. "/" .. name)
      assert.is_nil(ok)
      assert.matches("the copy would be written over the database itself", tostring(err))
    end
    assert.equal(0, sum(db))
    for _, name in ipairs{"", ":memory:"} do
      assert.matches("backup: the path is that of a database in memory",
        error_of(db.backup, db, name))
    end
  end)

  it("does not copy what a transaction has not committed", function()
    local path, dir <close> = support.path()
    local db <close> = support.memory()
    db:exec("create table t (a)")
    local started = corun.now()
    local ok, err = db:transaction(function(tx)
      tx:exec("insert into t values (1)")
      return tx:backup(path)
    end)
    assert.is_nil(ok)
    assert.equal("SQLITE_LOCKED", err.code)
    local tx = assert(db:begin())
    tx:exec("insert into t values (1)")
    local t = corun.async(function()
      corun.locals()[db] = nil
      return db:backup(path)
    end)
    corun.sleep(0.02)
    tx:exec("insert into t values (2)") -- the copy waits, not this
    assert.is_true(tx:commit())
    assert.is_true(t:await())
    assert.is_true(corun.now() - started < 4)
    local copy <close> = assert(sqlite.open(path))
    assert.equal(3, sum(copy))
    assert.is_not_nil(dir)
  end)

  it("ends although another connection writes all the time", function()
    for _, wal in ipairs{true, false} do
      local path, dir <close> = support.path()
      local db <close> = assert(sqlite.open(path, {wal = wal}))
      local other <close> = assert(sqlite.open(path))
      db:exec("create table t (a); insert into t select x from (" .. support.numbers(20000) .. ")")
      local steps = 0
      assert.is_true(db:backup(dir:path() .. "/copy.db", {pages = 5, progress = function()
        steps = steps + 1
        assert(other:exec("update t set a = a + 1"))
      end}))
      assert.is_true(steps > 1)
      local copy <close> = assert(sqlite.open(dir:path() .. "/copy.db"))
      assert.equal("ok", copy:value("pragma integrity_check"))
      assert.equal(19999, copy:value("select max(a) - min(a) from t")) -- of one moment
    end
  end)

  it("lets others go on while the file is locked", function()
    local path, dir <close> = support.path()
    support.python(path, "db.execute('create table old (a)')")
    local db <close> = support.memory()
    local locker <close> = support.locker(path)
    local t = corun.async(db.backup, db, path)
    for i = 1, 20 do
      corun.sleep(0.002)
      assert.equal(i, db:value("select ?", i))
    end
    assert.is_false(t:done())
    locker.free()
    assert.is_true(t:await())
    assert.is_not_nil(dir)
  end)

  it("waits for the lock of another process", function()
    local path, dir <close> = support.path()
    support.python(path, "db.execute('create table old (a)')")
    local db <close> = support.memory{timeout = 0.05}
    local locker <close> = support.locker(path)
    assert.equal("SQLITE_BUSY", select(2, db:backup(path)).code)
    locker.free()
    assert.is_true(db:backup(path))
    assert.is_not_nil(dir)
  end)
end)
