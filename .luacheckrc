-- SPDX-License-Identifier: MIT
std = "lua54"
max_line_length = 100
self = false
unused_args = true
cache = false
exclude_files = {"build*/"}
files["tests/spec"] = {std = "+busted"}
-- Editor types: declarations without a body, parameters only named.
files["lua/meta"] = {unused_args = false, unused = false, ignore = {"211", "212", "241"}}
