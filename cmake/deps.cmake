# SPDX-License-Identifier: MIT
# What corun stands on, each as one target: lua54, uv, llhttp, simdjson, cjson. Static where that
# keeps the start short (CORUN_STATIC_DEPS); what Debian has only as source comes through tools/fetch.

# find_archive(VAR NAME ARCHIVES...): one of the archives, or with CORUN_STATIC_DEPS=OFF the shared
# library NAME where there is one.
function(find_archive var name)
  if(CORUN_STATIC_DEPS)
    find_library(${var} NAMES ${ARGN} ${name})
  else()
    find_library(${var} NAMES ${name} ${ARGN})
  endif()
  if(NOT ${var})
    message(FATAL_ERROR "corun: ${name} not found; tools/setup installs what is needed")
  endif()
endfunction()

# fetch_source(VAR NAME): the folder of a source tree, or an empty string with the reason printed.
function(fetch_source var name)
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/tools/fetch ${name} OUTPUT_VARIABLE dir
                  OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    set(dir "")
  endif()
  set(${var} "${dir}" PARENT_SCOPE)
endfunction()

# mend(LIST FILE OLD NEW): append a copy of the source file with a text replaced to the list.
function(mend list file old new)
  get_filename_component(name ${file} NAME)
  file(READ ${file} text)
  string(REPLACE "${old}" "${new}" text "${text}")
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/lua/${name} CONTENT "${text}" @ONLY)
  set(${list} ${${list}} ${PROJECT_BINARY_DIR}/lua/${name} PARENT_SCOPE)
endfunction()

# imported(TARGET LIBRARY INCLUDE): a library that is there already.
function(imported target library include)
  add_library(${target} UNKNOWN IMPORTED)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${library}")
  if(include)
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${include}")
  endif()
endfunction()

find_package(Threads REQUIRED)

# --- Lua: the whole archive goes into the program, for the sake of C modules -------------------
# luaV_concat of Lua 5.4.4 keeps a pointer into the stack across a __concat metamethod that may move
# the stack: `"page " .. err` then gives a wrong string or corrupts memory. So an older Lua than 5.4.5
# is compiled from the distribution's own source with that line mended.
find_path(LUA54_INCLUDE lua.h PATH_SUFFIXES lua5.4 lua54 lua-5.4 lua REQUIRED)
file(STRINGS ${LUA54_INCLUDE}/lua.h lua_release REGEX "#define LUA_VERSION_RELEASE[ \t]+\"")
string(REGEX REPLACE ".*\"([0-9]+)\".*" "\\1" lua_release "${lua_release}")
set(lua_source "${CORUN_LUA_SOURCE}")
set(lua_concat_is_safe 1)
if(NOT lua_source AND lua_release LESS 5)
  fetch_source(lua_source lua5.4)
  if(NOT lua_source)
    set(lua_concat_is_safe 0)
    message(WARNING "corun: no source of Lua to mend: error objects cannot be concatenated")
  endif()
endif()
if(lua_source)
  get_filename_component(lua_src "${lua_source}" ABSOLUTE)
  if(EXISTS ${lua_src}/src/lapi.c)
    string(APPEND lua_src /src)
  endif()
  file(GLOB lua_files ${lua_src}/l*.c)
  list(FILTER lua_files EXCLUDE REGEX "/luac?\\.c$")
  if(NOT lua_files)
    message(FATAL_ERROR "corun: no Lua source in ${lua_source}")
  endif()
  list(FILTER lua_files EXCLUDE REGEX "/(ldo|lvm|lstate|lstring)\\.c$")
  mend(lua_files ${lua_src}/lvm.c "L->top = top - (n - 1);" "L->top -= n - 1;")
  # A coroutine's first stack: 35 slots are enough for a task that waits in a small function; with
  # Lua's 40 it would cost 80 bytes more. When they are not enough it grows by half, where Lua would
  # double it: what handles a request needs some 75, and holds them as long as its connection, for
  # Lua takes back only stacks of which less than a third is used.
  mend(lua_files ${lua_src}/lstate.c BASIC_STACK_SIZE 35)
  mend(lua_files ${lua_src}/ldo.c "int newsize = 2 * size;" "int newsize = size + size / 2;")
  # Bytes that are in the string's memory already (src/core/bytes.h) need not be copied onto
  # themselves: a microsecond for 64 KiB.
  mend(lua_files ${lua_src}/lstring.c
       "memcpy(getstr(ts), str, l * sizeof(char));\n    return ts;"
       "if (getstr(ts) != str) memcpy(getstr(ts), str, l * sizeof(char));\n    return ts;")
  # Debian's luaconf.h asks for the folder of C modules, which its own build writes.
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/lua/lua5.4-deb-multiarch.h
       CONTENT "#define DEB_HOST_MULTIARCH \"${CMAKE_LIBRARY_ARCHITECTURE}\"\n")
  add_library(lua54 STATIC ${lua_files})
  set_target_properties(lua54 PROPERTIES C_EXTENSIONS ON)
  target_include_directories(lua54 SYSTEM PUBLIC ${lua_src} ${PROJECT_BINARY_DIR}/lua)
  # CORUN_LUA_DEFS reaches every includer: LUAI_ASSERT and the like change the headers.
  target_compile_definitions(lua54 PUBLIC LUA_COMPAT_5_3 ${CORUN_LUA_DEFS})
  if(APPLE)
    target_compile_definitions(lua54 PRIVATE LUA_USE_MACOSX)
  else()
    target_compile_definitions(lua54 PRIVATE LUA_USE_LINUX)
  endif()
  # Fuzzers are about our parsers: Lua as it is compiles five times faster.
  target_compile_options(lua54 PRIVATE -w $<$<BOOL:${CORUN_FUZZ}>:-fno-sanitize=all>)
  if(CORUN_SANITIZE STREQUAL "thread")
    # TSan does not see _longjmp: it would lose a frame at each error and crash after 65,536.
    set_source_files_properties(${PROJECT_BINARY_DIR}/lua/ldo.c PROPERTIES COMPILE_DEFINITIONS
      _longjmp=longjmp)
  elseif(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT CORUN_SANITIZE)
    set_source_files_properties(${PROJECT_BINARY_DIR}/lua/ldo.c PROPERTIES COMPILE_OPTIONS
      "-include;${PROJECT_SOURCE_DIR}/cmake/lua_throw.h")
  endif()
  if(CORUN_HARDMEM)
    set_source_files_properties(${lua_src}/lapi.c PROPERTIES COMPILE_OPTIONS
      "-DCORUN_HARDMEM=${CORUN_HARDMEM};-include;${PROJECT_SOURCE_DIR}/cmake/hardmem.h")
  endif()
