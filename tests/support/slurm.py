"""A real Slurm on this machine for as long as a block: munge, controller and nodes, in a folder of their own.

Where Slurm is not installed, Debian's packages are fetched and unpacked into that folder; nothing is installed, no
service of the machine is touched, and root is not needed.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

PACKAGES = ("munge", "slurm-client", "slurmctld", "slurmd")
DAEMONS = ("munged", "slurmctld", "slurmd")
PLUGINS = "usr/lib/*/slurm-wlm/auth_munge.so"
"""Folder of Slurm's programs on Debian."""
CPUS, MEMORY_MB, GPUS = 16, 64_000, ("/dev/null", "/dev/zero")
"""Resources that a node claims, whatever the machine has."""
STEP = "slurmstepd"
"""The program that starts a step of a job and reports its end."""
USER = pwd.getpwuid(os.getuid()).pw_name

CONFIG = """\
ClusterName=crepe
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
# A job that is queued again waits until what it was allowed has expired, as a rule two minutes.
AuthInfo=socket={folder}/munge.socket,cred_expire=20
PluginDir={plugins}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
# A slurmd ends the one that holds its file, so each node has one of its own.
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# The node is believed: it need not have what it claims.
SlurmdParameters=config_overrides
ReturnToService=2
# Jobs of a node that fails are lost unless they ask to be queued again, as on some clusters.
JobRequeue=0
# Seconds between two looks for room for such jobs.
SchedulerParameters=bf_interval=5
# Seconds that a job is remembered after its end.
MinJobAge=3600
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus}"
)


class MissingError(Exception):
    """There is no Slurm here and none to be had; says why."""


@contextmanager
def cluster(count: int) -> Iterator[dict[str, str]]:
    """The environment in which Slurm's commands find the cluster. Raises MissingError where there can be none.

    Args:
        count: nodes: node1, node2 and so on.
    """
    nodes = [f"node{number}" for number in range(1, count + 1)]
    with ExitStack() as stack:
        # A short path: munge's socket must not have more than 107 bytes.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        installed = all(Path("/usr/sbin", name).exists() for name in (*DAEMONS, STEP))
        root = Path("/") if installed and [*Path("/").glob(PLUGINS)] else unpacked(folder)
        (plugins,) = [path.parent for path in root.glob(PLUGINS)]
        folders = [folder / "bin", root / "usr/bin", root / "usr/sbin"]
        environment = {
            "PATH": os.pathsep.join([*map(str, folders), os.environ["PATH"]]),
            "LD_LIBRARY_PATH": f"{plugins}:{plugins.parent}",
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        configure(folder, root, plugins, nodes)
        stepd = shutil.which(STEP, path=environment["PATH"])
        commands = {
            "munged": ("munged", "--foreground", "--force", *munge_files(folder)),
            "slurmctld": ("slurmctld", "-D", "-i"),
            **{node: ("slurmd", "-D", "-N", node, "-d", stepd) for node in nodes},
        }
        for name, command in commands.items():
            stack.enter_context(daemon(folder / f"{name}.log", environment, *command))
            if name == "munged":
                wait((folder / "munge.socket").exists, "munge's socket")
        states = "sinfo", "--noheader", "--Node", "--format=%T"
        wait(lambda: ask(environment, *states).split() == ["idle"] * count, "idle nodes")
        try:
            yield environment
        finally:
            ask(environment, "scancel", "--user", USER)
            wait(lambda: not ask(environment, "squeue", "--noheader"), "the end of all jobs")


def unpacked(folder: Path) -> Path:
    """Fetch the packages and what they need, and unpack them."""
    if not shutil.which("apt-get"):
        raise MissingError("Slurm is not installed, and there is no apt-get to fetch Debian's packages with")
    cache, lists, root = folder / "cache", folder / "lists", folder / "root"
    for path in (cache / "archives/partial", lists / "partial"):
        path.mkdir(parents=True)
    options = ["-qq", "-o", f"Dir::Cache={cache}", "-o", f"Dir::State::lists={lists}", "-o", "Debug::NoLocking=1"]
    options += ["-o", f"APT::Sandbox::User={USER}", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20"]
    install = ("install", "--yes", "--download-only", "--no-install-recommends", *PACKAGES)
    for words in (("update",), install):
        done = subprocess.run(["apt-get", *options, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingError(f"Slurm is not installed, and Debian's packages are not to be had: {done.stderr}")
    for package in (cache / "archives").glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    # The names that an installation gives them. Slurm's daemons go by the name that they are called by.
    for path in root.glob("usr/sbin/*-wlm"):
        path.with_name(path.name.removesuffix("-wlm")).symlink_to(path.name)
    return root


def fail(environment: dict[str, str], node: str) -> None:
    """Have a node fail: kill its slurmd and all that runs there, and tell the controller, as a health check would."""
    folder = Path(environment["SLURM_CONF"]).parent
    psutil.Process(int((folder / f"{node}.pid").read_text())).kill()
    while processes := running(folder, node):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.5)
    ask(environment, "scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=failed")


def running(folder: Path, node: str) -> list[psutil.Process]:
    """Return the processes of jobs on the node, after those of Slurm that started them and report their end."""
    tasks = [process for process, variables in of_jobs(folder) if variables["SLURMD_NODENAME"] == node]
    steps = set()
    for process in tasks:
        with suppress(psutil.NoSuchProcess):
            steps |= {parent for parent in process.parents() if parent.name() == STEP}
    return [*steps, *tasks]


def of_jobs(folder: Path) -> list[tuple[psutil.Process, dict[str, str]]]:
    """Return the processes of all jobs, with their environment variables."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            if "SLURMD_NODENAME" in variables and f"{folder}/" in variables.get("PATH", ""):
                found.append((process, variables))
    return found


