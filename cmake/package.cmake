# SPDX-License-Identifier: MIT
# `cpack -G DEB` in a build folder: a Debian package of what `cmake --install` brings. It may be run on
# any Debian or Ubuntu whose dpkg-dev is there; the package is for that release.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME corun)
set(CPACK_PACKAGE_CONTACT "The developers of corun <corun@example.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Lua scripts whose coroutines wait for the world without blocking it")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"corun runs Lua 5.4 scripts in which tasks are coroutines: a script reads from
top to bottom, as if every call blocked, and runs thousands of such calls at
once. HTTP client and server, WebSocket, TLS, files, programs, worker threads
and processes, JSON and CSV are built in.
.
The package also has what is needed to extend corun in C.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION interpreters)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Loaded at first use (src/base/library.c), so that dpkg-shlibdeps does not see them.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libssl3t64 | libssl3, libpsl5t64 | libpsl5")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "lua-busted, liblua5.4-dev")
if(TARGET libcorun) # programs link it: the loader's cache, and what their packages depend on
  set(control ${PROJECT_BINARY_DIR}/debian)
  get_target_property(abi libcorun SOVERSION)
  file(CONFIGURE OUTPUT ${control}/triggers CONTENT "activate-noawait ldconfig\n")
  file(CONFIGURE OUTPUT ${control}/shlibs CONTENT "libcorun ${abi} corun (>= ${PROJECT_VERSION})\n")
  set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${control}/triggers ${control}/shlibs)
endif()
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package_debian.cmake)
include(CPack)
