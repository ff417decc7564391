-- SPDX-License-Identifier: MIT
-- A reverse proxy: paths of one address, each handed on to a server of its own; the longest prefix
-- that fits is taken. Bodies go through while they come. The first Ctrl-C, or TERM, lets the
-- requests under way end.
local corun = require "corun"
local http = require "corun.http"

local opt = corun.args{
  listen = {"127.0.0.1:8080", short = "l", value = "ADDRESS"},
  keep_host = false, trust = false, forwarded = false, log = {false, short = "v"},
  connect = {10.0, min = 0.001, value = "S"}, read = {60.0, min = 0.001, value = "S"},
  limit = {1024, min = 1}, drain = {5.0, min = 0, value = "S"},
  cert = {type = "string", value = "FILE"}, key = {type = "string", value = "FILE"},
  "TARGET...",
  help = {"Hand requests on to other servers.", listen = "where: host:port, or unix:/path",
    keep_host = "they get the client's Host", trust = "believe X-Forwarded-For of clients",
    forwarded = "send the header Forwarded too", log = "print a line for each answer",
    connect = "so long a server may take to be reached", read = "so long it may be silent",
    limit = "requests to a server at once", drain = "let requests end for so long at the end",
    cert = "a certificate: serve HTTPS", key = "its key",
    TARGET = "such as http://127.0.0.1:3000, or for a prefix /api=http://127.0.0.1:3001/v1"},
}

local function refuse(message)
  io.stderr:write("reverse_proxy.lua: ", message, "\n")
  corun.exit(2)
end

if (opt.cert == nil) ~= (opt.key == nil) then refuse("--cert and --key belong together") end

local options = {
  keep_host = opt.keep_host, trust = opt.trust, forwarded = opt.forwarded, limit = opt.limit,
  timeout = {connect = opt.connect, read = opt.read},
}
local app = http.router()

-- Add what one argument says. What is wrong with it raises, in the words of the library.
local function add(target)
  local prefix, url = target:match("^(/[^=]*)=(.*)$")
  local proxy = http.proxy(url or target, options)
  if not prefix or prefix == "/" then
    app:any("/*rest", proxy)
  else
    app:mount(prefix:gsub("/+$", ""), proxy)
  end
end

for _, target in ipairs(opt.target) do
  local _, err = corun.try(add, target)
  if err then refuse((tostring(err):gsub("^%S+:%d+: ", ""))) end
end

local server, err = http.serve(opt.listen, app, {
  stream = true, tls = opt.cert and {cert = opt.cert, key = opt.key},
  log = opt.log and function(entry) print(http.common_log(entry)) end or nil,
})
if not server then
  io.stderr:write("reverse_proxy.lua: ", tostring(err), "\n")
  corun.exit(1)
end
local signals <close> = assert(corun.signal("INT", "TERM"))
io.stderr:write(("a proxy of %s at %s\n"):format(table.concat(opt.target, ", "), server:address()))
signals:recv()
server:close{drain = opt.drain}
