-- SPDX-License-Identifier: MIT
-- One request over one connection of the session's pool, and what becomes of that connection. In
-- the steady state it allocates the response and nothing else.
local task = require "corun.task"
local response = require "corun.http_response"

local now, sleep, new_response = task.now, task.sleep, response.new

local SURE = 0.001 -- seconds for which a connection that idles is taken for open

-- What a failure on the connection `c` is to the caller; see `try`.
local function failed(request, c, err, gone)
  local connections = c.pool
  if connections.closed and err.code == "ECLOSED" then
    return connections:closed_error(c.origin, err.op)
  end
  return nil, err, gone and c.uses > 0 and request.idempotent
end

-- Send the request, and make a response whose body is still to come.
local function open(request, c, total)
  local status, block, length, gone = c.core:open(request.head, request.body, request.no_body,
    request.read, total, request.max_body)
  if not status then return failed(request, c, block, gone) end
  if length == 0 then -- then it is complete, and the connection free
    local _, _, keep = c.core:piece()
    if keep then c.pool:keep(c) end
    c = nil
  end
  return response.streamed(status, block, length, request.url, c)
end

-- One try. Answers a response; or nil, error, and whether it may be tried over a fresh connection,
-- since the one it met had been closed by the server.
local function try(session, request, deadline, fresh)
  local connections = session.pool
  local c <close>, err = connections:checkout(request.route, deadline, request.connect, fresh)
  if not c then return nil, err end
  if c.uses > 0 and not request.idempotent and now() - c.since > SURE then
    sleep(0) -- let the loop look whether the server has closed it: this cannot be sent twice
    if not c.core:reusable() then return nil, nil, true end
  end
  local total = deadline and math.max(0, deadline - now()) or -1
  if request.stream then return open(request, c, total) end
  local status, block, answer, keep = c.core:exchange(request.head, request.body, request.no_body,
    request.read, total, request.max_body)
  if status then
    if keep then connections:keep(c) end
    return new_response(status, block, answer, request.url)
  end
  return failed(request, c, block, keep)
end

---Send a request and receive the response, until the instant `deadline` at most.
---@param session table
---@param request table
---@param deadline number?
---@return table? res
---@return table? err
return function(session, request, deadline)
  local res, err, again = try(session, request, deadline)
  if again then res, err = try(session, request, deadline, true) end
  return res, err
end
