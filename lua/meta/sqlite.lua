-- SPDX-License-Identifier: MIT
-- Types of `require "corun.sqlite"`; see corun.lua beside it.
---@meta corun.sqlite
-- luacheck: no unused

--- Databases of SQLite, each connection on a thread of its own. An extension module: it is there
--- when corun was built where `libsqlite3-dev` is. [The guide](sqlite.md) shows it at work.
---
--- Errors have SQLite's result as their `code` (`"SQLITE_BUSY"`), its extended result as `extended`
--- (`"SQLITE_CONSTRAINT_UNIQUE"`), the statement as `sql` and the place in it as `offset`.
---@class corun.sqlite
---@field version string that of the library
local sqlite = {}

---@class corun.sqlite.options
---@field readonly? boolean nothing can be written (default false)
---@field create? boolean make the file if there is none (default true)
---@field wal? boolean write-ahead log: `journal_mode = WAL`, `synchronous = NORMAL`
---@field timeout? corun.seconds how long to wait for the locks of other connections (5)
---@field pragmas? table<string, string|number|boolean> to be set on opening
---@field statements? integer how many stay compiled (64)
---@field uri? boolean the path may be a `file:` URI (default false)

---@class corun.sqlite.pool_options
---@field readers? integer how many connections read (4)
---@field create? boolean as for `open`
---@field timeout? corun.seconds as for `open`
---@field pragmas? table<string, string|number|boolean> as for `open`
---@field statements? integer as for `open`

---@class corun.sqlite.backup_options
---@field pages? integer how many are copied at once, other statements having their turn then (256)
---@field progress? fun(done: integer, all: integer) called after each time, with numbers of pages

---@alias corun.sqlite.value nil|boolean|integer|number|string|userdata

---@alias corun.sqlite.row table<string, corun.sqlite.value>

--- Open a database.
---
--- - Fails: when there is none or it is damaged: `SQLITE_CANTOPEN`, `SQLITE_NOTADB`.
---@async
---@param path string `":memory:"`: in memory; `""`: in a temporary file
---@param options? corun.sqlite.options
---@return corun.sqlite.database? db
---@return corun.err? err
function sqlite.open(path, options) end

--- Open a database with one connection that writes and several that read, in WAL mode.
---
--- - Fails: as `open`.
---@async
---@param path string
---@param options? corun.sqlite.pool_options
---@return corun.sqlite.pool? pool
---@return corun.err? err
function sqlite.pool(path, options) end

--- Mark a string as a BLOB, to be given as a value; other strings are TEXT.
---@param bytes string
---@return userdata blob
function sqlite.blob(bytes) end

-- ## Databases

--- A database, or a transaction in it. Values for parameters follow the statement, or one table has
--- them by name and number.
---@class corun.sqlite.database
local database = {}

--- Run a statement; without values, all statements of a text.
---
--- - Raises: when the values do not fit, or it begins a transaction and does not end it.
--- - Fails: with SQLite's result.
---@async
---@param sql string
---@param ... any
---@return integer? changes how many rows it has changed
---@return integer|corun.err rowid of the last insert
function database:exec(sql, ...) end

--- The first row of a statement, nil when there is none. A column that is NULL is absent.
---
--- - Raises: when the values do not fit.
--- - Fails: with SQLite's result.
---@async
---@param sql string
---@param ... any
---@return corun.sqlite.row? row
---@return corun.err? err
function database:row(sql, ...) end

--- The first column of the first row, nil when there is none.
---
--- - Raises: when the values do not fit.
--- - Fails: with SQLite's result.
---@async
---@param sql string
---@param ... any
---@return any value
---@return corun.err? err
function database:value(sql, ...) end

--- All rows of a statement, one after the other: `for row in db:rows(sql, ...) do`.
---
--- Few are on their way at any time; the statement ends with the loop.
---
--- - Raises: what failed, at the start and on the way.
---@async
---@param sql string
---@param ... any
---@return fun(rows: userdata): corun.sqlite.row? next
function database:rows(sql, ...) end

--- All rows of a statement, in a list.
---
--- - Raises: when the values do not fit.
--- - Fails: with SQLite's result.
---@async
---@param sql string
---@param ... any
---@return corun.sqlite.row[]? rows
---@return corun.err? err
function database:all(sql, ...) end

--- Compile a statement that stays compiled until it is closed.
---
--- - Fails: with SQLite's result.
---@async
---@param sql string
---@return corun.sqlite.statement? statement
---@return corun.err? err
function database:prepare(sql) end

