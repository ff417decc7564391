#!/bin/sh
# SPDX-License-Identifier: MIT
# Save one large file with curl, and wait until it is on the disk. Usage: synced.sh PATH URL
curl -s -f -o "$1" "$2" && sync "$1"
