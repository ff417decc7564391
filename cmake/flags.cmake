# SPDX-License-Identifier: MIT
# Compiler and linker flags: warnings for our own files, sanitizers for all, the export list.

add_library(corun_warnings INTERFACE)
target_compile_options(corun_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wundef -Wvla
  "$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>"
  # What later compilers refuse anyway.
  "$<$<COMPILE_LANGUAGE:C>:-Werror=implicit-function-declaration;-Werror=int-conversion>"
  $<$<BOOL:${CORUN_WERROR}>:-Werror>)

add_library(corun_includes INTERFACE)
target_include_directories(corun_includes INTERFACE src include)
target_compile_definitions(corun_includes INTERFACE CORUN_VERSION="${PROJECT_VERSION}")
if(APPLE)
  target_compile_definitions(corun_includes INTERFACE _DARWIN_C_SOURCE)
else()
  target_compile_definitions(corun_includes INTERFACE _GNU_SOURCE)
endif()

# What is installed does not tell where it was built; a debugger finds the source from its root.
add_compile_options(-ffunction-sections -fdata-sections
                    -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=
                    -fdebug-prefix-map=${PROJECT_SOURCE_DIR}/=
                    -fdebug-prefix-map=${PROJECT_BINARY_DIR}=build)
if(APPLE)
  add_link_options(LINKER:-dead_strip)
else()
  add_link_options(LINKER:--gc-sections LINKER:--as-needed)
endif()

# Profile-guided optimisation: the interpreter and the switch between tasks gain a third.
if(CORUN_PROFILE AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
  if(CORUN_PROFILE STREQUAL "generate")
    add_compile_options(-fprofile-generate -fprofile-update=prefer-atomic)
    add_link_options(-fprofile-generate)
  elseif(CORUN_PROFILE STREQUAL "use")
    # Partial training: what the profile did not see is compiled as without one, not for size.
    add_compile_options(-fprofile-use -fprofile-partial-training -fprofile-correction
                        -Wno-missing-profile -Wno-coverage-mismatch)
  else()
    message(FATAL_ERROR "corun: CORUN_PROFILE is generate or use, not ${CORUN_PROFILE}")
  endif()
endif()

set(sanitizers)
if(CORUN_SANITIZE STREQUAL "address")
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=undefined)
elseif(CORUN_SANITIZE STREQUAL "thread")
  set(sanitizers -fsanitize=thread)
elseif(CORUN_SANITIZE)
  message(FATAL_ERROR "corun: CORUN_SANITIZE is address or thread, not ${CORUN_SANITIZE}")
endif()
if(CORUN_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "corun: CORUN_FUZZ needs clang: -DCMAKE_C_COMPILER=clang "
                        "-DCMAKE_CXX_COMPILER=clang++")
  endif()
  list(APPEND sanitizers -fsanitize=fuzzer-no-link)
endif()
if(sanitizers)
  if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    # The C driver links no C++ half of the undefined-behaviour runtime.
    list(APPEND sanitizers -fno-sanitize=vptr)
  endif()
  add_compile_options(${sanitizers} -fno-omit-frame-pointer)
  add_link_options(${sanitizers})
  set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
  set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
endif()

# corun_export_api(TARGET): C modules find Lua and corun.h in the program; nothing else is seen.
function(corun_export_api target)
  set(list ${PROJECT_SOURCE_DIR}/cmake/exports.list)
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${list} LINKER_LANGUAGE C)
  if(APPLE)
    file(STRINGS ${list} names REGEX ";")
    string(REGEX MATCHALL "[a-zA-Z_]+[*]?;" names "${names}")
    list(TRANSFORM names REPLACE "^(.*);$" "_\\1")
    list(JOIN names "\n" names)
    file(WRITE ${PROJECT_BINARY_DIR}/exports.txt "${names}\n")
    target_link_options(${target} PRIVATE
                        LINKER:-exported_symbols_list,${PROJECT_BINARY_DIR}/exports.txt)
  else()
    target_link_options(${target} PRIVATE LINKER:--dynamic-list,${list})
  endif()
endfunction()

# corun_export_only(TARGET NODE ARCHIVES...): the same for a library, of which nothing else is seen, and
# which uses its own Lua whatever else is in the process. It stays there: threads run in it. NODE is the
# version of its symbols; those of archives that have one of their own (libidn2) must be named.
function(corun_export_only target node)
  if(APPLE)
    corun_export_api(${target})
    return()
  endif()
  set(list ${PROJECT_SOURCE_DIR}/cmake/exports.list)
  set(map ${PROJECT_BINARY_DIR}/exports.map)
  file(READ ${list} names)
  string(REPLACE "{" "${node} {\n  global:" names "${names}")
  string(REPLACE "};" "  local: *;\n};" names "${names}")
  foreach(archive IN LISTS ARGN)
    file(STRINGS ${archive} versions REGEX "^_*[a-z0-9_]+@+[A-Z][A-Z0-9_.]+$")
    list(TRANSFORM versions REPLACE "^.*@" "")
    list(REMOVE_DUPLICATES versions)
    foreach(version IN LISTS versions)
      string(APPEND names "${version} { local: *; };\n")
    endforeach()
  endforeach()
  file(CONFIGURE OUTPUT ${map} CONTENT "${names}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${list})
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${map} LINKER_LANGUAGE C)
  target_link_options(${target} PRIVATE LINKER:--version-script,${map} LINKER:-Bsymbolic
                      LINKER:-z,nodelete)
endfunction()

# Lua's interpreter and the scheduler call each other all the time: 10 % fewer instructions a task when
# they are optimised together. Fat objects serve the check of symbols.
if(CORUN_LTO AND (sanitizers OR CORUN_FUZZ OR NOT CMAKE_C_COMPILER_ID STREQUAL "GNU" OR
                  CMAKE_BUILD_TYPE STREQUAL "Debug"))
  set(CORUN_LTO OFF)
endif()
if(CORUN_LTO)
  add_compile_options("$<$<COMPILE_LANGUAGE:C>:-O3;-flto=auto;-ffat-lto-objects>")
  # Of Lua's strings, inlined everywhere, gcc believes that short ones are copied as long ones.
  add_link_options(-Wno-stringop-overread)
endif()
