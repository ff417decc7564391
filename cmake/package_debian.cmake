# SPDX-License-Identifier: MIT
# Run by cpack before it packs: what Debian wants otherwise than others.
set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share)
set(doc ${share}/doc/corun)

# pack(FILE): replace it by FILE.gz, the same bytes from the same text.
function(pack file)
  execute_process(COMMAND gzip -9n ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(RENAME ${share}/zsh/site-functions ${share}/zsh/vendor-completions)
file(RENAME ${doc}/LICENSE ${doc}/copyright)

string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${doc}/changelog
"corun (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * What is new is told in CHANGELOG.md.

 -- ${CPACK_PACKAGE_CONTACT}  ${now}
")
# Small libraries are part of the program: loaded, each would cost 0.06 to 0.2 ms at every start. What
# libcorun loads is found beside it, wherever that is.
file(WRITE ${share}/lintian/overrides/corun
     "corun: embedded-library *\ncorun: custom-library-search-path *\n")
pack(${doc}/changelog)
pack(${share}/man/man1/corun.1)
