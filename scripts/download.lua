-- SPDX-License-Identifier: MIT
-- Save files by HTTP, each in several ranges at once. What is cut or stopped (Ctrl-C) leaves a
-- partial file beside its target, and the same command goes on with that. A file gets its name once
-- all of it is there, with the digest that it should have. Exit status: 0 when all were saved, 1
-- when one was not, 2 for a wrong command line.
local corun = require "corun"
local fs = require "corun.fs"
local http = require "corun.http"
local url = require "corun.url"

local opt = corun.args{
  output = {type = "string", short = "o", value = "PATH"},
  parts = {4, min = 1, max = 64, short = "p"}, sha256 = {type = "string", value = "HEX"},
  retries = {5, min = 0}, jobs = {3, min = 1, short = "j"}, resume = true, fsync = false,
  quiet = {false, short = "q"}, "URL...",
  help = {
    "Save files by HTTP, in several parts at once, going on where an earlier run was stopped.",
    output = "the file, or the folder for files with the names in their URLs (default: here)",
    parts = "parts of a file at once", sha256 = "the digest that the file must have",
    retries = "further tries of what fails or is cut", jobs = "files at once",
    resume = "go on with what an earlier run has left", quiet = "no progress bars",
    fsync = "wait until the files are on the disk",
  },
}

local function misuse(message, ...)
  corun.stderr:write("download: ", message:format(...), "\n")
  corun.exit(2)
end

-- The last name in the path of a URL.
local function name_of(address)
  local parsed, err = url.parse(address)
  if not parsed then misuse("%s", err) end
  local name = (parsed.path or ""):match("[^/]*$")
  return (name == "" or name == "." or name == "..") and "index.html" or name
end

-- Whether the output is a folder: one that is there, or is called so.
local function is_folder()
  local st = opt.output and fs.stat(opt.output)
  return not opt.output or opt.output:find("/$") or st and st.kind == "directory"
end

-- Where each URL goes.
local function plan()
  if #opt.url > 1 and opt.sha256 then misuse("--sha256 is for one file") end
  if opt.sha256 and not (#opt.sha256 == 64 and opt.sha256:find("^%x+$")) then
    misuse("--sha256 must be 64 hexadecimal digits")
  end
  if #opt.url > 1 and not is_folder() then
    misuse("%s is no folder for several files", opt.output)
  end
  local folder = is_folder() and (opt.output or ""):gsub("([^/])$", "%1/")
  local jobs, taken = {}, {}
  for i, address in ipairs(opt.url) do
    local name = name_of(address)
    local path = folder and folder .. name or opt.output
    if taken[path] then misuse("%s and %s would both be %s", taken[path], address, path) end
    taken[path] = address
    jobs[i] = {url = address, path = path, name = name}
  end
  if folder and folder ~= "" then assert(fs.mkdir(folder, {parents = true})) end
  return jobs
end

local function save(job)
  local start, before, bar = corun.now(), 0, nil
  local _ <close> = corun.defer(function()
    if bar then bar:close() end
  end)
  local bytes, err = http.download(job.url, job.path, {
    parts = opt.parts, retries = opt.retries, resume = opt.resume, sha256 = opt.sha256,
    fsync = opt.fsync,
    on_progress = function(done, length)
      if not bar then
        before = done
        bar = corun.progress.bar{label = job.name, unit = "bytes", done = done, quiet = opt.quiet}
      end
      before = math.min(before, done) -- it may be begun anew
      bar:set(done, length)
    end,
  })
  if not bytes then return nil, err end
  local seconds, fetched = corun.now() - start, math.max(0, bytes - before)
  corun.stdout:write(("%s: %.1f MB%s in %.1f s, %.1f MB/s%s\n"):format(job.path, bytes / 1e6,
    before > 0 and (" (%.1f MB were missing)"):format(fetched / 1e6) or "", seconds,
    fetched / 1e6 / seconds, opt.sha256 and ", SHA-256 as it should be" or ""))
  return true
end

-- An error, with the URL once and without its login.
local function explain(job, err)
  local shown = job.url:gsub("^(%a[%w+.-]*://)[^/?#]*@", "%1")
  return err.target == shown and ("%s: %s (%s)"):format(shown, err.message, err.code)
    or ("%s: %s"):format(shown, err)
end

local failed = false
for job, ok, err in corun.each(plan(), save, {limit = opt.jobs}) do
  if not ok then
    failed = true
    corun.stderr:write("download: ", explain(job, err), "\n")
  end
end
if failed then corun.exit(1) end
