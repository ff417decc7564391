-- SPDX-License-Identifier: MIT
-- Dates of HTTP in their three forms, and Retry-After; Python's email and time beside them.
local date = require "corun.http_date"
local json = require "corun.json"
local process = require "corun.process"
local retry_after = require "corun.http_retry_after"

local NOW = 1700000000 -- Tue, 14 Nov 2023 22:13:20 GMT

-- Run a Python function f(x) over each item of a list.
local function python(code, list)
  local main = code .. "\nimport json, sys\nsys.stdout.reconfigure(encoding='utf-8')\n" ..
    "print(json.dumps([f(x) for x in json.load(sys.stdin)]))\n"
  local res = assert(process.run({"python3", "-c", main}, {input = json.encode(list)}))
  assert(res.ok, res.stderr)
  return assert(json.decode(res.stdout))
end

describe("http_date", function()
  it("parses the three forms", function()
    for _, text in ipairs{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994"} do
      assert.equal(784111777, date.parse(text), text)
    end
    assert.equal(0, date.parse("Thu, 01 Jan 1970 00:00:00 GMT"))
    assert.equal(-1, date.parse("Wed, 31 Dec 1969 23:59:59 GMT"))
    assert.equal(951782400, date.parse("Tue, 29 Feb 2000 00:00:00 GMT"))
    assert.equal(1483228800, date.parse("Sat, 31 Dec 2016 23:59:60 GMT"))
    assert.equal(253402300799, date.parse("Fri, 31 Dec 9999 23:59:59 GMT"))
  end)

  it("takes two digits for the year that is at most 50 years from now", function()
    local function year(digits, now)
      local t = date.parse(("Sunday, 01-Jan-%s 00:00:00 GMT"):format(digits), now)
      return tonumber(os.date("!%Y", t))
    end
    assert.equal(2073, year("73", NOW))
    assert.equal(1974, year("74", NOW))
    assert.equal(2000, year("00", NOW))
    assert.equal(1999, year("99", NOW))
    assert.equal(2049, year("49", date.parse("Thu, 01 Jan 1999 00:00:00 GMT")))
  end)

  it("refuses what is no date", function()
    for _, text in ipairs{"", "0", "-1", "now", "Sun, 06 Nov 1994 08:49:37", "06 Nov 1994",
      "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994 24:00:00 GMT",
      "Sun, 06 Nov 1994 23:60:00 GMT", "Sun, 06 Nov 1994 23:00:61 GMT",
      "Sun, 00 Nov 1994 08:49:37 GMT", "Wed, 29 Feb 2023 08:49:37 GMT",
      "Thu, 29 Feb 1900 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT",
      "Sun, 06 NOV 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
      " Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov 31 08:49:37 1994"} do
      assert.is_nil(date.parse(text), text)
    end
  end)

  it("writes and reads what Python writes and reads", function()
    local times, state = {0, 951782399, 951782400, 4107542399, 4107542400, NOW}, 3
    for _ = 1, 500 do
      state = state * 6364136223846793005 + 1442695040888963407
      times[#times + 1] = (state >> 33) * 2 -- up to the year 2106
    end
    local theirs = python([[
import email.utils, time
def f(t):
    texts = [email.utils.formatdate(t, usegmt=True), time.asctime(time.gmtime(t)),
             time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(t))]
    assert all(email.utils.mktime_tz(email.utils.parsedate_tz(s)) == t for s in texts[:2])
    return texts
]], times)
    for i, t in ipairs(times) do
      assert.equal(theirs[i][1], date.format(t))
      assert.equal(t, date.parse(theirs[i][1]))
      assert.equal(t, date.parse(theirs[i][2]))
      assert.equal(t, date.parse(theirs[i][3], t))
    end
    assert.equal("Tue, 14 Nov 2023 22:13:20 GMT", date.format(NOW + 0.9))
  end)
end)

describe("http_retry_after", function()
  it("takes seconds and dates", function()
    local cases = {
      {"120", 120}, {" 0 ", 0}, {"1.5", 1.5}, {("9"):rep(400), 1 << 31},
      {date.format(NOW + 60), 60}, {" " .. date.format(NOW + 60) .. " ", 60},
      {date.format(NOW - 60), 0}, {"Tuesday, 14-Nov-23 22:13:21 GMT", 1},
      {nil, nil}, {"", nil}, {"-1", nil}, {"soon", nil}, {"1e3", nil}, {"120 s", nil},
      {"0x10", nil},
    }
    for i = 1, #cases do
      assert.equal(cases[i][2], retry_after(cases[i][1], NOW), cases[i][1])
    end
    assert.is_true(retry_after(date.format(os.time() + 100)) > 90)
  end)
end)
