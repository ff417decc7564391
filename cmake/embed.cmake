# SPDX-License-Identifier: MIT
# The library corun_modules: lua/corun/*.lua as bytecode, compiled by cmake/embed.c at build time. So
# is the module corun.skeleton, which has the files of examples/ext-hello for `corun new`.

file(GLOB_RECURSE lua_modules CONFIGURE_DEPENDS lua/corun/*.lua)
list(SORT lua_modules)

set(skeleton "return {\n")
foreach(name CMakeLists.txt hello.c test.lua try.lua)
  set(file ${PROJECT_SOURCE_DIR}/examples/ext-hello/${name})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  string(APPEND skeleton "[\"${name}\"] = [==[\n${text}]==],\n")
endforeach()
set(skeleton_lua ${PROJECT_BINARY_DIR}/skeleton/corun/skeleton.lua)
file(CONFIGURE OUTPUT ${skeleton_lua} CONTENT "${skeleton}}\n" @ONLY)

add_executable(embed cmake/embed.c)
target_link_libraries(embed PRIVATE corun_warnings corun_includes lua54)

set(modules_c ${PROJECT_BINARY_DIR}/modules.c)
add_custom_command(
  OUTPUT ${modules_c}
  COMMAND embed ${modules_c} ${lua_modules} ${skeleton_lua}
  DEPENDS embed ${lua_modules} ${skeleton_lua}
  COMMENT "Compiling the embedded Lua modules"
  VERBATIM)
add_library(corun_modules STATIC ${modules_c})
target_link_libraries(corun_modules PRIVATE corun_warnings corun_includes)
