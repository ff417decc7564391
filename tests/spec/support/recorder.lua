-- SPDX-License-Identifier: MIT
-- For specs of recorders: folders, what is in them, whole sessions that record and replay, and a
-- network that must not be touched.
local corun = require "corun"
local http = require "corun.http"
local netcore = require "corun.netcore"
local files = dofile("tests/spec/support/files.lua")

local recorder = {files = files}

---A folder that is removed when the block ends, and the path of one in it that is not there yet.
function recorder.folder()
  local dir, path = files.folder()
  return dir, path .. "/recordings"
end

---All files of a folder, by name.
function recorder.contents(path)
  local all = {}
  for _, name in ipairs(corun.fs.list(path) or {}) do all[name] = files.get(path .. "/" .. name) end
  return all
end

---The only file of a folder whose name ends so: its path and what is in it.
function recorder.only(path, ending)
  local found
  for name in pairs(recorder.contents(path)) do
    if name:sub(-#ending) == ending then
      assert(not found, "there are several: " .. name)
      found = path .. "/" .. name
    end
  end
  return found, found and files.get(found)
end

---How many exchanges are recorded in a folder.
function recorder.count(path)
  local n = 0
  for name in pairs(recorder.contents(path)) do
    assert(not name:find("part$"), name .. " was left")
    if name:find("%.rec%.json$") then n = n + 1 end
  end
  return n
end

---Run `fn(session)` with a session that has a recorder in this mode, with its options `o`, and
---those of the session.
function recorder.with(path, mode, fn, o, session_options)
  local all, own = {mode = mode}, {}
  for k, v in pairs(o or {}) do all[k] = v end
  for k, v in pairs(session_options or {}) do own[k] = v end
  own.recorder = http.recorder(path, all)
  local s <close> = http.session(own)
  return fn(s)
end

---The same, replaying, while connecting and resolving fail the test.
function recorder.offline(path, fn, o, session_options)
  local kept = {}
  for _, name in ipairs{"connect", "resolve"} do
    kept[name] = netcore[name]
    assert(kept[name])
    netcore[name] = function() error("the network was touched: " .. name, 0) end
  end
  local _ <close> = corun.defer(function()
    for name, value in pairs(kept) do netcore[name] = value end
  end)
  return recorder.with(path, "replay", function(s)
    local results = table.pack(fn(s))
    local stats = s:stats()
    assert(stats.connects == 0 and stats.requests == 0, "a connection was made")
    return table.unpack(results, 1, results.n)
  end, o, session_options)
end

---All that a response tells, to be compared.
function recorder.told(res, err)
  if not res then return {error = tostring(err), code = err.code, retryable = err.retryable} end
  local told = {status = res.status, url = res.url, block = res.block, ok = res.ok,
    headers = setmetatable(res.headers, nil), links = res.links, history = #res.history}
  if res.input then
    told.length = res.length
    local body, why = res:read("a")
    told.body, told.error = body, why and tostring(why)
    res:close()
  else
    told.body, told.text = res.body, res:text()
    told.json = (res.headers["content-type"] or ""):find("json", 1, true) and res:json() or nil
  end
  return told
end

return recorder
