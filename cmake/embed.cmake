# SPDX-License-Identifier: MIT
# The library corun_modules: lua/corun/*.lua as bytecode, compiled by cmake/embed.c at build time.

file(GLOB_RECURSE lua_modules CONFIGURE_DEPENDS lua/corun/*.lua)
list(SORT lua_modules)

add_executable(embed cmake/embed.c)
target_link_libraries(embed PRIVATE corun_warnings corun_includes lua54)

set(modules_c ${PROJECT_BINARY_DIR}/modules.c)
add_custom_command(
  OUTPUT ${modules_c}
  COMMAND embed ${modules_c} ${PROJECT_SOURCE_DIR}/lua/corun ${lua_modules}
  DEPENDS embed ${lua_modules}
  COMMENT "Compiling the embedded Lua modules"
  VERBATIM)
add_library(corun_modules STATIC ${modules_c})
target_link_libraries(corun_modules PRIVATE corun_warnings corun_includes)
