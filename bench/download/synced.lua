-- SPDX-License-Identifier: MIT
-- Save one large file, and wait until it is on the disk. Usage: synced.lua PATH URL
assert(require("corun.http").download(arg[2], arg[1], {fsync = true}))
