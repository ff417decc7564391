-- SPDX-License-Identifier: MIT
-- http.static: the files of a folder. Each is found, checked and, when it is small, read in one
-- operation (corun.fscore fetch); a large one is sent in pieces while it is read. Owns nothing but
-- the file of a request, which is closed with it. Nothing outside the folder is ever answered: a
-- path is refused by its letters first, then by where its name leads to.
local accept = require "corun.http_accept"
local core = require "corun.fscore"
local date = require "corun.http_date"
local fs = require "corun.fs"
local options = require "corun.options"
local requests = require "corun.http_server_request"
local task = require "corun.task"
local types = require "corun.http_types"
local url = require "corun.url"

local now = task.now

local static = {}

local OPTIONS = {
  index = "string|boolean", list = "boolean", hidden = "boolean", precompressed = "boolean",
  cache_control = "string", types = "table", fresh = "duration",
}
local PIECE = 256 << 10
local KEPT = 16 << 20 -- bytes of small files that a handler keeps
local FRESH = 1 -- seconds for which they are answered without another look
local CODINGS = {"zstd", "br", "gzip"} -- those of precompressed files, the best first
local ENDINGS = {gzip = ".gz", br = ".br", zstd = ".zst"}
local BAD = {status = 400, body = "Bad Request\n"}
local NONE = {status = 404, body = "Not Found\n"}
local NO_METHOD = {
  status = 405, body = "Method Not Allowed\n", headers = {Allow = "GET, HEAD, OPTIONS"},
}
local ABSENT = { -- failures that mean: there is nothing to see
  ENOENT = true, ENOTDIR = true, EACCES = true, EPERM = true, ELOOP = true, ENAMETOOLONG = true,
}

-- Paths -----------------------------------------------------------------------------------------

