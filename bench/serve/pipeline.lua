-- SPDX-License-Identifier: MIT
-- For wrk: 16 requests at a time on each connection.
-- luacheck: globals wrk init request
local requests

function init() requests = wrk.format("GET", "/"):rep(16) end

function request() return requests end