def memory(environment: dict[str, str]) -> list[tuple[str, bool, int]]:
    """Return, of each process of a job: the job's number, whether it is Snakemake, and its bytes.

    Pages of files, which the kernel may drop, do not count.
    """
    found = []
    for process, variables in of_jobs(Path(environment["SLURM_CONF"]).parent):
        with suppress(psutil.Error):
            sizes, words = process.memory_info(), process.cmdline()
            found.append((variables["SLURM_JOB_ID"], "snakemake" in words[:3], sizes.rss - sizes.shared))
    return found


def configure(folder: Path, root: Path, plugins: Path, nodes: list[str]) -> None:
    for name in ("state", *(f"spool-{node}" for node in nodes)):
        (folder / name).mkdir()
    with ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in range(len(nodes) + 1)]
        for each in free:
            each.bind(("127.0.0.1", 0))
        controller_port, *ports = (each.getsockname()[1] for each in free)
    host = socket.gethostname().partition(".")[0]
    claims = {"cpus": CPUS, "memory": MEMORY_MB, "gpus": len(GPUS), "host": host}
    lines = [NODE.format(name=name, port=port, **claims) for name, port in zip(nodes, ports, strict=True)]
    places = {"folder": folder, "plugins": plugins, "user": USER, "host": host}
    text = CONFIG.format(controller_port=controller_port, nodes="\n".join(lines), **places)
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={file}\n" for file in GPUS))
    # Snakemake's plugin takes SLURM_CONF from the environment of what a job starts.
    srun = folder / "bin/srun"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {root}/usr/bin/srun "$@"\n')
    srun.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)


def munge_files(folder: Path) -> list[str]:
    names = {"key": "key-file", "pid": "pid-file", "seed": "seed-file", "socket": "socket", "log": "log-file"}
    return [f"--{option}={folder}/munge.{name}" for name, option in names.items()]


@contextmanager
def daemon(log: Path, environment: dict[str, str], name: str, *options: str) -> Iterator[None]:
    """Run it in the foreground for as long as the block."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [shutil.which(name, path=environment["PATH"]), *options],
            env=os.environ | environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(300)


def ask(environment: dict[str, str], *command: str) -> str:
    """Return the output of one of Slurm's commands; empty if it fails."""
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=300
    ).stdout


def wait(condition: Callable[[], object], what: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)
