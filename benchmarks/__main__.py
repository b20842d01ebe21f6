"""`python -m benchmarks`: the bridge beside the baseline, in turns, on the same broker. See README.md in this folder."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks import baseline, cores, load, machine, outage, stack
from benchmarks.callbacks import templates
from benchmarks.contenders import HIDES_IDS, STARTS, Running, running, written_by
from benchmarks.cores import Cores
from benchmarks.report import Figures, report, rounded, table
from benchmarks.workloads import WORKLOADS, Workload
from connector.catalogue import read_catalogue

_OUTAGE: Final = "outage"
_QUICK_SECONDS: Final = 2
_WIDTH: Final = 120
_console: Final = Console(stderr=True)


class GuaranteeBroken(Exception):
    """A callback answered 2xx is not in the topics, or the run went wrong otherwise."""


def main() -> int:
    """Measure and print; return 1 when a run broke the delivery guarantee."""
    arguments = _arguments()
    missing = [program for program in ("wrk", "taskset") if shutil.which(program) is None]
    if missing:
        print(f"{' and '.join(missing)} must be installed (Debian: apt install wrk util-linux)", file=sys.stderr)
        return 2
    chosen = [name for name in arguments.workloads if name != _OUTAGE and _rounds(WORKLOADS[name], arguments)]
    wanted = cores.share_out(max((WORKLOADS[name].server_cores for name in chosen), default=1))
    if wanted is None:
        print("two cores are needed: one for the server, one for load and broker", file=sys.stderr)
        return 2
    result: dict[str, Any] = {"machine": machine.described(), "cores": wanted.described(), "notes": [], "workloads": {}}
    result["seconds"] = arguments.seconds
    cores.keep_to(wanted)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
            for brokers in (1, 3):
                names = [workload for workload in chosen if WORKLOADS[workload].brokers == brokers]
                folder = Path(name) / f"brokers-{brokers}"
                folder.mkdir()
                if names or (brokers == 1 and _OUTAGE in arguments.workloads):
                    _on_a_stack(brokers, names, arguments, wanted, folder, result)
    except GuaranteeBroken as broken:
        print(broken, file=sys.stderr)
        return 1
    if arguments.save:
        Path(arguments.save).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result)
    return 0


def _on_a_stack(
    brokers: int, names: Sequence[str], arguments: argparse.Namespace, given: Cores, folder: Path, result: dict[str, Any]
) -> None:
    topics = [*baseline.TOPICS.values(), *(record_type.topic for record_type in read_catalogue())]
    starting = stack.started(folder, topics, embedded=arguments.embedded) if brokers == 1 else stack.cluster(folder, topics)
    with starting as broker:
        if broker is None:
            result["notes"].append("three brokers were not measured: they need the real Kafka (Java and Maven)")
            return
        if brokers == 1:
            result["broker"] = broker.broker
        stack.registered(broker.registry_url)
        with ExitStack() as open_things:
            started: dict[str, Running] = {}
            for name in names:
                workload = WORKLOADS[name]
                if len(given.server) < workload.server_cores:
                    result["notes"].append(f"{name} was not measured: it needs {workload.server_cores + 2} cores")
                    continue
                for contender in workload.contenders:
                    if contender not in started:
                        written = written_by(contender, read_catalogue())
                        looked_up = broker.keeps_records and contender not in HIDES_IDS
                        starts = running(STARTS[contender], written, broker, given, folder, keeps_records=looked_up)
                        started[contender] = open_things.enter_context(starts)
                result["workloads"][name] = _measured(name, workload, started, arguments, given, folder)
        if brokers == 1 and _OUTAGE in arguments.workloads:
            _measure_outage(broker, arguments, given, folder, result)


def _measured(
    name: str, workload: Workload, started: dict[str, Running], arguments: argparse.Namespace, given: Cores, folder: Path
) -> dict[str, Any]:
    file = load.write_templates(folder / f"{name}.templates", templates(workload.load))
    caller = load.Caller(file, given.load, workload.connections)
    runs: dict[str, list[Figures]] = {contender: [] for contender in workload.contenders}
    acknowledged = 0
    for _ in range(_rounds(workload, arguments)):
        for contender, own in runs.items():
            done = started[contender].run(
                caller,
                arguments.seconds,
                events_per_callback=workload.events_per_callback,
                is_bad=workload.load == "bad",
            )
            own.append(done.figures)
            acknowledged += done.acknowledged
            rate = f"{rounded(done.figures.callbacks_per_second)} callbacks/s, {done.figures.cpu_us_per_callback:.1f} µs"
            _console.print(f"{name}: {contender}: {rate}, {', '.join(done.wrong) or 'all found'}", highlight=False)
            if done.wrong:
                raise GuaranteeBroken(f"{contender}, {name}: {', '.join(done.wrong)}")
    return report(workload, runs, acknowledged)


def _measure_outage(
    broker: stack.Stack, arguments: argparse.Namespace, given: Cores, folder: Path, result: dict[str, Any]
) -> None:
    if broker.kafka is None:
        result["notes"].append("the outage was not measured: it needs the real Kafka (Java and Maven)")
        return
    _console.print("outage: before, in and after")
    figures = result[_OUTAGE] = outage.measured(broker, given, folder, arguments.seconds, 2 * arguments.seconds)
    if figures["missing"]:
        raise GuaranteeBroken(f"outage: {figures['missing']} of {figures['answered']} callbacks answered 2xx are missing")


def _rounds(workload: Workload, arguments: argparse.Namespace) -> int:
    if arguments.rounds is not None:
        return int(arguments.rounds)
    return workload.quick_rounds if arguments.quick else workload.rounds


def _print(result: dict[str, Any]) -> None:
    # Eight figures need room; a file has it.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    for workload in result["workloads"].values():
        console.print(table(workload))
    if _OUTAGE in result:
        console.print(outage.table(result[_OUTAGE]))
    console.print(f"{result['broker']}; {result['cores']}; {machine.in_one_line(result['machine'])}", highlight=False)
    for note in result["notes"]:
        console.print(note, highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [*WORKLOADS, _OUTAGE]
    parser.add_argument("--quick", action="store_true", help="the most important ones in a minute")
    parser.add_argument("--seconds", type=int, help="length of a run (default 5; quick: 2)")
    parser.add_argument("--rounds", type=int, help="runs of each server (default: the workload's own)")
    parser.add_argument("--embedded", action="store_true", help="librdkafka's mock broker, also where there is Java")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    parser.add_argument("--save", metavar="FILE", help="write the JSON to a file as well")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(names)} (default: all)")
    arguments = parser.parse_args()
    unknown = set(arguments.workloads) - set(names)
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if not arguments.workloads:
        arguments.workloads = list(WORKLOADS) if arguments.quick else names
    if arguments.seconds is None:
        arguments.seconds = _QUICK_SECONDS if arguments.quick else 5
    return arguments


if __name__ == "__main__":
    sys.exit(main())