--- Begin a transaction, or in the one that is open a savepoint (`mode` means nothing then).
--- Statements of tasks that do not belong to it wait for its end. The end of `local tx <close>`
--- rolls it back.
---
--- - Fails: `SQLITE_BUSY`, when another connection holds the lock for too long.
---@async
---@param mode? "deferred"|"immediate"|"exclusive" when a transaction locks (default `"immediate"`)
---@return corun.sqlite.database? tx
---@return corun.err? err
function database:begin(mode) end

--- Call `fn(tx)` in a transaction: committed when it returns, rolled back when it raises, is
--- cancelled, or returns `nil, err`.
---
--- - Raises: what `fn` raised.
--- - Fails: with what `fn` returned, or as `begin` and `commit`.
---@async
---@param fn fun(tx: corun.sqlite.database): ...
---@param mode? "deferred"|"immediate"|"exclusive" as for `begin`
---@return any ... what `fn` returned; `true` if it returned nothing
function database:transaction(fn, mode) end

--- Commit the transaction. Where that fails it is still open.
---
--- - Raises: when it has ended, or one inside of it has not.
--- - Fails: `SQLITE_BUSY`, and other results of SQLite.
---@async
---@return true? ok
---@return corun.err? err
function database:commit() end

--- Roll the transaction back.
---
--- - Raises: when it has ended.
---@async
---@return true ok
function database:rollback() end

--- Copy the database to a file, as it is at one moment, while it is used.
---
--- - Raises: what `progress` raised.
--- - Fails: with SQLite's result; the file is then as it was before.
---@async
---@param path string
---@param options? corun.sqlite.backup_options
---@return true? ok
---@return corun.err? err
function database:backup(path, options) end

--- The path that it was opened by.
---@return string path
function database:path() end

--- Close the database; what still runs in it ends with `ECLOSED`. A transaction is rolled back.
---@async
function database:close() end

-- ## Statements

--- A statement that stays compiled.
---@class corun.sqlite.statement
local statement = {}

--- As `database:exec`.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return integer? changes
---@return integer|corun.err rowid
function statement:exec(...) end

--- As `database:row`.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return corun.sqlite.row? row
---@return corun.err? err
function statement:row(...) end

--- As `database:value`.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return any value
---@return corun.err? err
function statement:value(...) end

--- As `database:rows`.
---
--- - Raises: what failed.
---@async
---@param ... any
---@return fun(rows: userdata): corun.sqlite.row? next
function statement:rows(...) end

--- As `database:all`.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return corun.sqlite.row[]? rows
---@return corun.err? err
function statement:all(...) end

--- Let SQLite forget it.
---
--- - Suspends: no.
function statement:close() end

-- ## Pools

--- One connection that writes, several that read. `row`, `value`, `rows` and `all` are those of
--- `database`, on the reader with the least to do, or the writer inside of a transaction.
---@class corun.sqlite.pool
---@field writer corun.sqlite.database
---@field readers corun.sqlite.database[]
local pool = {}

--- As `database:exec`, on the writer.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return integer? changes
---@return integer|corun.err rowid
function pool:exec(...) end

--- As `database:row`.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return corun.sqlite.row? row
---@return corun.err? err
function pool:row(...) end

--- As `database:value`.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return any value
---@return corun.err? err
function pool:value(...) end

--- As `database:rows`.
---
--- - Raises: what failed.
---@async
---@param ... any
---@return fun(rows: userdata): corun.sqlite.row? next
function pool:rows(...) end

--- As `database:all`.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return corun.sqlite.row[]? rows
---@return corun.err? err
function pool:all(...) end

--- As `database:begin`, on the writer.
---
--- - Fails: `SQLITE_BUSY`.
---@async
---@param ... any
---@return corun.sqlite.database? tx
---@return corun.err? err
function pool:begin(...) end

--- As `database:transaction`, on the writer.
---
--- - Fails: with what the function returned, or as `begin` and `commit`.
---@async
---@param ... any
---@return any ...
function pool:transaction(...) end

--- Call `fn(tx)` in a transaction of a reader: all that it reads is of one state, by `tx`, by the
--- pool, in reads within it and in tasks that it starts. Waits for the first reader that is free.
---
--- - Raises: what `fn` raised.
--- - Fails: with what `fn` returned.
---@async
---@param fn fun(tx: corun.sqlite.database): ...
---@return any ... what `fn` returned; `true` if it returned nothing
function pool:read(fn) end

--- As `database:backup`, by a reader.
---
--- - Fails: with SQLite's result.
---@async
---@param ... any
---@return true? ok
---@return corun.err? err
function pool:backup(...) end

--- The path that it was opened by.
---@return string path
function pool:path() end

--- Close all connections.
---@async
function pool:close() end

return sqlite
