# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m bench deploy --nodes 4 --rounds 3`` and ``python -m bench scale --sizes 5,50``.

Every round makes fresh virtual Pis, so that nothing is left from the one before. CPU is the controller's: the command
and its children, from the operating system's own accounting. Wall clock on a shared machine is noisy: compare figures
of one run, by their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.pideploy.k3s.plugins.module_utils import artifacts
from bench import floor
from pideploy.lab import Lab

LAB = "bench"


@dataclass(frozen=True)
class Run:
    """One execution of the deploy command. Times in seconds; host-tasks are the largest number on one node.

    ``ready`` is ``wall`` without what verify did after all nodes were Ready: wait for system pods and look at flannel.
    """

    wall: float
    ready: float
    cpu: float
    host_tasks: int
    bytes_pushed: int
    changed: bool
    phases: dict[str, float]


@dataclass(frozen=True)
class Round:
    """One round of ``deploy``: the floor and two deploys on equal, fresh machines."""

    floor: float
    first: Run
    second: Run
    restarted: list[str]


def pideploy(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pideploy", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"pideploy {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


@contextmanager
def lab(hosts: str, flavour: str) -> Iterator[dict[str, str]]:
    """Make fresh virtual Pis; yield name -> address in the hostlist's order."""
    made = Lab.up(hosts, flavour, name=LAB)
    try:
        yield {node.name: node.address for node in made.nodes}
    finally:
        made.down()


def bytes_pushed(events: Path) -> int:
    """Sum what k3s_artifact says it has sent to the nodes."""
    total = 0
    for line in events.read_text().splitlines():
        data = json.loads(line).get("event_data", {})
        if data.get("task_action") == "pideploy.k3s.k3s_artifact" and "res" in data:
            total += int(data["res"].get("bytes_pushed", 0))
    return total


def deploy(hosts: str, version: str, extra: list[str]) -> Run:
    """Run ``pideploy kubernetes`` once and measure it from outside."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    arguments = ["kubernetes", "--hosts", hosts, "--k3s-version", version, "--output", "json", *extra]
    result = json.loads(pideploy(*arguments))
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    after_ready = sum(c["duration"] for c in result["checks"] if c["id"] != "nodes")
    return Run(
        wall=wall,
        ready=wall - after_ready,
        cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        host_tasks=max(host["host_tasks"] for host in result["hosts"].values()),
        bytes_pushed=bytes_pushed(Path(result["folder"]) / "events.jsonl"),
        changed=result["changed"],
        phases={phase["id"]: round(phase["duration"], 2) for phase in result["phases"]},
    )


def main_pids(hosts: dict[str, str]) -> dict[str, str]:
    show = "systemctl show -p MainPID --value k3s k3s-agent"
    return {host: floor.ssh(host, show).strip() for host in hosts}


def one_round(hosts: str, flavour: str, files: floor.Files, version: str, extra: list[str]) -> Round:
    kubelet = ["fail-cgroupv1=false"] if not Path("/sys/fs/cgroup/cgroup.controllers").exists() else []
    with lab(hosts, flavour) as nodes:
        lowest = floor.run(nodes, files, kubelet)
    with lab(hosts, flavour) as nodes:
        first = deploy(hosts, version, extra)
        before = main_pids(nodes)
        second = deploy(hosts, version, extra)
        after = main_pids(nodes)
    return Round(lowest, first, second, [host for host in nodes if before[host] != after[host]])


def row(name: str, values: list[float], unit: str = "s") -> str:
    return f"{name:<34}{min(values):>10.2f}{statistics.median(values):>10.2f}{max(values):>10.2f}  {unit}"


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return f"{os.cpu_count()} x {model}, {memory} MB, Linux {platform.release()}, Python {platform.python_version()}"


def bench_deploy(options: argparse.Namespace) -> None:
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = artifacts.find(options.k3s_version, arch, "binary")
    if binary is None:
        raise SystemExit(f"error: no k3s {options.k3s_version} for {arch} in the cache: see 'pideploy artifacts list'")
    images = artifacts.find(options.k3s_version, arch, "images")
    files = floor.Files(Path(binary.path), Path(images.path) if images else None)
    hosts = f"bench[0-{options.nodes - 1}]"
    # The floor ends when all nodes are Ready; so does this: what the full verification adds is another question.
    extra = ["--set", 'k3s_disable=["traefik", "servicelb", "metrics-server"]', "--set", "verify_level=nodes"]
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds} …", file=sys.stderr)
        rounds.append(one_round(hosts, options.flavour, files, options.k3s_version, extra))
    print(f"# {machine()}")
    print(f"# {options.nodes} virtual Pis ({options.flavour}), k3s {options.k3s_version}, {options.rounds} rounds")
    print(f"{'':<34}{'min':>10}{'median':>10}{'max':>10}")
    print(row("floor: ssh push, start, all Ready", [r.floor for r in rounds]))
    print(row("pideploy kubernetes, all Ready", [r.first.ready for r in rounds]))
    print(row("  ratio to the floor", [r.first.ready / r.floor for r in rounds], "x"))
    print(row("pideploy kubernetes, system pods run", [r.first.wall for r in rounds]))
    print(row("  controller CPU", [r.first.cpu for r in rounds]))
    print(row("  host-tasks on one node, at most", [r.first.host_tasks for r in rounds], ""))
    print(row("  bytes pushed", [r.first.bytes_pushed / 1e6 for r in rounds], "MB"))
    print(row("second run", [r.second.wall for r in rounds]))
    print(row("  controller CPU", [r.second.cpu for r in rounds]))
    print(row("  host-tasks on one node, at most", [r.second.host_tasks for r in rounds], ""))
    print(f"second run changed something: {any(r.second.changed for r in rounds)}; "
          f"k3s restarted on: {sorted({h for r in rounds for h in r.restarted}) or 'none'}")
    for phase in rounds[0].first.phases:
        print(row(f"  phase {phase}", [r.first.phases[phase] for r in rounds]))
    if options.save:
        raw = {"machine": machine(), "rounds": [asdict(r) for r in rounds]}
        options.save.write_text(json.dumps(raw, indent=1) + "\n")


def bench_scale(options: argparse.Namespace) -> None:
    sizes = [int(size) for size in options.sizes.split(",")]
    runs: dict[int, Run] = {}
    for size in sizes:
        print(f"{size} nodes …", file=sys.stderr)
        hosts = f"bench[0-{size - 1}]"
        with lab(hosts, options.flavour):
            runs[size] = deploy(hosts, options.k3s_version, [])
    print(f"# {machine()}; simulated k3s {options.k3s_version}; the nodes run on the same machine")
    print(f"{'nodes':>6}{'wall s':>10}{'CPU s':>10}{'host-tasks':>12}")
    for size, run in runs.items():
        print(f"{size:>6}{run.wall:>10.2f}{run.cpu:>10.2f}{run.host_tasks:>12}")
    low, high = sizes[0], sizes[-1]
    if high > low:
        wall = (runs[high].wall - runs[low].wall) / (high - low)
        cpu = (runs[high].cpu - runs[low].cpu) / (high - low)
        print(f"each added node: {wall:.2f} s of wall, {cpu:.2f} s of controller CPU")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("deploy", help="first and second run beside the floor, with a real k3s")
    command.add_argument("--nodes", type=int, default=4)
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--flavour", default="x86", help="x86 needs no reboot, as the floor has none")
    command.add_argument("--k3s-version", required=True)
    command.add_argument("--save", type=Path, help="write the raw figures as JSON")
    command.set_defaults(run=bench_deploy)
    command = commands.add_parser("scale", help="what an added node costs, with the simulated k3s")
    command.add_argument("--sizes", default="5,50")
    command.add_argument("--flavour", default="x86")
    command.add_argument("--k3s-version", default="v1.36.4+sim1")
    command.set_defaults(run=bench_scale)
    options = parser.parse_args()
    # A state folder of its own: the bench must not touch the user's clusters of the same name.
    with tempfile.TemporaryDirectory(prefix="pideploy-bench-") as folder:
        os.environ["PIDEPLOY_STATE_HOME"] = folder
        options.run(options)


if __name__ == "__main__":
    main()
