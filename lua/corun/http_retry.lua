-- SPDX-License-Identifier: MIT
-- Retries (S43): which requests are sent again, after which answers and failures, and how long the
-- pauses are. The numbers of the pauses are those of corun.backoff; a pause holds no connection.
-- Owns nothing.
local backoff = require "corun.backoff"
local core = require "corun.httpcore"
local date = require "corun.http_date"
local method_of = require("corun.http_message").method
local options = require "corun.options"
local policies = require "corun.http_policies"
local retry_after = require "corun.http_retry_after"
local task = require "corun.task"

local now = task.now

local retry = {}

local TRIES, MIN, PATIENCE = 4, 0.5, 60
local STATUSES = {429, 502, 503, 504}
local SPEC = {
  tries = "count", on = "table", methods = "table", min = "duration", max = "duration",
  factor = "number", jitter = "number", retry_after = "duration|boolean",
}

local function misuse(message, ...)
  options.misuse(message:format(...), 4)
end

local function statuses(list)
  local set = {}
  for _, status in ipairs(list) do
    if not (math.type(status) and math.tointeger(status)) or status < 100 or status > 599 then
      misuse('option "on" for retries must be a list of statuses, got %s', options.show(status))
    end
    set[math.tointeger(status)] = true
  end
  return set
end

local function methods(list)
  local set = {}
  for _, method in ipairs(list) do
    if type(method) ~= "string" or not core.is_token(method) then
      misuse('option "methods" for retries must be a list of methods, got %s', options.show(method))
    end
    set[method_of(method)] = true
  end
  return set
end

-- The longest Retry-After that is waited for; negative: the header is not looked at.
local function patience(value)
  if value == nil or value == true then return PATIENCE end
  return value or -1
end

---Read the option: so many retries, true for 3, or a table.
function retry.read(value)
  if value == 0 then return false end
  local o = value
  if type(value) == "number" then
    if value < 0 or not math.tointeger(value) then
      options.misuse(('option "retries" must be an integer, 0 or more, got %s'):format(value))
    end
    o = {tries = value == math.maxinteger and value or value + 1}
  elseif value == true then
    o = {}
  end
  options.check(o, "retries", SPEC)
  return {
    tries = o.tries or TRIES, on = statuses(o.on or STATUSES),
    methods = o.methods and methods(o.methods), patience = patience(o.retry_after),
    pauses = backoff{
      min = o.min or math.min(MIN, o.max or MIN), max = o.max, factor = o.factor, jitter = o.jitter,
    },
  }
end

local function may_repeat(policy, request)
  if policy.methods then return policy.methods[request.method] end
  return request.idempotent
end

-- The pause before the next try, at least `pause` seconds; nil when this outcome is the last.
local function next_pause(policy, pause, res, err)
  if err then return err.retryable and pause end
  if not policy.on[res.status] or res.is_final then return nil end
  local headers = res.headers
  local asked = policy.patience >= 0
    and retry_after(headers["retry-after"], date.parse(headers.date or ""))
  if not asked then return pause end
  return asked <= policy.patience and math.max(asked, pause) or nil
end

---Send a request again while that may help and time is left.
function retry.layer(session, request, next)
  local policy = request.retries
  if not may_repeat(policy, request) then return next(session, request) end
  local pauses = policy.pauses
  local delay, tries = pauses.min, 1
  while true do
    local res, err = next(session, request)
    local pause = tries < policy.tries and
      next_pause(policy, delay * (1 - pauses.jitter * math.random()), res, err)
    if not pause or request.deadline and now() + pause >= request.deadline or not request:rewind()
    then
      return res, err
    end
    if res then policies.discard(res) end
    session.counts.retries = session.counts.retries + 1
    session.pool:pause(pause)
    delay = math.min(delay * pauses.factor, pauses.max)
    tries = tries + 1
  end
end

return retry
