#!/bin/sh
# Run HAProxy with all its listeners on loopback.
#
# Ray's template binds the metrics port on every interface, whatever the host setting says, and the listener of the
# stats page in the same way (ray/serve/_private/haproxy_templates.py: `bind :PORT`, `bind *:PORT`). Ray writes the
# configuration, then runs RAY_SERVE_HAPROXY_BINARY_PATH with it, which is this script. The script changes every such
# bind to 127.0.0.1 and then executes the real HAProxy. It does not start HAProxy if a listener would still be on
# another address, so a Ray release with another template fails visibly instead of opening a port.
#
# Usage: haproxy_on_loopback.sh -db -f CONFIGURATION [...]; RAYLLM_HAPROXY_BINARY names the real binary.
set -eu
previous=
for word in "$@"; do
    if [ "$previous" = "-f" ]; then
        sed -i -E 's/^([[:space:]]*bind[[:space:]]+)(\*|0\.0\.0\.0|\[?::\]?)?:([0-9]+)/\1127.0.0.1:\3/' "$word"
        if grep -E '^[[:space:]]*bind[[:space:]]' "$word" | grep -vqE 'bind[[:space:]]+127\.0\.0\.1:[0-9]+([[:space:]]|$)'; then
            echo "haproxy_on_loopback: HAProxy not started: this configuration would listen on another address than 127.0.0.1" >&2
            exit 78
        fi
    fi
    previous=$word
done
exec "$RAYLLM_HAPROXY_BINARY" "$@"
