# SPDX-License-Identifier: MIT
# cmake -DOUT=lua_parts.h -DFILES=A.lua,B.lua -P lua_parts.cmake: the files as arrays of bytes, in a
# table by their names without ".lua" that ends with one that has no name.
string(REPLACE "," ";" files "${FILES}")
set(arrays "// Made by lua_parts.cmake.\n#include <stddef.h>\n")
set(table "static const struct {\n  const char *name;\n  const unsigned char *text;\n  size_t size;\n} lua_parts[] = {\n")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "static const unsigned char lua_part_${name}[] = {${bytes}};\n")
  string(APPEND table "  {\"${name}\", lua_part_${name}, sizeof lua_part_${name}},\n")
endforeach()
file(WRITE ${OUT} "${arrays}${table}  {0, 0, 0}};\n")
