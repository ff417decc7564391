-- SPDX-License-Identifier: MIT
-- One request over one connection of the session's pool, and what becomes of that connection. In
-- the steady state it allocates the response and nothing else.
local task = require "corun.task"
local response = require("corun.http_response").new

local now, sleep = task.now, task.sleep

local SURE = 0.001 -- seconds for which a connection that idles is taken for open

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
  local status, block, answer, keep = c.core:exchange(request.head, request.body, request.no_body,
    request.read, total, request.max_body)
  if status then
    if keep then connections:keep(c) end
    return response(status, block, answer, request.url)
  end
  if connections.closed and block.code == "ECLOSED" then
    return connections:closed_error(c.origin, block.op)
  end
  return nil, block, keep and c.uses > 0 and request.idempotent
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
