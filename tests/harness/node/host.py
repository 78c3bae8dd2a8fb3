"""The machine that a node runs on: namespaces, mounts, network and cgroups that are its own, on a computer that keeps
its own.

Everything dies with the first process of the namespaces. No link leaves them: pods, API server and tests see each
other and nothing else. What a kubelet would set for the whole computer (sysctls) it sets on private copies. The size is
pretended, so that pods ask for what they would ask for elsewhere; what they get is what this computer has.
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

ADDRESS, DNS, REDIS = "10.250.0.1", "10.250.0.53", "10.250.0.2"
"""Of the node and its API server; of CoreDNS; of Redis, which on Google Cloud is outside the cluster."""
PODS = "10.244.0.0/16"
NAME = "rig-node"
VCPUS, MEMORY_GIB, DISK_GIB = 32, 128, 400
"""What the node says it has."""
SYSCTLS = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1}
"""Those that a kubelet wants."""
TOOLS = ("unshare", "nsenter", "ip", "mount", "openssl")
MARK = "RAYLLM_NODE"
"""In the environment of whatever runs inside."""
CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc")


def obstacle() -> str | None:
    """Why there can be no node here."""
    if sys.platform != "linux":
        return "a node needs Linux: kubelet and containerd exist for nothing else"
    if os.geteuid() != 0:
        return "a node mounts file systems and makes cgroups, for which it must be root: `sudo make test TIER=node`"
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"{', '.join(missing)} missing (Debian: util-linux, iproute2, mount, openssl)"
    if subprocess.run(["unshare", *NAMESPACES, "--fork", "--mount-proc", "true"], capture_output=True).returncode:
        return "namespaces cannot be made here: run it on a machine, or in a container with --privileged"
    if (CGROUPS / "cgroup.type").exists() and (CGROUPS / "cgroup.procs").read_text():  # which the topmost has not
        return (
            "this container has processes in its topmost cgroup, which cannot be divided then: give it --cgroupns=host"
        )
    if debian.missing() and not shutil.which("apt-get"):
        return f"{', '.join(debian.missing())} missing; where there is no apt-get, install them"
    return None


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Run `command` as the first process of namespaces of its own; what runs in them ends with it."""
    words = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    with log.open("wb") as out:
        return subprocess.Popen(
            [*words, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def first_process(starter: int) -> int | None:
    """The pid, seen from here, of what `start` began."""
    try:
        children = Path(f"/proc/{starter}/task/{starter}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def enter(first: int, folder: Path) -> list[str]:
    """What to put in front of a command, so that it runs inside, in `folder`."""
    return ["nsenter", f"--target={first}", *NAMESPACES, "env", f"--chdir={folder}", f"{MARK}=1"]


def inside() -> bool:
    """Whether this process is."""
    return bool(os.environ.get(MARK))


def cgroup_of(folder: Path) -> str:
    """Name of the cgroup that everything of the node in `folder` is under."""
    return "rayllm-node-" + re.sub(r"\W+", "-", str(folder)).strip("-")[-60:]


def prepare(folder: Path) -> None:
    """From within new namespaces: everything that the node's programs find."""
    _mounts(folder)
    _hardware(folder / "hardware")
    _network()
    _make_cgroups(cgroup_of(folder))
    _run("mount", "--make-rshared", "/")  # what the kubelet mounts, containerd sees


def full(size_gib: float) -> None:
    """Leave the node's disk with `size_gib` in all; from within."""
    _run("mount", "-o", f"remount,size={int(size_gib * 1024)}m", "/var/lib")


def remove_cgroups(name: str) -> None:
    """After everything in them has ended."""
    for top in sorted(CGROUPS.glob(f"*/{name}")) + sorted(CGROUPS.glob(name)):
        for folder, _, _ in os.walk(top, topdown=False):
            for _ in range(50):
                try:
                    Path(folder).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:  # what was killed is on its way out
                    time.sleep(0.1)


def _mounts(folder: Path) -> None:
    cgroups = folder / "cgroups"
    cgroups.mkdir(exist_ok=True)
    _run("mount", "--make-rprivate", "/")
    # The network namespace's own /sys, with the cgroups where they were.
    _run("mount", "--rbind", str(CGROUPS), str(cgroups))
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    _run("mount", "--rbind", str(cgroups), str(CGROUPS))
    _run("umount", "--lazy", str(cgroups))
    for name, value in SYSCTLS.items():
        _cover(Path("/proc/sys") / name, folder / "sysctl" / name, f"{value}\n")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    # Its disk: takes memory only for what is written.
    _run("mount", "-t", "tmpfs", "-o", f"mode=755,size={DISK_GIB}g", "disk", "/var/lib")
    logs = Path("/var/lib/log")
    logs.mkdir()
    _run("mount", "--bind", str(logs), "/var/log")
    search = "search ray.svc.cluster.local svc.cluster.local cluster.local"
    _cover(Path("/etc/resolv.conf"), folder / "resolv.conf", f"nameserver {DNS}\n{search}\n")


def _hardware(folder: Path) -> None:
    """What cAdvisor reads to know a machine (lib/machine, lib/utils/sysinfo)."""
    one = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    cores = [re.sub(r"^((?:processor|core id)\s*:) .*$", rf"\1 {i}", one, flags=re.M) for i in range(VCPUS)]
    memory = re.sub(r"(?m)^MemTotal:.*$", f"MemTotal: {MEMORY_GIB * 1024**2} kB", Path("/proc/meminfo").read_text())
    _cover(Path("/proc/cpuinfo"), folder / "cpuinfo", "\n\n".join(cores) + "\n\n")
    _cover(Path("/proc/meminfo"), folder / "meminfo", memory)
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
    if Path("/sys/devices/system/node").exists():  # without NUMA nodes the CPUs above are looked at
        _run("mount", "--bind", str(folder / "nodes"), "/sys/devices/system/node")


def _network() -> None:
    """A bridge with the addresses that are to be had; the default route leads to it, and nowhere further."""
    for words in (
        "link set lo up",
        "link add node0 type bridge",
        *(f"addr add {each} dev node0" for each in (f"{ADDRESS}/24", f"{DNS}/32", f"{REDIS}/32")),
        "link set node0 up",
        "route add default dev node0",
    ):
        _run("ip", *words.split())
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _run("hostname", NAME)
    up = {each.name for each in Path("/sys/class/net").iterdir() if _is_up(each)}
    assert up == {"lo", "node0"}, f"links that lead elsewhere: {up}"


def _is_up(link: Path) -> bool:
    try:
        return int((link / "flags").read_text(), 16) & 1 == 1
    except OSError:
        return False


def _make_cgroups(name: str) -> None:
    if (CGROUPS / "cgroup.controllers").exists():  # version 2
        top = CGROUPS / name
        (top / "first").mkdir(parents=True, exist_ok=True)
        (top / "first" / "cgroup.procs").write_text("0")  # a cgroup that has processes may not divide what it has
        for folder in (CGROUPS, top):
            # A kubelet takes a cgroup for missing if it lacks one of those that the computer has, huge pages included.
            for controller in (folder / "cgroup.controllers").read_text().split():
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
        return
    for controller in CGROUPS.iterdir():
        if controller.is_symlink() or controller.name == "unified":
            continue
        # The kubelet would make `kubepods` with all the CPUs that it believes in; what is there it takes as it is.
        for own in (controller / name, controller / name / "kubepods"):
            own.mkdir(exist_ok=True)
            if controller.name == "cpuset":  # starts empty, and then takes no process
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (own / file).write_text((controller / file).read_text())


def _cover(target: Path, file: Path, text: str) -> None:
    """Have `target` read `text`, within these namespaces."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    _run("mount", "--bind", str(file), str(target))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
