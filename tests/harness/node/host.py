"""The machine that a node runs on: private namespaces, mounts, network and cgroups on a computer that keeps its own.

Everything ends with the first process of the namespaces. No network link leaves them: pods, API server and tests reach
each other and nothing else. Sysctls that a kubelet would set for the whole computer are set on private copies. The size
is simulated, so that pods request what they would request elsewhere; they get what this computer has.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.harness.node import debian

NODE_ADDRESS, DNS_ADDRESS, REDIS_ADDRESS = "10.250.0.1", "10.250.0.53", "10.250.0.2"
"""Addresses of the node with its API server, of CoreDNS, and of Redis, which Google Cloud runs outside the cluster."""
POD_CIDR = "10.244.0.0/16"
NODE_NAME = "test-node"
VCPUS, MEMORY_GIB, DISK_GIB = 32, 128, 400
"""The simulated size of the node."""
SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1}
"""Sysctls that a kubelet sets."""
REQUIRED_TOOLS = ("unshare", "nsenter", "ip", "mount", "openssl")
INSIDE_ENV_VAR = "RAYLLM_NODE"
"""Set for every process inside."""
CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc")


def unavailable_reason() -> str | None:
    """Return why no node can run on this machine, or None if it can."""
    if sys.platform != "linux":
        return "a node needs Linux: kubelet and containerd exist for nothing else"
    if os.geteuid() != 0:
        return "a node mounts file systems and creates cgroups, which needs root: `sudo make test TIER=node`"
    if missing := [tool for tool in REQUIRED_TOOLS if shutil.which(tool) is None]:
        return f"{', '.join(missing)} missing (Debian: util-linux, iproute2, mount, openssl)"
    if subprocess.run(["unshare", *NAMESPACES, "--fork", "--mount-proc", "true"], capture_output=True).returncode:
        return "namespaces cannot be created here: use a virtual machine, or a container with --privileged"
    if (CGROUPS / "cgroup.type").exists() and (
        CGROUPS / "cgroup.procs"
    ).read_text():  # a machine's root cgroup has no cgroup.type
        return "this container has processes in its root cgroup, which then cannot be divided: add --cgroupns=host"
    if debian.missing_packages() and not shutil.which("apt-get"):
        return f"{', '.join(debian.missing_packages())} missing, and there is no apt-get to fetch them: install them"
    return None


def start_in_namespaces(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start `command` as the first process of new namespaces. Every process in them ends with it."""
    words = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    with log.open("wb") as out:
        return subprocess.Popen(
            [*words, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def first_process(starter: int) -> int | None:
    """Return the pid, outside the namespaces, of the first process that `starter` started; None if it ended."""
    try:
        children = Path(f"/proc/{starter}/task/{starter}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def enter_command(first: int, folder: Path) -> list[str]:
    """Return the words that, in front of a command, run it inside, with the working directory `folder`."""
    return ["nsenter", f"--target={first}", *NAMESPACES, "env", f"--chdir={folder}", f"{INSIDE_ENV_VAR}=1"]


def is_inside() -> bool:
    """Return True if this process runs inside."""
    return bool(os.environ.get(INSIDE_ENV_VAR))


def cgroup_name(folder: Path) -> str:
    """Return the name of the cgroup that contains every process of the node in `folder`."""
    return "rayllm-node-" + re.sub(r"\W+", "-", str(folder)).strip("-")[-60:]


def prepare_namespaces(folder: Path) -> None:
    """Inside new namespaces, prepare mounts, simulated hardware, network and cgroups for the node's programs."""
    _mounts(folder)
    _hardware(folder / "hardware")
    _network()
    _create_cgroups(cgroup_name(folder))
    _run("mount", "--make-rshared", "/")  # containerd sees the kubelet's mounts


def resize_disk(size_gib: float) -> None:
    """Inside, change the size of the node's disk."""
    _run("mount", "-o", f"remount,size={int(size_gib * 1024)}m", "/var/lib")


def remove_cgroups(name: str) -> None:
    """Remove the cgroup of a node whose processes have ended."""
    for top in sorted(CGROUPS.glob(f"*/{name}")) + sorted(CGROUPS.glob(name)):
        for folder, _, _ in os.walk(top, topdown=False):
            for _ in range(50):
                try:
                    Path(folder).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:  # a killed process is still ending
                    time.sleep(0.1)


def _mounts(folder: Path) -> None:
    cgroups = folder / "cgroups"
    cgroups.mkdir(exist_ok=True)
    _run("mount", "--make-rprivate", "/")
    # A new /sys for the network namespace, with the cgroups in their place.
    _run("mount", "--rbind", str(CGROUPS), str(cgroups))
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    _run("mount", "--rbind", str(cgroups), str(CGROUPS))
    _run("umount", "--lazy", str(cgroups))
    for name, value in SYSCTLS.items():
        _bind_file(Path("/proc/sys") / name, folder / "sysctl" / name, f"{value}\n")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    # The node's disk: it takes memory only for written data.
    _run("mount", "-t", "tmpfs", "-o", f"mode=755,size={DISK_GIB}g", "disk", "/var/lib")
    logs = Path("/var/lib/log")
    logs.mkdir()
    _run("mount", "--bind", str(logs), "/var/log")
    search = "search ray.svc.cluster.local svc.cluster.local cluster.local"
    _bind_file(Path("/etc/resolv.conf"), folder / "resolv.conf", f"nameserver {DNS_ADDRESS}\n{search}\n")


def _hardware(folder: Path) -> None:
    """Replace the files from which cAdvisor reads a machine's size (lib/machine, lib/utils/sysinfo)."""
    one = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    cores = [re.sub(r"^((?:processor|core id)\s*:) .*$", rf"\1 {i}", one, flags=re.M) for i in range(VCPUS)]
    memory = re.sub(r"(?m)^MemTotal:.*$", f"MemTotal: {MEMORY_GIB * 1024**2} kB", Path("/proc/meminfo").read_text())
    _bind_file(Path("/proc/cpuinfo"), folder / "cpuinfo", "\n\n".join(cores) + "\n\n")
    _bind_file(Path("/proc/meminfo"), folder / "meminfo", memory)
    cpus = folder / "cpus"
    for i in range(VCPUS):
        topology = cpus / f"cpu{i}" / "topology"
        topology.mkdir(parents=True)
        (topology / "core_id").write_text(f"{i}\n")
        (topology / "physical_package_id").write_text("0\n")
    for name in ("online", "present", "possible"):
        (cpus / name).write_text(f"0-{VCPUS - 1}\n")
    (folder / "nodes").mkdir()
    _run("mount", "--bind", str(cpus), "/sys/devices/system/cpu")
    if Path("/sys/devices/system/node").exists():  # without NUMA nodes, cAdvisor reads the CPUs above
        _run("mount", "--bind", str(folder / "nodes"), "/sys/devices/system/node")


def _network() -> None:
    """Create a bridge with all addresses; the default route leads to it and not further."""
    for words in (
        "link set lo up",
        "link add node0 type bridge",
        *(f"addr add {each} dev node0" for each in (f"{NODE_ADDRESS}/24", f"{DNS_ADDRESS}/32", f"{REDIS_ADDRESS}/32")),
        "link set node0 up",
        "route add default dev node0",
    ):
        _run("ip", *words.split())
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _run("hostname", NODE_NAME)
    up = {each.name for each in Path("/sys/class/net").iterdir() if _is_up(each)}
    assert up == {"lo", "node0"}, f"links that lead out of the namespace: {up}"


def _is_up(link: Path) -> bool:
    try:
        return int((link / "flags").read_text(), 16) & 1 == 1
    except OSError:
        return False


def _create_cgroups(name: str) -> None:
    if (CGROUPS / "cgroup.controllers").exists():  # version 2
        top = CGROUPS / name
        (top / "first").mkdir(parents=True, exist_ok=True)
        (top / "first" / "cgroup.procs").write_text("0")  # a cgroup with processes cannot enable controllers for others
        for folder in (CGROUPS, top):
            # A kubelet treats a cgroup as missing if it lacks a controller that the computer has, such as hugetlb.
            for controller in (folder / "cgroup.controllers").read_text().split():
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
        return
    for controller in CGROUPS.iterdir():
        if controller.is_symlink() or controller.name == "unified":
            continue
        # The kubelet would create `kubepods` with all simulated CPUs; it uses an existing one as it is.
        for group in (controller / name, controller / name / "kubepods"):
            group.mkdir(exist_ok=True)
            if controller.name == "cpuset":  # starts empty, and an empty one accepts no process
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (group / file).write_text((controller / file).read_text())


def _bind_file(target: Path, file: Path, text: str) -> None:
    """Within these namespaces, make `target` read as `text`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    _run("mount", "--bind", str(file), str(target))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
