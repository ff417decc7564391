-- SPDX-License-Identifier: MIT
-- For specs of corun.sqlite: databases in folders of their own, other processes that use them, and
-- what the loop does meanwhile.
local fs = require "corun.fs"
local process = require "corun.process"
local sqlite = require "corun.sqlite"

local support = {}

---The path of a database in a new folder, which is removed when the closable is closed.
function support.path()
  local dir = assert(fs.temp{dir = true, prefix = "corun-spec-"})
  return dir:path() .. "/test.db", dir
end

---A statement that runs for ever.
support.endless = "with recursive c(x) as (values(1) union all select x + 1 from c) " ..
  "select count(*) from c"

---A statement with the numbers from 1 to n as rows.
function support.numbers(n)
  return ("with recursive c(x) as (values(1) union all select x + 1 from c where x < %d) " ..
    "select x, 'row ' || x as name from c"):format(n)
end

---Python code with the database at `path` as `db`, run to its end; its output.
function support.python(path, code)
  local r = assert(process.run{"/usr/bin/python3", "-c",
    "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n" .. code, path,
    stderr = "stdout"})
  assert(r.code == 0, r.stdout)
  return r.stdout
end

---A process that holds a write lock on the database until the closable is closed.
function support.locker(path)
  local child = assert(process.spawn{"/usr/bin/python3", "-u", "-c", [[
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("begin exclusive")
print("locked")
sys.stdin.read()
db.execute("rollback")
print("free")]], path, stdout = "pipe"})
  assert(child.stdout:read("l") == "locked")
  local is_free
  local function free()
    if is_free then return end
    is_free = true
    child.stdin:close()
    child:wait()
    child:close()
  end
  return setmetatable({free = free}, {__close = free})
end

---A database in memory.
function support.memory(options)
  return assert(sqlite.open(":memory:", options))
end

return support
