-- SPDX-License-Identifier: MIT
-- A web server for the files of a folder. Texts are compressed, for clients that like that; nothing
-- outside the folder is answered. The first Ctrl-C, or TERM, lets the answers under way end.
local corun = require "corun"
local http = require "corun.http"

local opt = corun.args{
  listen = {"127.0.0.1:8080", short = "l", value = "ADDRESS"}, index = {"index.html"},
  browse = {false, short = "b"}, hidden = false, compress = true, log = {false, short = "v"},
  max_age = {type = "integer", min = 0, value = "S"}, drain = {5.0, min = 0, value = "S"},
  cert = {type = "string", value = "FILE"}, key = {type = "string", value = "FILE"}, "[FOLDER]",
  help = {"Serve the files of a folder over HTTP.", listen = "where: host:port, or unix:/path",
    index = "the file that stands for its folder", browse = "list folders without one",
    hidden = "names that begin with a dot too", compress = "texts, with zstd, brotli or gzip",
    log = "print a line for each answer", max_age = "clients may keep files for so long",
    drain = "let answers end for so long at the end", cert = "a certificate: serve HTTPS",
    key = "its key", FOLDER = "the folder (this one)"},
}

local function refuse(message)
  io.stderr:write("static.lua: ", message, "\n")
  corun.exit(2)
end

local folder = opt.folder or "."
local st, why = corun.fs.stat(folder)
if not st then refuse(tostring(why)) end
if st.kind ~= "directory" then refuse(folder .. " is no folder") end
if (opt.cert == nil) ~= (opt.key == nil) then refuse("--cert and --key belong together") end

local app = http.static(folder, {
  index = opt.index, list = opt.browse, hidden = opt.hidden,
  cache_control = opt.max_age and "max-age=" .. opt.max_age,
})
if opt.compress then app = http.compress(app) end

local server, err = http.serve(opt.listen, app, {
  tls = opt.cert and {cert = opt.cert, key = opt.key},
  log = opt.log and function(entry) print(http.common_log(entry)) end or nil,
})
if not server then
  io.stderr:write("static.lua: ", tostring(err), "\n")
  corun.exit(1)
end
local signals <close> = assert(corun.signal("INT", "TERM"))
io.stderr:write(("serving %s at %s\n"):format(folder, server:address()))
signals:recv()
server:close{drain = opt.drain}
