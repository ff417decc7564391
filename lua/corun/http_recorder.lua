-- SPDX-License-Identifier: MIT
-- The option `recorder` of sessions: each try is recorded into a directory, or answered from there
-- without a connection. It is the innermost layer, so that redirects, retries and cookies do when
-- it is replayed what they did when it was recorded. Owns the tape, which is loaded with the first
-- request. Requests may be other tasks' at the same time.
local asked_of = require "corun.http_recorder_request"
local codings = require "corun.http_decode"
local core = require "corun.httpcore"
local files = require "corun.http_recorder_files"
local fs = require "corun.fs"
local options = require "corun.options"
local play = require "corun.http_recorder_play"
local response = require "corun.http_response"
local secrets = require "corun.http_secrets"
local sync = require "corun.sync"
local tap = require "corun.http_recorder_tap"
local tape = require "corun.http_recorder_tape"
local task = require "corun.task"

local recorder = {__name = "http recorder"}
recorder.__index = recorder

local MODES = {auto = true, record = true, replay = true}
local SPEC = {
  mode = "string", match = "function", headers = "table", repeats = "boolean",
  secrets = "boolean|table", filter_request = "function", filter_response = "function",
}
local COMPARED = {"range"} -- headers that choose what is answered

local module = {}

-- Options -----------------------------------------------------------------------------------------

