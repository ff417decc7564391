-- SPDX-License-Identifier: MIT
-- scripts/scrape_api.lua and scripts/link_check.lua, run in children against servers of ours.

local corun = require "corun"
local http = require "corun.http"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")

local csv, fs, json = corun.csv, corun.fs, corun.json

local function run(script, ...)
  return assert(process.run({program.path, "scripts/" .. script .. ".lua", ...}, {timeout = 60}))
end

local function scrape(...) return run("scrape_api", ...) end

local function check(...) return run("link_check", "--quiet", ...) end

-- Serve what answer(req) gives while fn(url) runs.
local function serving(answer, fn)
  local server <close> = assert(http.serve("127.0.0.1:0", answer))
  fn("http://" .. server:address())
  server:close()
end

local function in_folder(fn)
  local dir <close> = assert(fs.temp{dir = true})
  fn(dir:path())
end

-- The items of pages 1 to 5, three on each but the last, which has one.
local LAST = 5
local function items_of(page)
  local items = json.array()
  if page <= LAST then
    for i = 1, page < LAST and 3 or 1 do
      items[i] = {id = page * 10 + i, owner = {name = "owner, " .. page}, tags = {"a"}}
    end
  end
  return items
end

local function all_ids()
  local ids = {}
  for page = 1, LAST do
    for _, item in ipairs(items_of(page)) do ids[#ids + 1] = item.id end
  end
  return ids
end

local function ids_in(path)
  local ids = {}
  for item in json.lines(assert(fs.read(path))) do ids[#ids + 1] = item.id end
  return ids
end

-- An API with every style of paging at once.
local function api(req)
  local page = math.tointeger(tonumber(req.query.page or req.query.cursor or 1))
  if req.query.skip then page = (tonumber(req.query.skip) + 2) // 3 + 1 end
  local following = page < LAST and page + 1 or nil
  return {
    json = {data = items_of(page), page = {cursor = following or json.null, count = 13,
      next = following and "?page=" .. following}},
    headers = {Link = following and ("<?page=%d>; rel=next"):format(following)},
  }
end

describe("scripts/scrape_api.lua", function()
  it("follows every style of paging, to JSON lines and CSV", function()
    serving(api, function(url)
      in_folder(function(dir)
        for i, style in ipairs{{}, {"--page=page"}, {"--offset=skip"}, {"--next=page.next"},
          {"--next=page.cursor", "--cursor=cursor"}} do
          local path = ("%s/%d.jsonl"):format(dir, i)
          local r = scrape("--items=data", "--output=" .. path, url, table.unpack(style))
          assert.equal(0, r.code, r.stderr)
          assert.same(all_ids(), ids_in(path))
        end
        local path = dir .. "/out.csv"
        local r = scrape("--items=data", "--fields=id,owner.name,tags,none", "-o", path, url)
        assert.equal(0, r.code, r.stderr)
        local rows = assert(csv.decode(assert(fs.read(path)), {header = true}))
        assert.equal(13, #rows)
        assert.same({id = "51", ["owner.name"] = "owner, 5", tags = '["a"]', none = ""}, rows[13])
        assert.same({"1.jsonl", "2.jsonl", "3.jsonl", "4.jsonl", "5.jsonl", "out.csv"},
          (function(list) table.sort(list) return list end)(assert(fs.list(dir))))
      end)
    end)
  end)

  it("tries again what is busy, as late as it is told, and sums up", function()
    local refused = {}
    local function busy(req)
      local page = req.query.page or "1"
      if not refused[page] and (page == "2" or page == "4") then
        refused[page] = true
        return {status = page == "2" and 429 or 503, headers = {["Retry-After"] = "0"}}
      end
      return api(req)
    end
    serving(busy, function(url)
      local r = scrape("--items=data", "--total=page.count", "--rate=1000", "--fields=id", url)
      assert.equal(0, r.code, r.stderr)
      assert.equal('{"id":11}\n', r.stdout:match("^[^\n]*\n"))
      assert.equal(13, select(2, r.stdout:gsub("\n", "")))
      assert.matches("items: 13/13 %(100%%%), [^\n]+\n13 items on 5 pages\n"
        .. "answers: 5 x 200; 2 retries\nbytes: %d.%d kB received, %d+ B sent\n"
        .. "time: p50 %d+%.%d ms, p99 %d+%.%d ms, %d+%.%d s in all\n$", r.stderr)
      r = scrape("--items=data", "--quiet", "--max-pages=2", url)
      assert.equal(6, select(2, r.stdout:gsub("\n", "")))
      assert.equal("", r.stderr)
    end)
  end)

  it("ends without a word when nobody reads what it prints", function()
    serving(function(req)
      local n = math.tointeger(tonumber(req.query.page)) or 1
      return {json = json.array{n}, headers = {Link = ("<?page=%d>; rel=next"):format(n + 1)}}
    end, function(url)
      local r = assert(process.run({program.path, url, shell = '("$1" scripts/scrape_api.lua '
        .. '-q "$2"; echo "status $?" >&2) | head -n 2'}, {timeout = 60}))
      assert.equal("1\n2\n", r.stdout)
      assert.equal("status 141\n", r.stderr)
    end)
  end)

  it("--rate holds from the first request on", function()
    local times = {}
    serving(function(req)
      times[#times + 1] = corun.now()
      return api(req)
    end, function(url)
      local r = scrape("--items=data", "--quiet", "--rate=5", url)
      assert.equal(0, r.code, r.stderr)
      assert.equal(5, #times)
      assert.is_true(times[5] - times[1] > 0.4, times[5] - times[1]) -- 0.8; a late start aside
    end)
  end)

  it("killed again and again it has every item once", function()
    local reached, hold = corun.channel(10), 0
    serving(function(req)
      local page = tonumber(req.query.page or 1)
      if page == hold then
        reached:send(page)
        corun.sleep(60)
      end
      return api(req)
    end, function(url)
      in_folder(function(dir)
        local path = dir .. "/out.jsonl"
        local command = {program.path, "scripts/scrape_api.lua", "-q", "-i", "data", "-o", path,
          url}
        for page = 2, LAST do
          hold = page
          local p <close> = assert(process.spawn(command))
          assert.equal(page, reached:recv())
          p:kill("KILL")
          assert.equal("SIGKILL", p:wait().signal)
          assert.is_nil((fs.read(path)))
          -- as if it had been in the middle of the next page
          assert(fs.write(path .. ".part", ('{"id":99}\n'):rep(99), {append = true}))
        end
        hold = 0
        local r = scrape("-i", "data", "-o", path, url)
        assert.equal(0, r.code, r.stderr)
        assert.matches("\n13 items on 5 pages in ", r.stderr, 1, true)
        assert.matches("\nanswers: 1 x 200; ", r.stderr, 1, true)
        assert.same(all_ids(), ids_in(path))
        assert.same({"out.jsonl"}, assert(fs.list(dir)))
      end)
    end)
  end)

  it("killed before it could tidy up it is done", function()
    in_folder(function(dir)
      local path, reached = dir .. "/out.jsonl", corun.channel(1)
      local hold = true
      serving(function(req)
        if req.query.page == "2" and hold then
          reached:send(true)
          corun.sleep(60)
        end
        return api(req)
      end, function(url)
        local p <close> = assert(process.spawn({program.path, "scripts/scrape_api.lua", "-q", "-i",
          "data", "-o", path, url}))
        reached:recv()
        p:kill("KILL")
        p:wait()
        hold = false
        local state = assert(json.decode(assert(fs.read(path .. ".state"))))
        state.done = true
        for _, renamed in ipairs{false, true} do
          assert(fs.write(path .. ".state", json.encode(state)))
          if renamed then assert.is_nil((fs.read(path .. ".part"))) end
          local r = scrape("-i", "data", "-o", path, url)
          assert.equal(0, r.code, r.stderr)
          assert.matches("^3 items on 1 page in ", r.stderr)
          assert.same({11, 12, 13}, ids_in(path))
          assert.same({"out.jsonl"}, assert(fs.list(dir)))
        end
      end)
    end)
  end)

  it("can go on after Ctrl-C and after a failure; not as another scrape", function()
    local reached, broken = corun.channel(1), true
    serving(function(req)
      if req.query.page == "3" and broken then
        if broken == "slow" then
          reached:send(true)
          corun.sleep(60)
        end
        return {status = 500}
      end
      return api(req)
    end, function(url)
      in_folder(function(dir)
        local path = dir .. "/out.jsonl"
        local args = {"-i", "data", "-o", path, url}
        local r = scrape(table.unpack(args))
        assert.equal(1, r.code)
        assert.matches("\n6 items on 2 pages so far; the same command goes on\n", r.stderr, 1, true)
        assert.matches("\nscrape_api.lua: request " .. url .. "?page=3: the server answered 500 "
          .. "(EHTTP)\n", r.stderr:gsub("/%?", "?"), 1, true)
        broken = "slow"
        local p <close> = assert(process.spawn({program.path, "scripts/scrape_api.lua",
          table.unpack(args)}))
        reached:recv()
        p:kill("INT")
        assert.matches("\n6 items on 2 pages so far; the same", p.stderr:read("a"), 1, true)
        assert.equal("SIGINT", p:wait().signal)
        broken = false
        r = scrape("-f", "id", table.unpack(args))
        assert.equal(1, r.code)
        assert.matches("of another scrape; --restart begins anew (ESCRAPE)", r.stderr, 1, true)
        assert(fs.write(path .. ".part", "cut"))
        r = scrape(table.unpack(args))
        assert.matches("it is shorter than it was; --restart begins anew", r.stderr, 1, true)
        r = scrape("--restart", table.unpack(args))
        assert.equal(0, r.code, r.stderr)
        assert.same(all_ids(), ids_in(path))
      end)
    end)
  end)

  it("gets the details of the items, without those that are gone", function()
    serving(function(req)
      local id = math.tointeger(tonumber(req.path:match("^/items/(%d+)$")))
      if id == 2 then return {status = 404} end
      if id then return {json = {id = id, full = true}} end
      return {json = {{id = 1, url = "/items/1"}, {id = 2, url = "/items/2"}, {id = 3,
        url = "/items/3"}}}
    end, function(url)
      local r = scrape("--details=url", url)
      assert.equal('{"full":true,"id":1}\n{"id":2,"url":"/items/2"}\n{"full":true,"id":3}\n',
        r.stdout)
      assert.matches("\n3 items on 1 page, 1 without details\nanswers: 3 x 200, 1 x 404;", r.stderr,
        1, true)
    end)
  end)

  it("keeps what may be kept, for the next run", function()
    local asked = 0
    serving(function(req)
      if req.path == "/" then return {json = {{url = "/a"}, {url = "/b"}}} end
      asked = asked + 1
      return {json = {at = req.path}, headers = {["Cache-Control"] = "max-age=60"}}
    end, function(url)
      in_folder(function(dir)
        for run_of_two = 1, 2 do
          local r = scrape("--details=url", "--cache=" .. dir .. "/cache", url)
          assert.equal('{"at":"/a"}\n{"at":"/b"}\n', r.stdout)
          assert.matches(("; %d out of the cache, 0 of them confirmed\n")
            :format(2 * run_of_two - 2), r.stderr, 1, true)
          assert.equal(2, asked)
        end
      end)
    end)
  end)

  it("sends what it is given to the API alone", function()
    local seen = {}
    local function answer(req)
      seen[#seen + 1] = req.headers.authorization or "none"
      return {json = {}}
    end
    serving(answer, function(other)
      serving(function(req)
        seen[#seen + 1] = req.headers.authorization
        return {json = {1}, headers = {Link = ("<%s/>; rel=next"):format(other)}}
      end, function(url)
        local r = scrape("-H", "Authorization: Bearer x", url)
        assert.equal(0, r.code, r.stderr)
        assert.same({"Bearer x", "none"}, seen)
      end)
    end)
  end)

  it("says what is wrong with a page", function()
    serving(function(req)
      if req.path == "/text" then return "hello" end
      if req.path == "/loop" then return {json = {1}, headers = {Link = "</loop>; rel=next"}} end
      if req.path == "/unix" then return {json = {{url = "http+unix://%2Frun%2Fx/"}}} end
      return {json = {data = {1}, errors = json.array(), next = 7}}
    end, function(url)
      for _, case in ipairs{
        {{"/"}, "the page is no list; try --items=data or --items=errors (ESCRAPE)"},
        {{"/", "-i", "dat"}, "the page has no list at dat; try --items=data or --items=errors"},
        {{"/", "-i", "data", "--page=p"}, "the page is the one before it again; the API does not "
          .. "heed p"},
        {{"/", "-i", "data", "--next=next"}, "what is at next is no URL"},
        {{"/", "-i", "data", "--details=url"}, "an item has no URL at url"},
        {{"/unix", "--details=url"}, "an item leads to http+unix://%2Frun%2Fx/ (ESCRAPE)"},
        {{"/text"}, "expected a value at byte 1 (EJSON)"},
        {{"/loop"}, "this page was there before (ELOOP)"},
      } do
        local r = scrape(url .. case[1][1], table.unpack(case[1], 2))
        assert.equal(1, r.code)
        assert.matches(case[2], r.stderr, 1, true)
        assert.is_nil(r.stderr:find("traceback"))
      end
    end)
  end)

  it("refuses a command line that makes no sense", function()
    for _, case in ipairs{
      {{"ftp://h/"}, "the URL must begin with http:// or https://"},
      {{"http://a b/"}, "the host has a character that is not allowed"},
      {{"http://h/", "--fields=,"}, "--fields has no names"},
      {{"http://h/", "-o", "x.xml"}, "--output is a NAME.jsonl or a NAME.csv"},
      {{"http://h/", "-o", "x.csv"}, "CSV needs --fields"},
      {{"http://h/", "--cursor=c"}, "--cursor needs --next"},
      {{"http://h/", "--page=p", "--next=n"}, "exclude each other"},
      {{"http://h/", "-H", "no header"}, "is no header line"},
      {{}, "missing argument URL"},
    } do
      local r = scrape(table.unpack(case[1]))
      assert.equal(2, r.code)
      assert.equal("", r.stdout)
      assert.matches("^scrape_api.lua: ", r.stderr)
      assert.matches(case[2], r.stderr, 1, true)
    end
  end)
end)

local function page(text, headers)
  headers = headers or {}
  headers["Content-Type"] = "text/html; charset=utf-8"
  return {headers = headers, body = text}
end

describe("scripts/link_check.lua", function()
  -- Check a site of these pages, by path; a request for another is answered with 404.
  local function report_on(pages, ...)
    local r, seen = nil, {}
    local options = {...}
    serving(function(req)
      seen[req.path] = (seen[req.path] or "") .. req.method .. " "
      local answer = pages[req.path]
      if type(answer) == "function" then return answer(req) end
      return answer or {status = 404}
    end, function(url)
      r = check(url .. "/", table.unpack(options))
      r.stdout = r.stdout:gsub(url:gsub("%p", "%%%0"), "SITE"):gsub("; %d+%.%d s\n$", "\n")
    end)
    return r, seen
  end

  it("names each broken link, page by page, with the cause", function()
    local r, seen = report_on({
      ["/"] = page[[<!doctype html><base href="/docs/"><a href=two>2</a>
<a href="/missing">m</a> <img
  src='gone.png' alt="a > b"><a href="http://127.0.0.1:1/">refused</a>
<a href="/missing">again</a><a href="http://[bad">b</a><a href="#part">f</a><a href="/moved">]],
      ["/docs/"] = page[[<p id=part>]],
      ["/docs/two"] = page[[<p id="b&auml;d"><p id='bäd'><a name=n><a href="#n"><a href="#top">
<a href="#none"><a href="two#b%C3%A4d"><a href="/">back</a>]],
      ["/moved"] = {status = 302, headers = {Location = "/docs/two"}},
    })
    assert.equal([[
SITE/
  line 2: <a> /missing: the server answered 404
  line 2: <img> gone.png: the server answered 404
  line 3: <a> http://127.0.0.1:1/: connect 127.0.0.1:1: connection refused (ECONNREFUSED)
  line 4: <a> http://[bad: parse URL http://[bad: the host is no IPv6 address (EURL)
SITE/docs/two
  line 2: <a> #none: the page has no #none
links: 7, pages: 3, broken: 5, left out: 0
]], r.stdout)
    assert.equal(1, r.code)
    assert.equal("GET ", seen["/missing"])
    assert.equal("HEAD GET ", seen["/docs/gone.png"])
    assert.equal("GET ", seen["/docs/"])
  end)

  it("reads HTML as browsers do", function()
    local r, seen = report_on({["/"] = page[[
<A CLASS=x HREF = '1' href="no">1</A><a/href=2>2</a><a href="3?a&amp;b&#61;c&#x26;copy=1">3</a>
<!-- <a href="no"> --><!--><a href="4">4</a><title><a href="no"></title>
<script>"<a href='no'>"</SCRIPT ><style><a href=no></style><textarea><a href=no></textarea>
<img srcset="5 1x,  6  2x,7" src=
8><video poster="9"></video><a href="
 10 ">10</a><a title='<a href="no">' href=11>11</a><p <a href=no></p><a href>self</a>
< a href=no><a href="mailto:a@b"><a href="javascript:x()"><a href="data:,x"><a href="tel:1">
<link rel="preconnect" href="no"><link rel=stylesheet href=12><?php <a href=no ?><!x <a href=no>
<area href=13><iframe src=14><a href=no></iframe></a href="no"><a href="15">15</a>
<script>never closed <a href=no>]]}, "--accept=404")
    assert.equal("links: 16, pages: 1, broken: 0, left out: 0\n", r.stdout)
    assert.equal(0, r.code)
    assert.is_nil(seen["/no"])
    for n = 1, 15 do assert(seen["/" .. n], n) end
  end)

  it("goes as far as it is told, and leaves out what it is told", function()
    local pages = {
      ["/"] = page[[<a href=a><a href="http://127.0.0.1:1/"><a href=private/x><a href=skip>]],
      ["/a"] = page[[<a href=b>]], ["/b"] = page[[<a href=missing>]],
      ["/robots.txt"] = "User-agent: other\nDisallow: /\n\nUser-Agent: *\nDisallow: /priv*/x$ #\n"
        .. "Disallow: /a\nAllow: /a\n",
    }
    local r, seen = report_on(pages, "--depth=1", "--robots", "--no-external", "--ignore=/skip$")
    assert.equal("links: 3, pages: 2, broken: 0, left out: 3\n", r.stdout)
    assert.equal(0, r.code)
    assert.equal("HEAD ", seen["/b"])
    assert.is_nil(seen["/private/x"] or seen["/skip"])
    r = report_on(pages, "--depth=0", "--no-external", "--accept=404")
    assert.equal("links: 4, pages: 1, broken: 0, left out: 1\n", r.stdout)
    r = report_on(pages, "--max-pages=2", "--no-external", "--accept=404")
    assert.equal("links: 5, pages: 2 (and more, see --max-pages), broken: 0, left out: 1\n",
      r.stdout)
  end)

  it("asks with GET where HEAD is refused, and does not read what is no page", function()
    local r, seen = report_on({
      ["/"] = page[[<img src=odd><img src=closes><a href=large>]],
      ["/odd"] = function(req) return req.method == "HEAD" and {status = 405} or "x" end,
      ["/closes"] = function(req) return req.method == "HEAD" and {status = 501} or "x" end,
      ["/large"] = {headers = {["Content-Type"] = "application/zip"}, body = ("x"):rep(1 << 20)},
    })
    assert.equal("links: 4, pages: 1, broken: 0, left out: 0\n", r.stdout)
    assert.equal("HEAD GET ", seen["/odd"])
    assert.equal("HEAD GET ", seen["/closes"])
    assert.equal("GET ", seen["/large"])
  end)

  it("reports as JSON, plainly and without progress where there is no terminal", function()
    local r = report_on({["/"] = page[[<a href=no>]]}, "--json")
    assert.same({pages = 1, checked = 2, skipped = 0, complete = true, broken = {{
      page = "SITE/", line = 1,
      element = "a", link = "no", url = "SITE/no", status = 404,
      cause = "the server answered 404"}}}, assert(json.decode(r.stdout)))
    assert.equal("", r.stderr)
    assert.equal(1, r.code)
    r = report_on({}, "--json")
    assert.same({{page = "SITE/", status = 404, cause = "the server answered 404"}},
      assert(json.decode(r.stdout)).broken)
    r = report_on({["/"] = page""}, "--json")
    assert.matches('"broken": []', r.stdout, 1, true)
    assert.equal(0, r.code)
  end)

  it("reports on Ctrl-C what it has found so far", function()
    local reached = corun.event()
    serving(function(req)
      if req.path == "/" then return page'<a href="/gone"><a href="/slow"><a href="/more">' end
      if req.path ~= "/slow" then return {status = 404} end
      reached:set()
      corun.sleep(60)
    end, function(url)
      for _, option in ipairs{"--concurrency=1", "--json"} do
        reached:clear()
        local p <close> = assert(process.spawn({program.path, "scripts/link_check.lua", "-q",
          "--concurrency=1", option, url .. "/"}, {stdout = "pipe"}))
        reached:wait()
        p:kill("INT")
        local out = p.stdout:read("a")
        assert.equal("SIGINT", p:wait().signal)
        if option == "--json" then
          local report = assert(json.decode(out))
          assert.is_false(report.complete)
          assert.equal(1, #report.broken)
        else
          assert.matches("\n  line 1: <a> /gone: the server answered 404\nlinks: 2 so far, "
            .. "pages: 1, broken: 1, left out: 0; ", out, 1, true)
        end
      end
    end)
  end)

  it("shows what a page says to a terminal, so that none obeys it", function()
    local r = report_on({["/"] = page'<a href="/\27[31mred\7"><a href="http://[\27]0;x">'})
    assert.equal(1, r.code)
    assert.matches("<a> /\\x1B[31mred\\x07: the server answered 404", r.stdout, 1, true)
    assert.not_matches("[^%g \n]", r.stdout)
  end)

  it("refuses a URL that is none, and a pattern that is none", function()
    local r = check("ftp://h/")
    assert.equal(2, r.code)
    assert.matches("^link_check.lua: the URL must be one of http or https", r.stderr)
    r = check("--ignore=[", "http://127.0.0.1:1/")
    assert.equal(2, r.code)
    assert.matches("^link_check.lua: %-%-ignore=%[: malformed pattern", r.stderr)
  end)
end)