else()
  find_library(LUA54_LIBRARY NAMES liblua5.4.a liblua54.a liblua-5.4.a liblua.a REQUIRED)
  add_library(lua54 STATIC IMPORTED)
  set_target_properties(lua54 PROPERTIES IMPORTED_LOCATION ${LUA54_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${LUA54_INCLUDE})
endif()
set_property(TARGET lua54 APPEND PROPERTY INTERFACE_LINK_LIBRARIES m ${CMAKE_DL_LIBS})
set_property(TARGET lua54 APPEND PROPERTY INTERFACE_COMPILE_DEFINITIONS
             CORUN_CONCAT_IS_SAFE=${lua_concat_is_safe})

# --- libuv -----------------------------------------------------------------------------------
find_path(UV_INCLUDE uv.h REQUIRED)
find_archive(UV_LIBRARY uv libuv_a.a libuv.a)
# In libcorun it is the shared one: Debian's archive was compiled for programs.
find_library(UV_SHARED NAMES uv)
if(NOT UV_SHARED)
  set(UV_SHARED ${UV_LIBRARY})
endif()
add_library(uv INTERFACE)
target_include_directories(uv SYSTEM INTERFACE ${UV_INCLUDE})
target_link_libraries(uv INTERFACE
  $<IF:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY>,${UV_SHARED},${UV_LIBRARY}>
  Threads::Threads ${CMAKE_DL_LIBS})
if(CORUN_SANITIZE STREQUAL "thread")
  add_library(tsan_close OBJECT cmake/tsan_close.c)
  set_property(TARGET uv APPEND PROPERTY INTERFACE_LINK_OPTIONS -Wl,--wrap=uv__close)
  set_property(TARGET uv APPEND PROPERTY INTERFACE_LINK_LIBRARIES
    $<TARGET_OBJECTS:tsan_close>)
endif()

# --- lua-cjson, for `require "cjson"` ----------------------------------------------------------
find_library(CJSON_LIBRARY NAMES liblua5.4-cjson.a)
if(NOT CJSON_LIBRARY)
  message(FATAL_ERROR "corun: liblua5.4-cjson.a not found; tools/setup installs lua-cjson-dev")
endif()
imported(cjson ${CJSON_LIBRARY} "")

# --- llhttp: packaged, or the C sources of Debian's node-llhttp ----------------------------------
find_path(LLHTTP_INCLUDE llhttp.h)
if(CORUN_STATIC_DEPS)
  find_library(LLHTTP_LIBRARY NAMES libllhttp.a llhttp)
else()
  find_library(LLHTTP_LIBRARY NAMES llhttp libllhttp.a)
endif()
if(LLHTTP_LIBRARY AND LLHTTP_INCLUDE AND NOT CORUN_LLHTTP_SOURCE)
  imported(llhttp ${LLHTTP_LIBRARY} ${LLHTTP_INCLUDE})
else()
  set(llhttp_src "${CORUN_LLHTTP_SOURCE}")
  if(NOT llhttp_src)
    fetch_source(llhttp_src llhttp)
  endif()
  if(NOT EXISTS ${llhttp_src}/llhttp.c)
    message(FATAL_ERROR "corun: no sources of llhttp: install libllhttp-dev or give "
                        "-DCORUN_LLHTTP_SOURCE=FOLDER with llhttp.c api.c http.c llhttp.h")
  endif()
  file(GLOB llhttp_files ${llhttp_src}/*.c)
  add_library(llhttp STATIC ${llhttp_files})
  target_include_directories(llhttp SYSTEM PUBLIC ${llhttp_src})
  target_compile_options(llhttp PRIVATE -w $<$<BOOL:${CORUN_SANITIZE}>:-fno-sanitize=undefined>)
  # Strict in the library and in every includer: lenient, it accepts junk after a chunk.
  target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
endif()

# --- simdjson: from Debian's source package; else the shared library in a module of its own ------
set(simdjson_src "${CORUN_SIMDJSON_SOURCE}")
if(NOT simdjson_src AND CORUN_STATIC_DEPS)
  fetch_source(simdjson_src simdjson)
endif()
if(EXISTS ${simdjson_src}/src/simdjson.cpp)
  add_library(simdjson STATIC ${simdjson_src}/src/simdjson.cpp)
  target_include_directories(simdjson SYSTEM PUBLIC ${simdjson_src}/include
                             PRIVATE ${simdjson_src}/src)
  if(CORUN_SANITIZE OR CORUN_FUZZ)
    # Reads past the padding are found, undefined behaviour is not looked for: 100 s to compile.
    target_compile_options(simdjson PRIVATE -w -O0 -fno-sanitize=undefined)
  else()
    target_compile_options(simdjson PRIVATE -w $<$<NOT:$<CONFIG:Debug>>:-O3>)
  endif()
  target_compile_features(simdjson PUBLIC cxx_std_17)
  set(CORUN_JSON_MODULE OFF)
  set(json_libraries simdjson)
  if(APPLE)
    list(APPEND json_libraries c++)
  elseif(CORUN_SANITIZE OR CORUN_FUZZ OR NOT CORUN_STATIC_DEPS)
    list(APPEND json_libraries stdc++)
  else()
    # The shared one costs 0.4 ms at start-up.
    list(APPEND json_libraries -static-libgcc -Wl,-Bstatic -lstdc++ -Wl,-Bdynamic)
  endif()
else()
  find_package(simdjson REQUIRED)
  add_library(simdjson INTERFACE)
  target_link_libraries(simdjson INTERFACE simdjson::simdjson)
  target_compile_features(simdjson INTERFACE cxx_std_17)
  set(CORUN_JSON_MODULE ON)
  set(json_libraries ${CMAKE_DL_LIBS})
endif()

# --- the small libraries: bodies, names, the resolver --------------------------------------------
# small(TARGET HEADER ARCHIVES... SHARED): one target each; static ones cost nothing at start-up.
function(small target header)
  find_path(${target}_INCLUDE ${header} REQUIRED)
  list(POP_BACK ARGN shared)
  find_archive(${target}_LIBRARY ${shared} ${ARGN})
  imported(${target} ${${target}_LIBRARY} ${${target}_INCLUDE})
endfunction()

small(zlib zlib.h libz.a z)
small(brotlicommon brotli/types.h libbrotlicommon.a libbrotlicommon-static.a brotlicommon)
small(brotlidec brotli/decode.h libbrotlidec.a libbrotlidec-static.a brotlidec)
small(brotlienc brotli/encode.h libbrotlienc.a libbrotlienc-static.a brotlienc)
small(zstd zstd.h libzstd.a zstd)
small(unistring unistr.h libunistring.a unistring)
small(idn2 idn2.h libidn2.a idn2)
small(cares ares.h libcares.a libcares_static.a cares)
set_property(TARGET brotlidec brotlienc PROPERTY INTERFACE_LINK_LIBRARIES brotlicommon m)
set_property(TARGET idn2 PROPERTY INTERFACE_LINK_LIBRARIES unistring)
set_property(TARGET zstd PROPERTY INTERFACE_LINK_LIBRARIES Threads::Threads)

# --- OpenSSL: its headers; the library is loaded at first use (src/base/openssl.c) ---------------
find_path(OPENSSL_INCLUDE openssl/ssl.h REQUIRED)
add_library(openssl_headers INTERFACE)
target_include_directories(openssl_headers SYSTEM INTERFACE ${OPENSSL_INCLUDE})

# --- libpsl: its header; the library is loaded at first use (src/http/public_suffix.c) ------------
find_path(PSL_INCLUDE libpsl.h)
if(NOT PSL_INCLUDE)
  message(FATAL_ERROR "corun: libpsl.h not found; tools/setup installs libpsl-dev")
endif()
add_library(psl_headers INTERFACE)
target_include_directories(psl_headers SYSTEM INTERFACE ${PSL_INCLUDE})
