-- SPDX-License-Identifier: MIT
-- Single-row selects by eight tasks that share one connection. Usage: sqlite.lua sqlite N WARM
-- (the database is sqlite.c's: 10,000 rows in a file in WAL mode).
local corun = require "corun"
local sqlite = require "corun.sqlite"

local ROWS, TASKS = 10000, 8
local n, warm = tonumber(arg[2]), tonumber(arg[3])

local dir <close> = assert(corun.fs.temp{dir = true})
local db <close> = assert(sqlite.open(dir:path() .. "/bench.db", {wal = true}))
assert(db:exec("create table item (id integer primary key, name text, price real)"))
assert(db:transaction(function()
  for i = 1, ROWS do
    assert(db:exec("insert into item values (?, ?, ?)", i, "the item number " .. i, i / 100))
  end
end))

local function select(count)
  local total = 0
  corun.scope(function(s)
    for task = 1, TASKS do
      s:spawn(function()
        for i = task, count, TASKS do
          local row = db:row("select id, name, price from item where id = ?", i * 7919 % ROWS + 1)
          total = total + row.id + #row.name + row.price
        end
      end)
    end
  end)
  return total
end

select(warm)
print "begin"
io.stdout:flush()
local total = select(n)
print "end"
print(("%.2f"):format(total))
