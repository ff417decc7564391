-- SPDX-License-Identifier: MIT
-- Recordings as files, two for each exchange: NAME.rec.json says what was asked and answered, in
-- lines that can be read and compared; NAME.rec.body has the bytes of the answer's body as they
-- came, without chunking, in the coding they came in. No body, no file. Owns nothing; suspends.
local core = require "corun.httpcore"
local fs = require "corun.fs"
local json = require "corun.json"
local task = require "corun.task"
local base64 = require("corun.codec").base64

local files = {}

local FORMAT = 1
local HEAD, BODY = ".rec.json", ".rec.body"

local function broken(path, why, cause)
  return nil, task.err("ERECORDING", "it is no proper recording: " .. why,
    {op = "replay", target = path, cause = cause})
end

---The path of a recording's body.
function files.body_path(path)
  return path:sub(1, -#HEAD - 1) .. BODY
end

---Of its head.
function files.path(dir, name)
  return dir .. "/" .. name .. HEAD
end

---A text that JSON can hold: what is no UTF-8 is written out.
function files.readable(text)
  if utf8.len(text) then return text end
  return (text:gsub("[\x80-\xff]", function(c) return ("\\x%02X"):format(c:byte()) end))
end

-- Of header lines each byte is kept, also where they are no UTF-8.
local function pack(line)
  return utf8.len(line) and line or {base64 = base64.encode(line)}
end

local function unpack_line(line)
  if type(line) == "table" and type(line.base64) == "string" then
    line = base64.decode(line.base64)
  end
  return type(line) == "string" and line or nil
end

-- Reading -----------------------------------------------------------------------------------------

-- What each part must be; answers what is wrong, nil when nothing is.
local function request_fault(r)
  if type(r) ~= "table" then return "it has no request" end
  if type(r.method) ~= "string" or type(r.url) ~= "string" then
    return "its request needs a method and a URL"
  end
  if r.body ~= nil and type(r.body) ~= "string" then return "its request's body is no text" end
  if type(r.headers or {}) ~= "table" then return "its request's headers are no object" end
  for name, value in next, r.headers or {} do
    if type(name) ~= "string" or type(value) ~= "string" then
      return "its request's headers are no texts"
    end
  end
end

-- The status and the block of header lines, as the parser would give them; nil and what is wrong.
local function answer_of(r)
  local line = unpack_line(r.status_line)
  local status = line and line:match("^HTTP/1%.[01] ([2-9]%d%d)%f[ \0]")
  if not status or not core.is_value(line) then
    return nil, "its status_line is none such as \"HTTP/1.1 200 OK\""
  end
  if type(r.headers) ~= "table" then return nil, "its answer has no list of headers" end
  local block = {"\r\n"}
  for i, packed in ipairs(r.headers) do
    local header = unpack_line(packed)
    local name, value = (header or ""):match("^([^:]+)(:.*)$")
    if not name or not core.is_token(name) or not core.is_value(value) then
      return nil, ("header %d of its answer is none such as \"Name: value\""):format(i)
    end
    block[#block + 1] = name:lower() .. value .. "\r\n"
  end
  block[#block + 1] = "\r\n"
  return math.tointeger(status), table.concat(block)
end

local function answer_fault(r)
  if type(r) ~= "table" then return "its response is no object" end
  if r.body_bytes ~= nil and (math.type(r.body_bytes) ~= "integer" or r.body_bytes < 0) then
    return "its body_bytes is no number of bytes"
  end
  local status, block = answer_of(r)
  if not status then return block end
  r.status, r.block = status, block
end

local function fault(doc)
  if type(doc) ~= "table" or doc.corun_recording == nil then
    return "the number of its format (corun_recording) is missing"
  end
  if doc.corun_recording ~= FORMAT then
    return ("its format is %s, and this corun reads %d"):format(tostring(doc.corun_recording),
      FORMAT)
  end
  if math.type(doc.order) ~= "integer" then return "it has no order" end
  local e = doc.error
  if e ~= nil and (type(e) ~= "table" or type(e.code) ~= "string" or type(e.message) ~= "string")
  then
    return "its error needs a code and a message"
  end
  if e == nil and doc.response == nil then return "it has neither a response nor an error" end
  return request_fault(doc.request) or doc.response ~= nil and answer_fault(doc.response) or nil
end

---Read the head of a recording.
---@return table? recording as in the file, with its path; its response has its status and block too
---@return table? err
function files.load(path)
  local text, err = fs.read(path)
  if not text then return broken(path, err.message, err) end
  local doc
  doc, err = json.decode(text)
  if doc == nil then return broken(path, err.message, err) end
  local why = fault(doc)
  if why then return broken(path, why) end
  doc.path, doc.request.headers = path, doc.request.headers or {}
  return doc
end

---The recordings of a directory.
---@return table[]? list
---@return table? err
function files.load_all(dir)
  local names, err = fs.list(dir)
  if not names then return nil, err end
  local list = {}
  for _, name in ipairs(names) do
    if name:sub(-#HEAD) == HEAD then
      local recording
      recording, err = files.load(dir .. "/" .. name)
      if not recording then return nil, err end
      list[#list + 1] = recording
    end
  end
  return list
end

---Open the body of a recording: a file, nil where there is none; or nil and an error.
function files.open_body(recording)
  local path, bytes = files.body_path(recording.path), recording.response.body_bytes
  if bytes == 0 then return nil end
  local file, err = fs.open(path)
  if not file then
    if err.code == "ENOENT" and bytes == nil then return nil end -- written by hand
    return broken(recording.path, err.message, err)
  end
  local st
  st, err = file:stat()
  if st and (not bytes or st.size == bytes) then return file, nil, st.size end
  file:close()
  if not st then return nil, err end
  return broken(recording.path, ("its body has %d bytes, not the %d that were recorded"):format(
    st.size, bytes))
end

-- Writing -----------------------------------------------------------------------------------------

---Take the head of an answer apart, as it came: its first line, and a list of the others.
function files.split(head)
  local first, rest = head:match("^(.-)\r\n(.*)\r\n$")
  local lines = json.array()
  for line in rest:gmatch("(.-)\r\n") do lines[#lines + 1] = line end
  return first, lines
end

---Write a recording, whose body is a text, nil for none, or has been written to its path already.
---It is then as if it were loaded. The head is last, and in one step: without it there is no
---recording, and it knows how long the body is.
---@return boolean? ok
---@return table? err
function files.save(recording, body)
  local path, response = recording.path, recording.response
  local packed
  if response then
    local why = answer_fault(response)
    if why then return broken(path, why) end
    packed = {status_line = pack(response.status_line), headers = json.array(),
      body_bytes = response.body_bytes, cut = response.cut}
    for i, line in ipairs(response.headers) do packed.headers[i] = pack(line) end
  end
  if body and body ~= "" then
    local ok, err = fs.write(files.body_path(path), body)
    if not ok then return nil, err end
  end
  local text = json.encode({
    corun_recording = FORMAT, order = recording.order, request = recording.request,
    response = packed, error = recording.error,
  }, {pretty = true, sort = true})
  return fs.write(path, text .. "\n", {atomic = true})
end

---Remove a recording. One that is gone is no mistake.
function files.remove(path)
  for _, name in ipairs{path, files.body_path(path)} do
    local ok, err = fs.remove(name)
    if not ok and err.code ~= "ENOENT" then return nil, err end
  end
  return true
end

return files
