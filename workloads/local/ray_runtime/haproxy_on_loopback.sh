#!/bin/sh
# HAProxy for one computer: nothing it opens can be reached from outside.
#
# Ray's template binds the metrics port on every interface whatever the host setting says, and gives the stats page its
# own listener the same way (ray/serve/_private/haproxy_templates.py: `bind :PORT`, `bind *:PORT`). Ray writes the
# configuration, then runs RAY_SERVE_HAPROXY_BINARY_PATH with it: this file stands there, ties every such bind to
# 127.0.0.1 and becomes the real HAProxy. It refuses to start one that would still listen elsewhere, so a Ray release
# with another template fails loudly instead of opening a port.
#
# Called as: haproxy_on_loopback.sh -db -f CONFIGURATION [...]; RAYLLM_HAPROXY_BINARY names the real binary.
set -eu
previous=
for word in "$@"; do
    if [ "$previous" = "-f" ]; then
        sed -i -E 's/^([[:space:]]*bind[[:space:]]+)(\*|0\.0\.0\.0|\[?::\]?)?:([0-9]+)/\1127.0.0.1:\3/' "$word"
        if grep -E '^[[:space:]]*bind[[:space:]]' "$word" | grep -vqE 'bind[[:space:]]+127\.0\.0\.1:[0-9]+([[:space:]]|$)'; then
            echo "haproxy_on_loopback: this HAProxy configuration would listen beyond 127.0.0.1; not started" >&2
            exit 78
        fi
    fi
    previous=$word
done
exec "$RAYLLM_HAPROXY_BINARY" "$@"
