"""A SLURM of a controller and two nodes on one computer, in one folder: real daemons, of which each
has a port of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socket import gethostname, socket

NODES = ("one", "two")
# Nodes as the pages' scripts ask for: GPUs are counted, and nobody looks for them. A node is lost
# after 20 s, and a job that is queued again waits for 10 s more than it must.
CONF = """
ClusterName=two
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmctldTimeout=60
SlurmdTimeout=20
MessageTimeout=60
BatchStartTimeout=120
TCPTimeout=30
FirstJobId={first}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=5,batch_sched_delay=1
ReturnToService=2
KillWait=60
MinJobAge=86400
GresTypes=gpu
{nodes}
PartitionName=gpu Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=96 Gres=gpu:8 "
    "State=UNKNOWN"
)


class Cluster:
    """A SLURM, its commands and its jobs.

    Args:
        folder: for all its files; with a short path, which is that of a socket.
    """

    def __init__(self, folder: Path):
        self.folder, self.daemons = folder, {}
        # MASTER_ADDR is what Lightning makes of a node's name, which is no computer's here
        # the one that the scripts find
        python = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        words = {"SLURM_CONF": f"{folder}/slurm.conf", "MASTER_ADDR": "127.0.0.1", "PATH": python}
        self.environment = os.environ | words

    def start(self) -> None:
        """Start all daemons, and wait until both nodes are idle."""
        host, ports = gethostname().partition(".")[0], _free_ports(3)
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        nodes = [
            NODE.format(name=name, host=host, port=port)
            for name, port in zip(NODES, ports, strict=False)
        ]
        words = {"host": host, "controller": ports[-1], "folder": self.folder}
        # Lightning makes a port of it, which no other's jobs may have
        words["first"] = 1000 + os.getpid() % 8000
        (self.folder / "slurm.conf").write_text(
            CONF.format(**words, nodes="\n".join(nodes), names=",".join(NODES))
        )
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-7]\n")
        for number in range(8):
            (self.folder / f"gpu{number}").touch()
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        files = {
            f"--{name}-file": self.folder / f"munge.{name}"
            for name in ("key", "log", "pid", "seed")
        }
        files["--log-file"] = files.pop("--log-file")
        socket_ = f"--socket={self.folder}/munge.socket"
        self._start(
            "munged",
            "--foreground",
            "--force",
            socket_,
            *(f"{name}={path}" for name, path in files.items()),
        )
        wait_for((self.folder / "munge.socket").exists, "munged to listen")
        self._start("slurmctld", "-D", "-c")
        for name in NODES:
            self.start_node(name)

    def start_node(self, name: str) -> None:
        """Start the daemon of a node, and wait until jobs can run there."""
        self._start("slurmd", "-D", "-N", name, called=name)
        wait_for(lambda: self.state_of_node(name) == "idle", f"node {name} to be idle")

    def kill_node(self, name: str) -> None:
        """End all that runs on a node at once, as if it had lost its power."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()
        _kill(f"SLURMD_NODENAME={name}", f"{self.folder}/slurm.conf")

    def stop(self) -> None:
        """End all daemons, and whatever their jobs left, at once: nothing of it is needed any
        more.
        """
        for daemon in self.daemons.values():
            daemon.kill()
        _kill(f"{self.folder}/slurm.conf")
        for daemon in self.daemons.values():
            daemon.wait()

    def __call__(self, *command: str) -> str:
        """What a command of SLURM says."""
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}"
        return ended.stdout.strip()

    def state_of_node(self, name: str) -> str:
        """`idle`, `mixed`, `allocated`, `down*`; nothing before the controller answers."""
        command = ["sinfo", "--noheader", "--Node", "--nodes", name, "--format=%T"]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=120
        ).stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """What SLURM knows of a job: JobState, Restarts, Reason, TimeLimit, ..."""
        words = self("scontrol", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def _start(self, program: str, *arguments: str, called: str = "") -> None:
        log = (self.folder / f"{called or program}.out").open("ab")
        self.daemons[called or program] = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program, *arguments],
            env=self.environment | ({"SLURMD_NODENAME": called} if called else {}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 600) -> None:
    """Look twice a second whether something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited for {what}, {seconds:.0f} s"
        time.sleep(0.5)


def _free_ports(count: int) -> list[int]:
    sockets = [socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _kill(*words: str) -> None:
    """End the processes whose environment has each of some words, but for this one."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            environment = (folder / "environ").read_bytes()
            if (
                all(word.encode() in environment for word in words)
                and int(folder.name) != os.getpid()
            ):
                os.kill(int(folder.name), signal.SIGKILL)
