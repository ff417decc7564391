# SPDX-License-Identifier: MIT
# find_package(corun): how extensions are built, and programs that embed corun. Found by where this file lies, so that an installed
# copy may be moved; that is where links lead, as from /lib to /usr/lib. An extension links nothing: it
# finds corun and Lua in the program.
get_filename_component(corun_PREFIX "${CMAKE_CURRENT_LIST_DIR}" REALPATH)
while(NOT EXISTS "${corun_PREFIX}/include/corun.h" AND NOT corun_PREFIX STREQUAL "/")
  get_filename_component(corun_PREFIX "${corun_PREFIX}" DIRECTORY)
endwhile()
find_path(corun_LUA_INCLUDE lua.h PATH_SUFFIXES lua5.4 lua-5.4 lua54 lua)

if(NOT corun_LUA_INCLUDE)
  set(corun_FOUND FALSE)
  set(corun_NOT_FOUND_MESSAGE "the headers of Lua 5.4 are missing: install liblua5.4-dev")
  return()
endif()

if(NOT TARGET corun::extension)
  add_library(corun::extension INTERFACE IMPORTED)
  set_target_properties(corun::extension PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${corun_PREFIX}/include;${corun_LUA_INCLUDE}")
  if(APPLE)
    set_target_properties(corun::extension PROPERTIES
      INTERFACE_LINK_OPTIONS "-undefined;dynamic_lookup")
  endif()
endif()

# The program, for tests of extensions.
find_program(corun_PROGRAM corun PATHS "${corun_PREFIX}/bin" NO_DEFAULT_PATH)
if(corun_PROGRAM AND NOT TARGET corun::corun)
  add_executable(corun::corun IMPORTED)
  set_target_properties(corun::corun PROPERTIES IMPORTED_LOCATION "${corun_PROGRAM}")
endif()

# What programs link that run scripts inside themselves. Lua is in it; another one must not be linked.
find_library(corun_LIBRARY corun PATHS "${corun_PREFIX}" PATH_SUFFIXES lib lib64
             "lib/${CMAKE_LIBRARY_ARCHITECTURE}" NO_DEFAULT_PATH)
if(corun_LIBRARY AND NOT TARGET corun::embed)
  add_library(corun::embed SHARED IMPORTED)
  set_target_properties(corun::embed PROPERTIES IMPORTED_LOCATION "${corun_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${corun_PREFIX}/include;${corun_LUA_INCLUDE}")
endif()

# corun_add_extension(NAME SOURCES...): the module that `require "NAME"` loads.
function(corun_add_extension name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE corun::extension)
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" C_VISIBILITY_PRESET default)
endfunction()
