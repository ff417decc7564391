-- SPDX-License-Identifier: MIT
-- A streamed response that is recorded while it is read: its bytes go into a file on their way to
-- the reader, who gets a response of its own, with the body decoded. Owns the response that it
-- reads from, and the file, which gets its name when the recording is saved. Invariant: what the
-- reader was given is in the file.
local fs = require "corun.fs"
local response = require "corun.http_response"
local task = require "corun.task"

local tap = {}
tap.__index = tap

-- Put a piece into the file. A cancellation must not come between the server and the reader.
local function keep(self, piece)
  return task.shield(function()
    local err
    if not self.file then
      self.file, err = fs.open(self.part, "w")
      if not self.file then return nil, err end
    end
    self.bytes = self.bytes + #piece
    return self.file:write(piece)
  end)
end

-- Close the file and give it its name.
local function settle(self)
  if not self.file then return true end
  local ok, err = self.file:close()
  if not ok then return nil, err end
  return fs.rename(self.part, self.path)
end

-- Nothing is recorded.
local function abandon(self)
  self.over = true
  task.shield(function()
    if self.file then self.file:close() end
    fs.remove(self.part)
  end)
end

-- The recording is as long as it will be: `failure` is what ended the body, `cut` says that its
-- reader did.
local function finish(self, failure, cut)
  if self.over then return true end
  if failure and not self.failures then
    abandon(self)
    return true
  end
  self.over = true
  return task.shield(function()
    local ok, err = settle(self)
    if not ok then return nil, err end
    return self.save(self.bytes, failure, cut)
  end)
end

-- The next piece, as of a connection.
function tap:piece(seconds)
  local inner = self.inner
  local piece, err = inner:recv(nil, {timeout = seconds})
  if err and (err.code == "ETIMEDOUT" or self.over) then return nil, err end
  local ok, why = true, nil
  if piece then ok, why = keep(self, piece) end
  local last = inner.connection == nil
  if ok and err and err.code == "ECLOSED" then -- that was the script
    ok, why = finish(self, nil, true)
  elseif ok and (err or last) then
    ok, why = finish(self, err)
  end
  if not ok then
    abandon(self)
    return nil, why
  end
  if err then return nil, err end
  return piece or "", last, true
end

-- The reader is done with it, as of a pool.
function tap:give_back(_, _, collected)
  self.inner:close()
  if collected and not self.over then
    os.remove(self.part) -- in place, since a finaliser cannot wait
  elseif not collected then
    local ok, err = finish(self, nil, true)
    if not ok then error(err, 0) end
  end
end

---Make the response that a request gets.
---@param inner table the streamed response, not decoded
---@param path string of the file that the body goes into
---@param failures boolean whether a body is recorded that is cut by a failure
---@param save fun(bytes: integer, failure?: table, cut?: boolean): boolean?, table?
---@return table? res
---@return table? err
function tap.open(request, inner, path, failures, save)
  local self = setmetatable({
    inner = inner, path = path, part = path .. ".part", failures = failures, save = save,
    bytes = 0, over = false,
  }, tap)
  local c = {
    began = inner.began, got = inner.got, answered = inner.answered, dialled = inner.dialled,
    uses = inner.dialled and 0 or 1, core = self, pool = self,
  }
  if not inner.connection then -- there is no body
    local ok, err = finish(self)
    if not ok then return nil, err end
  end
  local res, err = response.open(request, inner.status, inner.block, inner.length,
    inner.headers["content-encoding"], c)
  if not res then self:give_back() end
  return res, err
end

return tap
