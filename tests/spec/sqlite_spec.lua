-- SPDX-License-Identifier: MIT
-- corun.sqlite: statements, values, rows, errors. What is cancelled and closed: sqlite_stop_spec;
-- transactions and pools: sqlite_transaction_spec.
local corun = require "corun"
local fs = require "corun.fs"
local json = require "corun.json"
local sqlite = require "corun.sqlite"
local program = dofile("tests/fixtures/cli/program.lua")
local support = dofile("tests/spec/support/sqlite.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local error_of = tasks.error_of

-- The error of a call that gives nil and an error.
local function failure(...)
  local value, err = ...
  assert.is_nil(value)
  return assert(err)
end

describe("corun.sqlite", function()
  local db

  before_each(function()
    db = support.memory()
  end)

  after_each(function()
    db:close()
  end)

  it("is found by the program of a build tree without being told where", function()
    local r = program.code("print(require('corun.sqlite').version)",
      {env = "LUA_CPATH_5_4=/no/?.so"})
    assert.equal("", r.err)
    assert.matches("^3%.", r.out)
    assert.equal(sqlite, require "corun.sqlite")
  end)

  it("says how many rows a statement has changed, and where the last one is", function()
    assert.same({0, 0}, {db:exec("create table t (id integer primary key, a)")})
    assert.same({3, 3}, {db:exec("insert into t (a) values (1), (2), (3)")})
    assert.same({2, 3}, {db:exec("update t set a = 0 where id > ?", 1)})
    assert.same({0, 3}, {db:exec("select * from t")})
    assert.same({3, 3}, {db:exec("delete from t")})
    assert.same({0, 3}, {db:exec("create table u (b)")})
  end)

  it("runs all statements of a text", function()
    assert.equal(3, (db:exec[[
      create table t (a); -- a comment
      insert into t values (1), (2);
      insert into t values (';');
      /* nothing else */]]))
    assert.equal(3, db:value("select count(*) from t"))
    assert.equal(0, (db:exec(" ; -- nothing")))
    assert.equal(0, (db:exec("")))
    local err = failure(db:exec("insert into t values (4); insert into u values (5); nonsense"))
    assert.equal("no such table: u", err.message:match("^[^,]*"))
    assert.equal(4, db:value("select count(*) from t"))
  end)

  it("runs a text of many statements in linear time #heavy", function()
    local lines = {"create table t (a);"}
    for i = 1, 20000 do lines[i + 1] = "insert into t values (" .. i .. ");" end
    local text = table.concat(lines, "\n")
    assert.equal(20000, (db:exec(text)))
    assert.equal(20000, db:value("select max(a) from t"))
  end)

  it("takes comments and blanks behind a statement", function()
    for _, rest in ipairs{";", " ; ", "; -- five", " -- five", ";;\n/* a; b */ -- c\n;", " /* five",
      "--"} do
      assert.equal(5, db:value("select 5" .. rest))
      local five <close> = assert(db:prepare("select 5" .. rest))
      assert.equal(5, five:value())
    end
    assert.matches("only exec takes several statements",
      error_of(db.value, db, "select 5; -- five\nselect 6"))
  end)

  it("finds a statement by its text, wherever that lies", function()
    for i = 1, 300 do
      local text = ("select %d as a, '%s' as b"):format(i % 7, ("x"):rep(i % 3 * 30))
      local row = db:row(text)
      assert.equal(i % 7, row.a)
      assert.equal(i % 3 * 30, #row.b)
      if i % 50 == 0 then collectgarbage() end
    end
  end)

  it("gives a row by the names of its columns", function()
    assert.same({a = 1, B = "two", ["count(*)"] = 1},
      db:row("select 1 as a, 'two' as B, count(*)"))
    assert.same({a = 1}, db:row("select 1 as a union select 2 order by a"))
    assert.is_nil(db:row("select 1 where 0"))
    assert.equal(1, select("#", db:row("select 1 where 0")))
    assert.is_nil(db:value("select 1 where 0"))
    assert.equal(7, db:value("select 7, 8"))
    assert.same({}, db:all("select 1 where 0"))
    assert.same({{n = 1}, {n = 2}}, db:all("select 1 as n union select 2"))
  end)

  it("sees that columns have changed", function()
    db:exec("create table t (a); insert into t values (1)")
    local all = "select * from t"
    assert.same({a = 1}, db:row(all))
    db:exec("alter table t add column b default 2")
    assert.same({a = 1, b = 2}, db:row(all))
    db:exec("alter table t rename column a to c")
    assert.same({{c = 1, b = 2}}, db:all(all))
  end)

  it("inserts and returns", function()
    db:exec("create table t (id integer primary key, a)")
    assert.same({id = 1}, db:row("insert into t (a) values (5), (6) returning id"))
    assert.equal(2, db:value("select count(*) from t"))
    assert.same({{id = 1, a = 7}, {id = 2, a = 8}}, db:all("update t set a = a + 2 returning *"))
  end)

  describe("values", function()
    local function back(value)
      local row = db:row("select ? as v, typeof(?1) as kind", value)
      return row.v, row.kind
    end

    it("come back as they went", function()
      for _, n in ipairs{0, 1, -1, math.maxinteger, math.mininteger, 1 << 53, (1 << 53) + 1} do
        local v, kind = back(n)
        assert.equal("integer", math.type(v))
        assert.equal(n, v)
        assert.equal("integer", kind)
      end
      for _, n in ipairs{0.5, 1.0, -0.1, 1e308, 2^-1074, math.huge, -math.huge} do
        local v, kind = back(n)
        assert.equal("float", math.type(v))
        assert.equal(n, v)
        assert.equal("real", kind)
      end
      assert.same({1, "integer"}, {back(true)})
      assert.same({0, "integer"}, {back(false)})
      assert.same({nil, "null"}, {back(nil)})
      assert.same({nil, "null"}, {back(json.null)})
    end)

    it("are texts and blobs of all bytes", function()
      local bytes = {}
      for i = 0, 255 do bytes[i + 1] = string.char(i) end
      local every = table.concat(bytes)
      for _, s in ipairs{"", "a", "a\0b", "\0", "h\u{e9}", "\xff\xfe invalid", every,
        ("x"):rep(1e6)} do
        assert.same({s, "text"}, {back(s)})
        assert.same({s, "blob"}, {back(sqlite.blob(s))})
      end
      assert.equal(256, db:value("select length(?)", sqlite.blob(every)))
    end)

    it("are given in order, by name and by number", function()
      local three = "select ? as a, ? as b, ? as c"
      assert.same({a = 1, c = 3}, db:row(three, 1, nil, 3))
      assert.same({a = 1, b = 2, c = 3}, db:row(three, {1, 2, 3}))
      assert.same({b = 2}, db:row(three, {[2] = 2}))
      assert.same({a = 1, b = "x", c = 1}, db:row("select :one as a, @two as b, :one as c",
        {one = 1, two = "x"}))
      assert.same({a = 5, b = 6}, db:row("select $x as a, ? as b", {["$x"] = 5, [2] = 6}))
      assert.same({a = 8, b = 9}, db:row("select ?2 as a, ?1 as b", 9, 8))
      assert.same({b = 1}, db:row("select :missing as a, 1 as b", {}))
      assert.same({a = 1, b = 1, c = 2}, db:row("select :x as a, @x as b, ?4 as c",
        {x = 1, [4] = 2}))
      local many = {}
      for i = 1, 20000 do many[i] = i end
      assert.equal(1, db:value("select 20000 in (" .. ("?,"):rep(19999) .. "?)", many))
      assert.same({b = 1}, db:row("select :null as a, 1 as b", {null = json.null}))
    end)

    it("are given by many names in little time #heavy", function()
      local names, values = {}, {}
      for i = 1, 3000 do
        names[i] = ":a_name_" .. i
        values["a_name_" .. i] = i
      end
      assert.equal(4501500, db:value("with v(x) as (values (" .. table.concat(names, "), (")
        .. ")) select sum(x) from v", values))
    end)

    it("are refused when they do not fit", function()
      local function message(...)
        return error_of(function(...) return (db:row(...)) end, ...)
      end
      local at = "sqlite_spec.lua:%d+: row: "
      assert.matches(at .. "the statement has 1 parameter, got 2 values$",
        message("select ?", 1, 2))
      assert.matches(at .. "the statement has 2 parameters, got 0 values$", message("select ?, ?"))
      assert.matches(at .. "the statement has 0 parameters, got 1 value$", message("select 1", nil))
      assert.matches(at .. "the statement has no parameter 'nmae'",
        message("select :name", {nmae = 1}))
      assert.matches(at .. "the statement has no parameter '2'", message("select ?", {1, 2}))
      assert.matches(at .. "the statement has no parameter '0'", message("select ?", {[0] = 1}))
      assert.matches(at .. "the statement has no parameter '1'", message("select :a", {1}))
      local huge = {}
      for i = 1, 1000000 do huge[i] = i end
      assert.matches(at .. "the table has too many values", message("select ?", huge))
      assert.matches(at .. "value 2 cannot be stored: it is a table", message("select ?", 1, {}))
      assert.matches(at .. "value 1 cannot be stored: it is a function", message("select ?", print))
      assert.matches(at .. "value 'f' cannot be stored: it is a userdata",
        message("select :f", {f = io.stdout}))
      assert.matches(at .. "value 1 is NaN, which SQLite cannot store", message("select ?", 0 / 0))
      assert.matches(at .. "values have names or numbers, not a boolean",
        message("select :a", {[true] = 1}))
      assert.matches(at .. "only exec takes several statements", message("select 1; select 2"))
      assert.matches(at .. "there is no statement in the text", message("-- nothing"))
      assert.matches(at .. "the statement must be a string, not a nil", message(nil))
      assert.matches(at .. "the statement has a zero byte in it", message("select 1\0"))
      assert.matches("exec: values go with one statement, here are several",
        error_of(db.exec, db, "select ?; select ?", 1))
      assert.matches("blob: a string was expected, got a nil", error_of(sqlite.blob, nil))
      assert.equal(1, db:value("select 1"))
    end)

    it("stay what they were when the script changes its table meanwhile", function()
      local given = {a = ("x"):rep(100), b = ("y"):rep(100)}
      local t = corun.async(function()
        return db:row("select :a as a, :b as b from (" .. support.numbers(100000) .. ")", given)
      end)
      repeat corun.yield() until t:status() == "waiting"
      given.a, given.b = nil, nil
      collectgarbage()
      assert.same({a = ("x"):rep(100), b = ("y"):rep(100)}, t:await())
    end)
  end)

  describe("rows", function()
    it("come in order, one at a time", function()
      local n = 0
      for row in db:rows(support.numbers(5000)) do
        n = n + 1
        assert.equal(n, row.x)
        assert.equal("row " .. n, row.name)
      end
      assert.equal(5000, n)
    end)

    it("take values", function()
      local seen = {}
      for row in db:rows("select ? as a union all select ?", "first", "second") do
        seen[#seen + 1] = row.a
      end
      assert.same({"first", "second"}, seen)
    end)

    it("stream: a million of them in little memory #heavy", function()
      local function memory()
        return tonumber(assert(fs.read("/proc/self/statm")):match("^%d+ (%d+)")) * 4096
      end
      local n, most, before = 0, 0, memory()
      for row in db:rows(support.numbers(1000000)) do
        n = n + row.x
        if row.x % 10000 == 0 then most = math.max(most, memory()) end
      end
      assert.equal(500000500000, n)
      if not program.is_sanitized() then assert.is_true(most - before < 16e6, most - before) end
    end)

    it("of any length", function()
      local n = 0
      for row in db:rows("select zeroblob(300000) as b from (" .. support.numbers(7) .. ")") do
        assert.equal(300000, #row.b)
        n = n + 1
      end
      assert.equal(7, n)
    end)

    it("let their statement go when the loop ends early", function()
      db:exec("create table t (a)")
      for row in db:rows("select x from (" .. support.numbers(100000) .. ")") do
        if row.x == 3 then break end
      end
      pcall(function()
        for _ in db:rows(support.numbers(100000)) do error("out") end
      end)
      assert.equal(0, (db:exec("drop table t"))) -- refused while a statement is under way
    end)

    it("of several statements at once, of the same text too", function()
      local pairs_of = {}
      for a in db:rows(support.numbers(600)) do
        for b in db:rows(support.numbers(600)) do
          if a.x == b.x then pairs_of[#pairs_of + 1] = a.x end
        end
        if a.x == 20 then break end
      end
      assert.equal(20, #pairs_of)
    end)

    it("go on while other statements run", function()
      db:exec("create table t (a)")
      for row in db:rows(support.numbers(2000)) do
        if row.x % 400 == 0 then db:exec("insert into t values (?)", row.x) end
      end
      assert.same({{a = 400}, {a = 800}, {a = 1200}, {a = 1600}, {a = 2000}},
        db:all("select a from t"))
    end)

    it("raise what failed, at the line of the script", function()
      local err = error_of(function()
        for _ in db:rows("select * from nowhere") do print() end
      end)
      assert.equal("SQLITE_ERROR", err.code)
      assert.matches("sqlite_spec.lua:%d+: rows :memory:: no such table: nowhere", tostring(err))
      local n = 0
      err = error_of(function()
        for row in db:rows("select x, abs(-9223372036854775808 + (x < 1000)) as y from (" ..
          support.numbers(2000) .. ")") do
          n = row.x
        end
      end)
      assert.matches("sqlite_spec.lua:%d+: rows :memory:: integer overflow", tostring(err))
      assert.equal(999, n) -- all rows before the one that failed
    end)

    it("are told to be closed where another task has closed them", function()
      local next_row, rows = db:rows(support.numbers(3000))
      assert.equal(1, next_row(rows).x)
      rows:close()
      rows:close()
      local err = error_of(next_row, rows)
      assert.equal("ECLOSED", err.code)
      assert.matches("rows: the iterator was closed", tostring(err))
    end)

    it("fail as a list where one of them fails", function()
      local list, err = db:all("select x, abs(-9223372036854775808 + (x < 1000)) as y from (" ..
        support.numbers(2000) .. ")")
      assert.is_nil(list)
      assert.matches("integer overflow", tostring(err))
    end)

    it("are asked for by one task at a time", function()
      local next_row, rows = db:rows(support.numbers(3000))
      for _ = 1, 512 do next_row(rows) end -- the first batch
      local first = corun.async(next_row, rows)
      repeat corun.yield() until first:status() == "waiting"
      local err = error_of(next_row, rows)
      assert.equal("EBUSY", err.code)
      assert.equal(513, first:await().x)
      assert.equal(514, next_row(rows).x)
    end)
  end)

  describe("prepared statements", function()
    it("are compiled once and run often", function()
      db:exec("create table t (id integer primary key, a)")
      local put <close> = assert(db:prepare("insert into t (a) values (?)"))
      local get <close> = assert(db:prepare("select * from t where id = :id"))
      for i = 1, 10 do assert.same({1, i}, {put:exec("a" .. i)}) end
      assert.same({id = 4, a = "a4"}, get:row{id = 4})
      assert.equal(5, get:value(5))
      assert.same({{id = 6, a = "a6"}}, get:all(6))
      for row in get:rows(7) do assert.equal("a7", row.a) end
      assert.is_nil(get:row(99))
    end)

    it("are used by many tasks at once, within their own rows too", function()
      local get = assert(db:prepare("select :n as n union all select 100"))
      local sums = corun.map({1, 2, 3, 4, 5}, function(n)
        local sum = 0
        for row in get:rows{n = n} do sum = sum + row.n + get:value{n = n} end
        return sum
      end)
      assert.same({103, 106, 109, 112, 115, n = 5}, sums)
    end)

    it("fail when they are made, and when they are run", function()
      local err = failure(db:prepare("select * from nowhere"))
      assert.equal("prepare", err.op)
      assert.equal("select * from nowhere", err.sql)
      db:exec("create table t (a unique); insert into t values (1)")
      local put = assert(db:prepare("insert into t values (?)"))
      err = failure(put:exec(1))
      assert.equal("SQLITE_CONSTRAINT_UNIQUE", err.extended)
      assert.equal("insert into t values (?)", err.sql)
      assert.matches("the statement has 1 parameter, got 0 values", error_of(put.exec, put))
      put:close()
      put:close()
      err = error_of(put.exec, put, 2)
      assert.equal("ECLOSED", err.code)
      assert.matches("the statement is closed", tostring(err))
    end)

    it("outlive a change of the schema", function()
      db:exec("create table t (a); insert into t values (1)")
      local all = assert(db:prepare("select * from t"))
      assert.same({a = 1}, all:row())
      db:exec("alter table t add column b default 2")
      assert.same({a = 1, b = 2}, all:row())
      db:exec("drop table t")
      assert.equal("SQLITE_ERROR", failure(all:row()).code)
    end)
  end)

  describe("errors", function()
    it("tell code, extended code, statement and place", function()
      local err = failure(db:exec("select * form t"))
      assert.equal("SQLITE_ERROR", err.code)
      assert.equal("exec", err.op)
      assert.equal(":memory:", err.target)
      assert.equal("select * form t", err.sql)
      assert.equal(10, err.offset)
      assert.equal('exec :memory:: near "form": syntax error, at byte 10: form t (SQLITE_ERROR)',
        tostring(err))
      db:exec("create table t (a not null, b check (b > 0), c unique)")
      for extended, sql in pairs{SQLITE_CONSTRAINT_NOTNULL = "insert into t values (null, 1, 1)",
        SQLITE_CONSTRAINT_CHECK = "insert into t values (1, 0, 1)",
        SQLITE_CONSTRAINT_UNIQUE = "insert into t values (1, 1, 1), (1, 1, 1)"} do
        err = failure(db:exec(sql))
        assert.equal("SQLITE_CONSTRAINT", err.code)
        assert.equal(extended, err.extended)
        assert.is_nil(err.retryable)
      end
      err = failure(db:exec("select 1; select * form t"))
      assert.equal(20, err.offset)
    end)

    it("are those of the file", function()
      local path, dir <close> = support.path()
      local err = failure(sqlite.open(dir:path() .. "/none/test.db"))
      assert.equal("SQLITE_CANTOPEN", err.code)
      assert.equal("open", err.op)
      assert.equal("SQLITE_CANTOPEN", failure(sqlite.open(path, {create = false})).code)
      assert.equal("SQLITE_CANTOPEN", failure(sqlite.open(path, {readonly = true})).code)
      assert(fs.write(path, ("this is no database\n"):rep(100)))
      assert.equal("SQLITE_NOTADB", failure(sqlite.open(path)).code)
    end)

    it("tell that a file is damaged", function()
      local path, dir <close> = support.path()
      do
        local file <close> = assert(sqlite.open(path))
        file:exec("create table t (a)")
        file:exec("insert into t select x from (" .. support.numbers(5000) .. ")")
      end
      local bytes = assert(fs.read(path))
      assert(fs.write(path, bytes:sub(1, 4096) .. ("\xff"):rep(#bytes - 4096)))
      local file <close> = assert(sqlite.open(path))
      assert.equal("SQLITE_CORRUPT", failure(file:value("select sum(a) from t")).code)
      assert.equal("SQLITE_CORRUPT", failure(file:all("select * from t")).code)
      assert.is_not_nil(dir)
    end)

    it("tell that there is no room", function()
      local small <close> = support.memory{pragmas = {max_page_count = 10}}
      small:exec("create table t (a)")
      local err = failure(small:exec("insert into t values (zeroblob(100000))"))
      assert.equal("SQLITE_FULL", err.code)
      assert.equal(0, small:value("select count(*) from t"))
    end)

    it("tell that a database is only to be read", function()
      local path, dir <close> = support.path()
      support.python(path, "db.execute('create table t (a)')")
      local file <close> = assert(sqlite.open(path, {readonly = true}))
      assert.equal("SQLITE_READONLY", failure(file:exec("insert into t values (1)")).code)
      assert.equal(0, file:value("select count(*) from t"))
      assert.is_not_nil(dir)
    end)
  end)

  describe("open", function()
    it("takes options and pragmas", function()
      local path, dir <close> = support.path()
      local file <close> = assert(sqlite.open(path, {wal = true, timeout = 1, statements = 0,
        pragmas = {foreign_keys = true, user_version = 7, cache_size = -100}}))
      assert.equal("wal", file:value("pragma journal_mode"))
      assert.equal(1, file:value("pragma synchronous"))
      assert.equal(1, file:value("pragma foreign_keys"))
      assert.equal(7, file:value("pragma user_version"))
      assert.equal(-100, file:value("pragma cache_size"))
      assert.equal(path, file:path())
      assert.equal("sqlite.database: " .. path, tostring(file))
      assert.is_not_nil(dir)
    end)

    it("takes the names of SQLite for a file where it is told to", function()
      local uri <close> = assert(sqlite.open("file::memory:?cache=private", {uri = true}))
      assert.equal(1, uri:value("select 1"))
    end)

    it("refuses what it does not know", function()
      local at = "sqlite_spec.lua:%d+: open: "
      local function message(...)
        return error_of(function(...) return (sqlite.open(...)) end, ...)
      end
      assert.matches(at .. "the path must be a string, not a nil", message())
      assert.matches(at .. "the path has a zero byte in it", message("a\0b"))
      assert.matches(at .. "the options must be a table, not a string", message("", "wal"))
      assert.matches(at .. "unknown option 'readnoly' %(did you mean 'readonly'%?%)",
        message("", {readnoly = true}))
      assert.matches(at .. "option 'wal' must be a boolean, not a string", message("", {wal = "x"}))
      assert.matches(at .. "option 'statements' must be an integer, not a float",
        message("", {statements = 2.5}))
      for _, n in ipairs{-1, 0 / 0, math.huge} do
        assert.matches(at .. "option 'timeout' must be a number from 0 to 2^30, not ",
          message("", {timeout = n}))
      end
      assert.matches(at .. "'a; b' is no name of a pragma", message("", {pragmas = {["a; b"] = 1}}))
      assert.matches(at .. "the pragma 'a' cannot be a table", message("", {pragmas = {a = {}}}))
      assert.matches("a database was expected, got a string", error_of(db.exec, "select 1"))
      assert.matches("unknown option 'tiemout' %(did you mean 'timeout'%?%)",
        message("", {tiemout = 1}))
      assert.matches("unknown option 'pragma' %(did you mean 'pragmas'%?%)",
        message("", {pragma = {}}))
      assert.matches("unknown option 'page_size'$", message("", {page_size = 1}))
      local st = assert(db:prepare("select 1"))
      assert.matches("close: a statement was expected, got a number", error_of(st.close, 5))
      local next_row, rows = db:rows("select 1")
      assert.matches("rows: an iterator of rows was expected, got a nil", error_of(next_row, nil))
      assert.matches("rows: an iterator of rows was expected, got a userdata",
        error_of(rows.close, db))
    end)
  end)

  it("keeps no more statements than it is told to, and works without any", function()
    for _, most in ipairs{0, 1, 3} do
      local few <close> = support.memory{statements = most}
      for round = 1, 3 do
        for i = 1, 10 do assert.equal(i * round, few:value(("select %d * ?"):format(i), round)) end
      end
    end
  end)

  it("never blocks the loop", function()
    local t = corun.async(db.value, db, support.endless)
    for _ = 1, 100 do corun.sleep(0.002) end
    assert.is_false(t:done())
    t:cancel()
    assert.equal("ECANCELED", failure(t:await()).code)
    local ticks = 0
    corun.scope(function(s)
      s:daemon(function()
        for n in corun.every(0.001) do ticks = n end
      end)
      repeat -- many rows: each batch is a step of its own
        local n = 0
        for _ in db:rows(support.numbers(5000)) do n = n + 1 end
        assert.equal(5000, n)
      until ticks > 10
    end)
  end)

  it("serves a thousand tasks on one connection", function()
    db:exec("create table t (id integer primary key, a)")
    local list = {}
    for i = 1, 1000 do list[i] = i end
    local got = corun.map(list, function(i)
      assert(db:exec("insert into t values (?, ?)", i, "a" .. i))
      return db:value("select a from t where id = ?", i)
    end, {limit = 1000})
    for i = 1, 1000 do assert.equal("a" .. i, got[i]) end
    assert.equal(1000, db:value("select count(*) from t"))
  end)

  it("does the statements of a task in order", function()
    db:exec("create table t (a)")
    corun.scope(function(s)
      for i = 1, 20 do
        s:spawn(function()
          for n = 1, 20 do db:exec("insert into t values (?)", i * 100 + n) end
        end)
      end
    end)
    for i = 1, 20 do
      local list = db:all("select a from t where a / 100 = ? order by rowid", i)
      for n = 1, 20 do assert.equal(i * 100 + n, list[n].a) end
    end
  end)

  it("works in a worker", function()
    assert.equal(9223372036854775807, corun.pool.run(function()
      local lite = require "corun.sqlite"
      local inner <close> = assert(lite.open(":memory:"))
      return inner:value("select 9223372036854775807")
    end))
    corun.pool.close()
  end)
end)
