-- SPDX-License-Identifier: MIT
-- Serve the files of FOLDER/www: static.lua PORT FOLDER
local http = require "corun.http"

local server = assert(http.serve("127.0.0.1:" .. arg[1], http.static(arg[2] .. "/www")))
print("ready")
io.stdout:flush()
server:wait()
