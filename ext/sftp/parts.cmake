# SPDX-License-Identifier: MIT
# cmake -DOUT=FILE.c -DFILES=A.lua,B.lua -P parts.cmake: the files as arrays of bytes (see ssh.h).
string(REPLACE "," ";" files "${FILES}")
set(arrays "// Made by parts.cmake.\n#include \"ssh.h\"\n")
set(table "\nconst struct ssh_part ssh_parts[] = {\n")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND arrays "\nstatic const unsigned char part_${name}[] = {${bytes}};\n")
  string(APPEND table "  {\"${name}\", part_${name}, sizeof part_${name}},\n")
endforeach()
file(WRITE ${OUT} "${arrays}${table}  {0, 0, 0}};\n")
