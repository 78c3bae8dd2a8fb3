"""Rules about the local host. workloads/local/host_checks.py applies them before it declares a resource.

They are about the host and not about the settings: the same settings can work on another host.
"""

from __future__ import annotations

from config.issues import Rule

PLATFORM_UNSUPPORTED = Rule(
    "host.platform-unsupported",
    problem="the local host is {system} on {machine}",
    reason="vLLM's CPU engine has packages for Linux on x86-64 only",
    fix="Run the stack on such a host or virtual machine; the cloud stacks (`make preview STACK=dev`) and "
    "`make test TIER=unit` work here",
)
RAY_NOT_INSTALLED = Rule(
    "host.ray-not-installed",
    problem="{venv} does not contain Ray",
    reason="the stack runs Ray from this virtual environment",
    fix="Run `make up`, which installs it from locks/ray.txt",
)
DATA_DIR_NOT_OWN = Rule(
    "host.data-dir-not-own",
    problem="{path} contains files of another program, or belongs to another user",
    reason="this stack empties the directory when it starts and deletes it when it stops",
    fix="Choose an empty directory, or delete this one yourself",
)
CREDENTIALS_FILE_MISSING = Rule(
    "host.credentials-file-missing",
    problem="{path} is not a file",
    reason="Ray reads buckets with it",
    fix="Write the path of a credentials file (`gcloud auth application-default login` prints it)",
)
MEMORY_TOO_SMALL = Rule(
    "host.memory-too-small",
    problem="{replicas} replica(s) need about {needed} GiB of memory",
    reason="{free} GiB are free",
    fix="Write fewer replicas, or stop other programs",
)
DISK_TOO_SMALL = Rule(
    "host.disk-too-small",
    problem="{path} needs {needed} GiB of disk",
    reason="{free} GiB are free",
    fix="Write a directory on a larger disk",
)
WEIGHTS_EXCEED_DISK = Rule(
    "host.weights-exceed-disk",
    problem="{weights:g} GiB, and {path} needs {needed} GiB of disk",
    reason="Ray downloads the weights there, and {free} GiB are free",
    fix="Write an `infra.data_dir` on a larger disk",
)
PORT_TAKEN = Rule(
    "host.port-taken",
    problem="port {port} is taken by {owner}{others}",
    reason="the stack listens there",
    fix="Stop that program (for another stack: `make down` in its checkout), or write another port_offset (200, 400, "
    "...) to move all ports",
)
MODEL_NOT_A_DIRECTORY = Rule(
    "host.model-not-a-directory",
    problem="{source} is not a directory with a config.json",
    reason="the local host reads models in Hugging Face format from an absolute path",
    fix="Write `smollm2-135m`, `tiny-random`, or the absolute path of such a directory",
)
