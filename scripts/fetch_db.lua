-- SPDX-License-Identifier: MIT
-- Fetch the URLs on standard input, so many at once, into a table of an SQLite database, with what
-- went wrong where something did. Run again, it fetches only what is missing. All tasks share one
-- connection, and none waits for the disk.
local corun = require "corun"
local http = require "corun.http"
local sqlite = require "corun.sqlite"

local opt = corun.args{
  limit = {16, min = 1}, timeout = {30.0, min = 0}, "DATABASE",
  help = {"Fetch URLs into a table of an SQLite database.", limit = "requests at once",
    timeout = "seconds for each", DATABASE = "the file, made if there is none"},
}

local db <close> = assert(sqlite.open(opt.database, {wal = true}))
assert(db:exec[[
  create table if not exists page (url text primary key, status integer, type text, body blob,
    error text, fetched text default current_timestamp)]])

local function fetch(url)
  local res, err = http.get(url, {timeout = opt.timeout, check = true})
  assert(db:exec("insert or replace into page (url, status, type, body, error) " ..
    "values (:url, :status, :type, :body, :error)", {
      url = url, error = err and tostring(err), status = res and res.status or err.status,
      type = res and res.headers["content-type"], body = res and sqlite.blob(res.body),
    }))
  return res ~= nil
end

local missing, seen = {}, {}
for url in corun.stdin:lines() do
  if url:find("%S") and not seen[url] and
    not db:value("select 1 from page where url = ? and error is null", url) then
    missing[#missing + 1] = url
  end
  seen[url] = true
end

local failed = 0
for url, ok in corun.progress(corun.each(missing, fetch, {limit = opt.limit}), {label = "pages"}) do
  if not ok then
    failed = failed + 1
    io.stderr:write(db:value("select error from page where url = ?", url), "\n")
  end
end
print(("%d fetched, %d failed; %d pages, %d bytes in %s"):format(#missing - failed, failed,
  db:value("select count(*) from page where error is null"),
  db:value("select coalesce(sum(length(body)), 0) from page"), opt.database))
corun.exit(failed > 0 and 1 or 0)
