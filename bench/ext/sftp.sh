#!/bin/sh
# SPDX-License-Identifier: MIT
# The same as sftp.lua with OpenSSH's client: sftp.sh SFTP PORT FOLDER TO
"$1" -q -R 64 -P "$2" -F none -i "$3/id" -o "UserKnownHostsFile=$3/known_hosts" \
  -o IdentitiesOnly=yes -o IdentityAgent=none -b - 127.0.0.1 <<BATCH
@!echo begin
@get $3/files/* $4
@!echo end
BATCH
