-- SPDX-License-Identifier: MIT
-- Fetch all files of a folder from an SFTP server. Usage: sftp.lua PORT FOLDER TO; the folder has
-- the key of the user (`id`), `known_hosts`, and `files`, which are saved in TO.
local sftp = require "corun.sftp"

local port, folder, to = arg[1], arg[2], arg[3]
local session <close> = assert(sftp.connect("127.0.0.1:" .. port,
  {key = folder .. "/id", known_hosts = folder .. "/known_hosts"}))
print "begin"
io.stdout:flush()
local paths = {}
for i, entry in ipairs(assert(session:list(folder .. "/files"))) do
  paths[i] = folder .. "/files/" .. entry.name
end
for _, size, err in session:get_many(paths, {into = to, connections = 8}) do assert(size, err) end
print "end"