-- The name of a file below the folder that a path means; nil and an answer when it means none.
local function name_of(path, hidden)
  local names = {}
  for segment in path:gmatch("/([^/]*)") do
    local name = url.decode(segment)
    if name == "." or name == ".." or name:find("[/\\%z]") then return nil, BAD end
    if not hidden and name:sub(1, 1) == "." then return nil, NONE end
    names[#names + 1] = name
  end
  for i = 1, #names - 1 do
    if names[i] == "" then return nil, NONE end
  end
  return "/" .. table.concat(names, "/")
end

-- What is known of a file, with its bytes or open unless it is only looked at. Nil for none.
local function fetch(self, name, is_look)
  local kind, data, size, mtime, ino = core.fetch(self.root, self.root .. name, is_look)
  if kind then
    if kind ~= "file" then return kind == "directory" and {kind = kind} or nil end
    return {
      kind = kind, data = data, size = size, mtime = mtime, ino = ino, checked = now(),
      etag = ('"%x-%x-%x"'):format(mtime, size, ino), date = date.format(mtime // 1000000000),
    }
  end
  if data.code == "EBUSY" then data = select(2, fs.realpath(self.root)) or data end
  if ABSENT[data.code] and data.target ~= self.root then return nil end
  error(data, 0)
end

-- Keep the bytes of a small file. When there are too many all are forgotten: those that are wanted
-- come back.
local function keep(self, name, file)
  if type(file.data) ~= "string" or self.fresh == 0 then return end
  self.kept_bytes = self.kept_bytes + #file.data
  if self.kept_bytes > KEPT then self.kept, self.kept_bytes = {}, #file.data end
  self.kept[name] = file
end

local function forget(self, name, file)
  if self.kept[name] ~= file then return end
  self.kept[name], self.kept_bytes = nil, self.kept_bytes - #file.data
end

-- The same as fetch, of what is kept where that is still true.
local function get(self, name, is_look)
  local file = self.kept[name]
  if file then
    if now() - file.checked < self.fresh then return file end
    local seen = fetch(self, name, true)
    if seen and seen.etag == file.etag then
      file.checked = seen.checked
      return file
    end
    forget(self, name, file)
  end
  file = fetch(self, name, is_look)
  if file then keep(self, name, file) end
  return file
end

-- The file, or that of those beside it, compressed, which the client likes best; and its coding.
local function find(self, req, name, is_look)
  if self.precompressed and types.is_compressible(types.of(name, self.types)) then
    for _, coding in ipairs(accept.codings(req.headers["accept-encoding"], CODINGS)) do
      local file = get(self, name .. ENDINGS[coding], is_look)
      if file and file.kind == "file" then return file, coding end
    end
  end
  return get(self, name, is_look)
end

-- Conditions (RFC 9110, 13) ---------------------------------------------------------------------

-- Whether a list of entity tags has this one; with `weakly` those that are weak count too.
local function has_tag(list, etag, weakly)
  if list:match("^%s*%*%s*$") then return true end
  for weak, tag in list:gmatch('(W?/?)("[^"]*")') do
    if tag == etag and (weakly or weak == "") then return true end
  end
  return false
end

-- Whether the file was changed after the date of a header; nil when that is no date.
local function is_newer(file, text)
  local seconds = date.parse(text)
  if not seconds then return nil end
  return file.mtime // 1000000000 > seconds
end

-- The status that the conditions of a request make of 200.
local function condition(headers, file)
  local match, since = headers["if-match"], headers["if-unmodified-since"]
  if match then
    if not has_tag(match, file.etag, false) then return 412 end
  elseif since and is_newer(file, since) then
    return 412
  end
  local none = headers["if-none-match"]
  if none then return has_tag(none, file.etag, true) and 304 or 200 end
  since = headers["if-modified-since"]
  return since and is_newer(file, since) == false and 304 or 200
end

-- The number that digits write; nil for none.
local function place(digits)
  if digits == "" then return nil end
  return math.tointeger(tonumber(digits)) or math.maxinteger
end

-- The part that a client wants: its first byte and the length; nil for all, false for one that is
-- not there. Of several parts all is sent.
local function range_of(headers, file)
  local first, last = (headers.range or ""):match("^%s*[bB][yY][tT][eE][sS]=(%d*)%-(%d*)%s*$")
  if not first or first == "" and last == "" then return nil end
  local unless = headers["if-range"]
  if unless and unless ~= file.etag and unless ~= file.date then return nil end
  first, last = place(first), place(last)
  local size = file.size
  if not first then
    if not last or last == 0 or size == 0 then return false end
    return math.max(0, size - last), math.min(last, size)
  end
  if last and last < first then return nil end
  if first >= size then return false end
  return first, math.min(last or size, size - 1) - first + 1
end

-- Answers ---------------------------------------------------------------------------------------

-- Write a part of an open file.
local function copy(writer, file, start, left)
  if start > 0 then assert(file:seek("set", start)) end
  while left > 0 do
    local piece, err = file:recv(math.min(PIECE, left))
    if not piece then error(err or "the file has become shorter", 0) end
    writer:write(piece)
    left = left - #piece
  end
end

-- Give an answer its body: the bytes from `start` on, `length` of them.
local function fill(answer, req, file, start, length)
  local data = file.data
  if req.method == "HEAD" or type(data) ~= "userdata" then
    if not data then -- it was looked at only: what is announced is never sent
      answer.stream, answer.length = function() end, length
    elseif length == #data then
      answer.body = data
    else
      answer.body = data:sub(start + 1, start + length)
    end
    return answer
  end
  answer.length = length
  answer.stream = function(writer) copy(writer, data, start, length) end
  return answer
end

local function headers_of(self, name, file, coding)
  return {
    ["Content-Type"] = types.of(name, self.types), ["Last-Modified"] = file.date,
    ETag = file.etag, ["Accept-Ranges"] = "bytes", ["Cache-Control"] = self.cache_control,
    ["Content-Encoding"] = coding, Vary = self.precompressed and "Accept-Encoding" or nil,
  }
end

-- Whether a request asks for anything but the whole file.
local function is_conditional(headers)
  return headers["if-none-match"] or headers["if-modified-since"] or headers["if-match"]
    or headers["if-unmodified-since"]
end

-- Answer with a file that was looked at, or fetched.
local function send(self, req, name, file, coding)
  local headers = req.headers
  local out = headers_of(self, name, file, coding)
  local status = condition(headers, file)
  if status == 304 then return {status = 304, headers = out} end
  if status == 412 then return {status = 412, body = "Precondition Failed\n"} end
  local start, length = nil, nil
  if req.method == "GET" then start, length = range_of(headers, file) end
  if start == false then
    return {status = 416, headers = {["Content-Range"] = "bytes */" .. file.size},
      body = "Range Not Satisfiable\n"}
  end
  local answer = {status = start and 206 or 200, headers = out}
  if start then
    out["Content-Range"] = ("bytes %d-%d/%d"):format(start, start + length - 1, file.size)
  end
  return fill(answer, req, file, start or 0, length or file.size)
end

-- Answer with a file. Where the answer may have no body it is looked at before it is opened.
local function send_file(self, req, name)
  local is_look = req.method == "HEAD" or is_conditional(req.headers) ~= nil
  local file, coding = find(self, req, name, is_look)
  if not file or file.kind == "directory" then return file or NONE end
  local answer = send(self, req, name, file, coding)
  if answer.stream and not file.data and req.method == "GET" then -- the body is wanted
    file, coding = find(self, req, name, false)
    if not file or file.kind == "directory" then return NONE end
    answer = send(self, req, name, file, coding)
  end
  if type(file.data) == "userdata" then requests.keep(req, file.data) end
  return answer
end

-- Folders ---------------------------------------------------------------------------------------

local ESCAPES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;"}

-- The page that lists a folder.
local function list_page(self, name)
  local names, kinds = fs.list(self.root .. name)
  if not names then return NONE end
  local out = {"<!doctype html>\n<meta charset=\"utf-8\">\n<title>Index</title>\n<ul>\n"}
  for i, entry in ipairs(names) do
    if self.hidden or entry:sub(1, 1) ~= "." then
      local slash = kinds[i] == "directory" and "/" or ""
      out[#out + 1] = ('<li><a href="./%s%s">%s%s</a>\n'):format(url.encode(entry), slash,
        entry:gsub('[&<>"]', ESCAPES), slash)
    end
  end
  out[#out + 1] = "</ul>\n"
  return {headers = {["Content-Type"] = "text/html; charset=utf-8"}, body = table.concat(out)}
end

-- The path of a request as it was sent, and its query.
local function split(target)
  return target:gsub("^%a[^/?]*://[^/?]*", "", 1):match("^([^?]*)(.*)$")
end

-- Lead a client to the path with a slash at its end, so that the page's own links are right.
local function add_slash(req)
  local path, query = split(req.target)
  path = path:gsub("^/[/\\]*", "/"):gsub("\\", "%%5C") -- two slashes would lead to another host
  return {status = 308, headers = {Location = path .. "/" .. query}}
end

-- Answer with the index of the folder that `name` is, "/" at its end.
local function send_folder(self, req, name)
  if self.index then
    local answer = send_file(self, req, name .. self.index)
    if answer ~= NONE and answer.kind ~= "directory" then return answer end
  end
  if not self.list then return NONE end
  local folder = fetch(self, name, true)
  return folder and folder.kind == "directory" and list_page(self, name) or NONE
end

local function handle(self, req)
  local method = req.method
  if method ~= "GET" and method ~= "HEAD" then
    if method == "OPTIONS" then return {status = 204, headers = NO_METHOD.headers} end
    return NO_METHOD
  end
  local path = split(req.target)
  local name, refusal = name_of(req.subpath or path == "" and "/" or path, self.hidden)
  if not name then return refusal end
  if name:sub(-1) == "/" then -- the folder itself may be mounted at a path without one
    return path:find("[^/]$") and add_slash(req) or send_folder(self, req, name)
  end
  local answer = send_file(self, req, name)
  return answer.kind == "directory" and add_slash(req) or answer
end

---Make a handler of the files in a folder; see lua/meta/http_kit.lua.
---@param root string
---@param o table?
function static.static(root, o)
  if type(root) ~= "string" or root == "" or root:find("%z") then
    options.misuse("static needs the path of a folder, got " .. options.show(root))
  end
  o = options.check(o, "static", OPTIONS)
  for ending, kind in pairs(o.types or {}) do
    if type(kind) ~= "string" then
      options.misuse(('option "types" for static must have strings, got %s for %s'):format(
        options.show(kind), tostring(ending)))
    end
  end
  local self = {
    root = #root > 1 and root:gsub("/+$", "") or root, index = "index.html", list = o.list,
    hidden = o.hidden, precompressed = o.precompressed, cache_control = o.cache_control,
    types = o.types, fresh = o.fresh or FRESH, kept = {}, kept_bytes = 0,
  }
  if type(o.index) == "string" then self.index = o.index end
  if o.index == false then self.index = nil end
  return function(req) return handle(self, req) end
end

return static
