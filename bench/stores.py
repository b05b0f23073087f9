"""The stores that are measured: how they are started, and how `testclient bench` reaches them."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE_SECONDS = 120
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1
PRCTL = getattr(ctypes.CDLL(None), "prctl", None)  # Linux alone has it


def say(text):
    print(text, file=sys.stderr, flush=True)


def give_up(why):
    sys.exit(f"error: {why}")


def free_port():
    with socket.socket() as it:
        it.bind(("localhost", 0))
        return it.getsockname()[1]


def end_with_parent():
    """In a child, before its program: it is killed when this process ends, be it by kill -9."""
    if PRCTL:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


class Servers:
    """All processes that were started, and the folder of their data.

    On Linux no server outlives this process. The data does only if it is to be kept, or after kill -9.
    """

    def __init__(self, folder, keep):
        # Absolute, because servers have another working directory.
        self.folder = Path(tempfile.mkdtemp(prefix="pbkv-bench-", dir=folder)).resolve()
        self.keep = keep
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for ends in ENDING_SIGNALS:
            signal.signal(ends, signal.SIG_IGN)  # another one would leave the rest
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        if self.keep:
            say(f"data and logs are in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def start(self, name, command):
        """Starts a server. A signal that is meant for this process does not reach it."""
        log = open(self.folder / f"{name.replace(' ', '-')}.log", "ab")
        command = [str(part) for part in command]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.folder,
            preexec_fn=end_with_parent,
        )
        log.close()
        process.log = log.name
        self.processes.append(process)
        return process

    def end(self, process):
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        self.processes.remove(process)


def eventually(what, ask, process=None):
    """Asks until the answer is true."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if process is not None and process.poll() is not None:
            give_up(f"a server ended: {what}\n{Path(process.log).read_text(errors='replace')[-2000:]}")
        if answer := ask():
            return answer
        time.sleep(0.02)
    give_up(f"not within {PATIENCE_SECONDS} s: {what}")


def listens(port):
    def ask():
        with socket.socket() as it:
            return it.connect_ex(("localhost", port)) == 0

    return ask


class Pbkv:
    """A view service and servers, the first of which is the primary."""

    def __init__(self, servers, binaries, name, durable, copies=2):
        self.servers, self.binaries, self.name, self.durable = servers, binaries, name, durable
        self.view_service = f"localhost:{free_port()}"
        folder = servers.path(f"{name}/views")
        options = ["--addr", self.view_service, "--dir", folder, "--replicas", copies]
        self.processes = [servers.start(f"{name} views", [binaries / "viewservice", *options])]
        self.addresses = []
        for number in range(copies):
            self.addresses.append(f"localhost:{free_port()}")
            self.processes.append(self.start(number))
            self.wait_for_copies(number + 1)

    def start(self, number):
        options = ["--addr", self.addresses[number], "--vs", self.view_service]
        if self.durable:
            options += ["--data-dir", self.servers.path(f"{self.name}/s{number + 1}")]
        return self.servers.start(f"{self.name} s{number + 1}", [self.binaries / "kvserver", *options])

    def wait_for_copies(self, copies):
        command = [self.binaries / "testclient", "--vs", self.view_service, "--output", "json", "view"]

        def ask():
            seen = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            view = json.loads(seen.stdout or "{}").get("view")
            return view and view["acknowledged"] and 1 + len(view["backups"]) >= copies

        eventually(f"{self.name} has {copies} copies", ask, self.processes[-1])

    def client(self):
        return ["--vs", self.view_service]


class Unary:
    """Servers of pbkv that run already, and clients that make each call alone."""

    def __init__(self, pbkv):
        self.pbkv, self.processes = pbkv, pbkv.processes

    def client(self):
        return [*self.pbkv.client(), "--unary"]


class Redis:
    """A primary and one replica."""

    def __init__(self, servers, name, durable):
        ports = [free_port(), free_port()]
        self.processes = []
        for number, port in enumerate(ports):
            folder = servers.path(f"{name}/{number}")
            options = ["--port", port, "--dir", folder, "--save", "", "--bind", "127.0.0.1", "--protected-mode", "no"]
            options += ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
            if number:
                options += ["--replicaof", "127.0.0.1", ports[0]]
            process = servers.start(f"{name} {number}", ["redis-server", *options])
            self.processes.append(process)
            eventually(f"{name} listens", listens(port), process)
        self.address = f"127.0.0.1:{ports[0]}"
        eventually(f"{name} has a replica", self.has_replica)

    def has_replica(self):
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as it:
            it.sendall(b"INFO replication\r\n")
            return b"state=online" in it.recv(1 << 16)

    def client(self):
        return ["--peer", f"redis://{self.address}"]


class Etcd:
    """So many members."""

    def __init__(self, servers, name, members):
        ports = [(free_port(), free_port()) for _ in range(members)]
        self.processes = []
        cluster = ",".join(f"m{number}=http://127.0.0.1:{peer}" for number, (_, peer) in enumerate(ports))
        for number, (port, peer) in enumerate(ports):
            own, other = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
            options = ["--name", f"m{number}", "--data-dir", servers.path(f"{name}/{number}")]
            options += ["--listen-client-urls", own, "--advertise-client-urls", own]
            options += ["--listen-peer-urls", other, "--initial-advertise-peer-urls", other]
            options += ["--initial-cluster", cluster, "--quota-backend-bytes", 8 << 30, "--log-level", "error"]
            options += ["--auto-compaction-mode", "revision", "--auto-compaction-retention", "10000"]
            self.processes.append(servers.start(f"{name} {number}", ["etcd", *options]))
        for (port, _), process in zip(ports, self.processes):
            eventually(f"{name} listens", listens(port), process)
        self.address = f"127.0.0.1:{self.leader(ports)}"

    def leader(self, ports):
        """Clients ask the leader, as they ask pbkv's primary: another member would have to pass it on."""
        if len(ports) == 1 or not shutil.which("etcdctl"):
            return ports[0][0]
        ends = ",".join(f"127.0.0.1:{port}" for port, _ in ports)
        command = ["etcdctl", "--endpoints", ends, "endpoint", "status", "-w", "json"]
        environment = {**os.environ, "ETCDCTL_API": "3"}

        def ask():
            seen = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            for member in json.loads(seen.stdout or "[]") or []:
                status = member["Status"]
                if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                    return int(member["Endpoint"].rsplit(":", 1)[1])
            return None

        return eventually("etcd has a leader", ask)

    def client(self):
        return ["--peer", f"etcd://{self.address}"]