local function read_headers(list)
  local names, known = {}, {}
  for _, from in ipairs{COMPARED, list or {}} do
    for _, name in ipairs(from) do
      if type(name) ~= "string" or not core.is_token(name) then
        options.misuse('option "headers" for recorder must be a list of names', 3)
      end
      name = name:lower()
      if not known[name] then names[#names + 1] = name end
      known[name] = true
    end
  end
  return names
end

---Make a recorder; see lua/meta/http_recorder.lua.
function module.new(dir, o)
  if type(dir) ~= "string" or dir == "" or dir:find("\0", 1, true) then
    options.misuse("recorder needs the path of a directory, got " .. options.show(dir))
  end
  o = options.check(o, "recorder", SPEC)
  local mode = o.mode or "auto"
  if not MODES[mode] then
    options.misuse(('option "mode" for recorder must be "auto", "record" or "replay", got %s')
      :format(options.show(mode)))
  end
  if o.secrets == true then
    options.misuse('option "secrets" for recorder must be a list of names, or false')
  end
  return setmetatable({
    dir = dir, mode = mode, match = o.match, headers = read_headers(o.headers),
    repeats = o.repeats, names = secrets.names(o.secrets), filter_request = o.filter_request,
    filter_response = o.filter_response, loading = sync.mutex(),
  }, recorder)
end

---Read the option of a session. Misuse raises.
function module.read(value)
  if getmetatable(value) ~= recorder then
    options.misuse('option "recorder" for session must be an http.recorder', 4)
  end
  return value
end

function recorder:__tostring()
  return ("http recorder %p (%s, %s)"):format(self, self.mode, self.dir)
end

-- Finding -----------------------------------------------------------------------------------------

-- The tape, loaded; nil and an error when there is a broken recording. No directory is an empty
-- one, but not where it is replayed.
local function load(self)
  if self.tape then return self.tape end
  local _ <close> = self.loading:acquire()
  if self.tape then return self.tape end
  local list, err = files.load_all(self.dir)
  if not list and err.code == "ENOENT" and self.mode ~= "replay" then list = {} end
  if not list then return nil, err end
  self.tape = tape.new(list, self.headers, self.match, self.repeats)
  if self.mode == "record" then self.tape.order = 0 end -- all is recorded anew
  return self.tape
end

local function unrecorded(self, asked, count)
  local why
  if count > 0 then
    why = ("it was recorded %d time%s, and is asked for once more"):format(count,
      count == 1 and "" or "s")
  else
    local nearest = self.tape:nearest(asked)
    why = nearest and "it was not recorded; the nearest is " .. nearest
      or "nothing was recorded in " .. self.dir
  end
  return nil, task.err("EUNRECORDED", why,
    {op = "replay", target = asked.method .. " " .. asked.url})
end

local function check_asked(asked)
  local function check(value)
    if type(value) ~= "string" then
      options.misuse("filter_request must leave a method, a URL, headers and a body that are texts")
    end
    return files.readable(value)
  end
  if type(asked.headers) ~= "table" then check(nil) end
  for name, value in next, asked.headers do asked.headers[check(name)] = check(value) end
  for _, part in ipairs{"method", "url"} do asked[part] = check(asked[part]) end
  if asked.body ~= nil then asked.body = check(asked.body) end
  return asked
end

-- What a request is, to the tape; false when it is not to be recorded; nil and an error.
local function ask(self, request)
  local asked, err = asked_of.of(request, self.names)
  if not asked or not self.filter_request then return asked, err end
  if self.filter_request(asked) == false then return false end
  return check_asked(asked)
end

-- Recording ---------------------------------------------------------------------------------------

-- Make room: the directory, and what was recorded for this request before.
local function prepare(self, asked)
  if not self.made then
    local ok, err = fs.mkdir(self.dir, {parents = true})
    if not ok then return nil, err end
    self.made = true
  end
  if self.mode ~= "record" then return true end
  local _ <close> = self.tape:lock(asked):acquire() -- nobody writes what is being removed
  return task.shield(function()
    for _, old in ipairs(self.tape:forget(asked)) do
      local ok, err = files.remove(old.path)
      if not ok then return nil, err end
    end
    return true
  end)
end

-- The first line and the headers of an answer, without secrets.
local function head_of(self, head)
  local status_line, lines = files.split(head)
  for i, line in ipairs(lines) do
    local name, blank, value = line:match("^([^:]+)(:[ \t]*)(.*)$")
    lines[i] = name .. blank .. secrets.header(self.names, name:lower(), value)
  end
  return {status_line = status_line, headers = lines}
end

local function set_length(lines, length)
  for i = #lines, 1, -1 do
    local name = lines[i]:match("^[^:]*"):lower()
    if name == "content-encoding" then table.remove(lines, i) end
    if name == "content-length" then lines[i] = "Content-Length: " .. length end
  end
end

-- Have the script change what is recorded of an answer. The body, nil for one that is streamed, it
-- sees decoded; one that it changes is kept so.
local function filter(self, asked, answer, body, coding)
  if not self.filter_response then return body end
  local list = body and coding and codings.codings(coding, answer.status)
  local shown = list and codings.whole(body, list) or body
  answer.body = shown
  self.filter_response(answer, asked)
  local given = answer.body
  answer.body = nil
  if given == shown then return body end
  if type(given) ~= "string" or not body then
    options.misuse("filter_response must leave a body that is a string, and none where it got none")
  end
  set_length(answer.headers, #given)
  return given
end

local function error_of(err)
  local function text(value) return type(value) == "string" and files.readable(value) or nil end
  return {code = err.code, message = files.readable(err.message), op = text(err.op),
    target = text(err.target), retryable = err.retryable}
end

-- Write a recording, once it has begun, whatever becomes of the task.
local function save(self, recording, body)
  local ok, err = task.shield(files.save, recording, body)
  if not ok then return nil, err end
  self.tape:add(recording)
  return true
end

-- What a try fails with is what it answers, but for what the script itself has ended.
local function record_failure(self, recording, err)
  if self.mode == "record" and type(err) == "table" and type(err.code) == "string"
    and err.code ~= "ECLOSED" then
    recording.error = error_of(err)
    local ok, why = save(self, recording)
    if not ok then return nil, why end
  end
  return nil, err
end

local function record_whole(self, request, recording, res)
  local answer, body = head_of(self, res.head), res.body
  local coding = res.headers["content-encoding"]
  local kept = filter(self, recording.request, answer, body, coding)
  answer.body_bytes = #kept
  recording.response, res.head = answer, nil
  local ok, err = save(self, recording, kept)
  if not ok then return nil, err end
  if coding and request.decode then return response.decoded(request, res, coding) end
  return res
end

local function record_streamed(self, request, recording, res)
  local answer = head_of(self, res.head)
  filter(self, recording.request, answer)
  recording.response = answer
  return tap.open(request, res, files.body_path(recording.path), self.mode == "record",
    function(bytes, failure, cut)
      answer.body_bytes, answer.cut = bytes, cut
      recording.error = failure and error_of(failure)
      return save(self, recording)
    end)
end

local function record(self, session, request, asked, next)
  local ok, err = prepare(self, asked)
  if not ok then return nil, err end
  local recording, name = self.tape:begin(asked)
  recording.path = files.path(self.dir, name)
  local raw = request:copy()
  raw.raw, raw.decode = true, false
  local res
  res, err = next(session, raw)
  if not res then return record_failure(self, recording, err) end
  if res.input then return record_streamed(self, request, recording, res) end
  return record_whole(self, request, recording, res)
end

---Answer a request from the tape, or send it and record what comes.
function module.layer(session, request, next)
  local self = request.recorder
  local asked, err = ask(self, request)
  if asked == false then return next(session, request) end
  if not asked then return nil, err end
  local ok
  ok, err = load(self)
  if not ok then return nil, err end
  if self.mode == "record" then return record(self, session, request, asked, next) end
  local recording, count = self.tape:take(asked)
  if not recording then
    if self.mode == "auto" then return record(self, session, request, asked, next) end
    return unrecorded(self, asked, count)
  end
  ok, err = asked_of.drain(request.source)
  if not ok then return nil, err end
  return play.outcome(session, request, recording)
end

return module
