-- SPDX-License-Identifier: MIT
-- Save one large file. Usage: download.lua PATH URL
assert(require("corun.http").download(arg[2], arg[1]))
