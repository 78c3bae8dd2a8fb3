"""API keys in Ray's pods: the mounted Secret, and the file that the pod's proxy reads.

The Secret is optional for the kubelet, so that pods start before the first key exists: their proxies then refuse every
request. HAProxy's own copy is a file that pod_scripts/api_keys.py keeps up to date, because a mounted Secret cannot be
written and HAProxy does not start without its file. Serve's Python proxy reads the mounted file itself.
"""

from __future__ import annotations

from typing import Any

from config.api_keys import MAP_FILE
from config.data_path import DATA_PATHS
from config.model_service import ModelService

VOLUME, MOUNT_PATH = "api-keys", "/etc/rayllm/api-keys"
MOUNTED_FILE = f"{MOUNT_PATH}/{MAP_FILE}"
HAPROXY_FILE = "/tmp/rayllm-keys.map"


def file(service: ModelService) -> str:
    """Return the file with the keys that the pod's proxy reads."""
    return HAPROXY_FILE if DATA_PATHS[service.data_path].haproxy else MOUNTED_FILE


def volumes(service: ModelService) -> list[dict[str, Any]]:
    """Return the volume with the Secret, if callers need keys."""
    if service.api_keys is None:
        return []
    return [{"name": VOLUME, "secret": {"secretName": service.api_keys.secret, "optional": True}}]


def mounts(service: ModelService) -> list[dict[str, Any]]:
    """Return the mount of that volume."""
    return [{"name": each["name"], "mountPath": MOUNT_PATH, "readOnly": True} for each in volumes(service)]


def scripts(service: ModelService) -> list[str]:
    """Return the script, with its arguments, that runs beside Ray in a worker pod."""
    needed = service.api_keys is not None and DATA_PATHS[service.data_path].haproxy
    return [f"api_keys.py {MOUNTED_FILE} {HAPROXY_FILE}"] if needed else []
