-- SPDX-License-Identifier: MIT
-- A JSON API with its data in memory: a list of things to do that any number of clients read,
-- change, and follow. What is wrong with a request is said in the answer: {"error": ..., "fields":
-- {name: what it must be}}. The first Ctrl-C, or TERM, lets the requests under way end.
--
--   GET    /todos?after=ID&limit=N     {"todos": [...], "changes": where to follow from}
--   POST   /todos                      {"title": "buy milk", "priority": 1}
--   GET    /todos/ID                   {"id": 1, "title": "buy milk", "priority": 1, "done": false}
--   PATCH  /todos/ID                   {"done": true}
--   DELETE /todos/ID
--   GET    /changes?after=CHANGES      events: created, changed, deleted, each with a todo
--
-- A client reads the list, then follows it from there; it misses nothing, also when it connects
-- again. An event "reset" says that too much has happened meanwhile: read the list anew.
local corun = require "corun"
local codec = require "corun.codec"
local http = require "corun.http"
local json = corun.json

local opt = corun.args{
  listen = {"127.0.0.1:8080", short = "l", value = "ADDRESS"}, log = {false, short = "v"},
  max_todos = {10000, min = 1}, history = {1000, min = 1}, drain = {5.0, min = 0, value = "S"},
  help = {"Serve a list of things to do as a JSON API.", listen = "where: host:port, or unix:/path",
    log = "print a line for each answer", max_todos = "refuse more of them",
    history = "changes that are kept for those who connect again",
    drain = "let requests end for so long at the end"},
}

local MAX_BODY = 64 << 10 -- bytes
local PAGE = 100 -- todos in an answer, unless another limit is asked for

-- Changes -----------------------------------------------------------------------------------------

local run = codec.uuid(7) -- numbers of changes begin anew with each run, so they are named by it
local changes, last = {}, 0 -- the last ones, by number
local news = corun.event() -- set, and replaced, when there are more
local is_stopping = false

local function name_of(number) return ("%s.%d"):format(run, number) end

local function number_of(name)
  local of_run, digits = name:match("^(.*)%.(%d+)$")
  local number = of_run == run and math.tointeger(digits)
  return number and number <= last and number or nil
end

local function wake()
  news:set()
  news = corun.event()
end

local function tell(what, todo)
  last = last + 1
  changes[last] = {event = what, id = name_of(last), data = json.encode(todo)}
  changes[last - opt.history] = nil
  wake()
end

-- Nothing is queued for those who follow: each reads the changes at its own pace, and one that is
-- too slow finds that those it wants are gone.
local function follow(events, req)
  local from = events.last_id or req.query.after
  local seen = last
  if from then seen = number_of(from) or -1 end
  while true do
    while seen < last do
      local change = changes[seen + 1]
      seen = change and seen + 1 or last
      events:event(change or {event = "reset", id = name_of(last), data = {}})
    end
    if is_stopping then return end
    news:wait()
  end
end

-- Todos -------------------------------------------------------------------------------------------

local todos, ids = {}, {} -- by id; the ids in order
local last_id = 0

-- The place in `ids` of the first one that is not below this.
local function place_of(id)
  local low, high = 1, #ids + 1
  while low < high do
    local middle = (low + high) // 2
    if ids[middle] < id then low = middle + 1 else high = middle end
  end
  return low
end

local FIELDS = {
  title = {"must be a text of 1 to 200 characters", function(value)
    local length = type(value) == "string" and utf8.len(value)
    return length and length >= 1 and length <= 200
  end},
  done = {"must be true or false", function(value) return type(value) == "boolean" end},
  priority = {"must be an integer from 1 to 5", function(value)
    return math.type(value) == "integer" and value >= 1 and value <= 5
  end},
}

local function problem(status, message, fields)
  return {status = status, json = {error = message, fields = fields}}
end

-- The fields that a request brings; nil and the answer that says what is wrong with them.
local function read_fields(req)
  local kind = req.headers["content-type"] or ""
  if not kind:lower():find("^application/json%f[;%s\0]") then
    return nil, problem(415, "the body must be JSON, and Content-Type say application/json")
  end
  local value, err = req:json()
  if err then return nil, problem(400, tostring(err.message)) end
  if type(value) ~= "table" or #value > 0 or next(value) == nil then
    return nil, problem(422, "the body must be an object with fields of a todo")
  end
  local wrong = {}
  for name, content in pairs(value) do
    local field = FIELDS[name]
    if not field then
      wrong[name] = "is not known"
    elseif not field[2](content) then
      wrong[name] = field[1]
    end
  end
  if next(wrong) then return nil, problem(422, "some fields are wrong", wrong) end
  return value
end

-- A number in the query.
local function read_number(req, name, default, most)
  local text = req.query[name]
  if not text then return default end
  local n = text:find("^%d+$") and math.tointeger(text)
  if n and n <= most then return n end
  return nil, problem(400, ("%s must be an integer from 0 to %d"):format(name, most))
end

-- Give a handler the todo that its path names.
local function with_todo(handler)
  return function(req)
    local id = req.params.id
    local todo = id:find("^%d+$") and todos[math.tointeger(id)]
    if not todo then return problem(404, "no such todo") end
    return handler(req, todo)
  end
end

-- The API -----------------------------------------------------------------------------------------

local app = http.router{not_found = function() return problem(404, "no such path") end}

app:get("/todos", function(req)
  local after, wrong = read_number(req, "after", 0, math.maxinteger - 1)
  if not after then return wrong end
  local limit
  limit, wrong = read_number(req, "limit", PAGE, 1000)
  if not limit then return wrong end
  local page, first = json.array(), place_of(after + 1)
  for i = first, math.min(first + limit - 1, #ids) do page[#page + 1] = todos[ids[i]] end
  return {json = {todos = page, changes = name_of(last)}}
end)

app:post("/todos", function(req)
  local todo, wrong = read_fields(req)
  if not todo then return wrong end
  if not todo.title then
    return problem(422, "some fields are wrong", {title = "is missing; it " .. FIELDS.title[1]})
  end
  if #ids >= opt.max_todos then return problem(507, "there are too many todos") end
  last_id = last_id + 1
  todo.id, todo.done, todo.priority = last_id, todo.done or false, todo.priority or 3
  todos[last_id], ids[#ids + 1] = todo, last_id
  tell("created", todo)
  return {status = 201, headers = {Location = "/todos/" .. todo.id}, json = todo}
end)

app:get("/todos/:id", with_todo(function(_, todo) return {json = todo} end))

app:patch("/todos/:id", with_todo(function(req, todo)
  local fields, wrong = read_fields(req)
  if not fields then return wrong end
  for name, value in pairs(fields) do todo[name] = value end
  tell("changed", todo)
  return {json = todo}
end))

app:delete("/todos/:id", with_todo(function(_, todo)
  todos[todo.id] = nil
  table.remove(ids, place_of(todo.id))
  tell("deleted", todo)
  return {status = 204}
end))

app:get("/changes", http.sse(follow))

local server, err = http.serve(opt.listen, app, {
  max_body = MAX_BODY,
  log = opt.log and function(entry) print(http.common_log(entry)) end or nil,
})
if not server then
  io.stderr:write("api_server.lua: ", tostring(err), "\n")
  corun.exit(1)
end
local signals <close> = assert(corun.signal("INT", "TERM"))
io.stderr:write(("serving todos at http://%s/todos\n"):format(server:address()))
signals:recv()
is_stopping = true
wake() -- those who follow would hold it up
server:close{drain = opt.drain}
