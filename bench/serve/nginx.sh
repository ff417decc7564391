#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Serve the files of FOLDER/www with nginx: nginx.sh NGINX PORT FOLDER. One process; it may keep open
# files, and what it knows of them, for a second, as corun does.
cat >"$3/nginx.conf" <<END
daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  sendfile ${SENDFILE:-on};
  tcp_nopush on;
  open_file_cache max=1000;
  open_file_cache_valid 1s;
  client_body_temp_path tmp;
  proxy_temp_path tmp;
  fastcgi_temp_path tmp;
  uwsgi_temp_path tmp;
  scgi_temp_path tmp;
  server { listen 127.0.0.1:$2 backlog=511; root $3/www; }
}
END
(
  until (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; do sleep 0.02; done
  echo ready
) &
exec "$1" -p "$3" -e stderr -c nginx.conf
