"""What the pages on performance show was measured, and what they say to type or open is there."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.callbacks import BIG_STATUSES, ID, LARGEST_BYTES, NUMBER, statuses, templates
from benchmarks.check import Found, faults
from benchmarks.contenders import STARTS
from benchmarks.cores import divided
from benchmarks.growth import DIMENSIONS, FOLDER
from benchmarks.load import Load, compiled
from benchmarks.pages import PAGES, Figures, places
from benchmarks.report import Figures as Run
from benchmarks.report import ratio, summary
from benchmarks.where import GROUPS, group_of
from benchmarks.workloads import WORKLOADS
from tests.support.callbacks import messages_of, outcome

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in (*PAGES, Path("benchmarks/README.md"))}
COMMANDS = sorted({name for text in TEXTS.values() for name in re.findall(r"python -m (benchmarks[.\w]*)", text)})


def test_figures_of_the_pages_are_those_of_the_files() -> None:
    figures = Figures(FOLDER)
    assert [str(page) for page in PAGES if figures.filled(TEXTS[page]) != TEXTS[page]] == [], "python -m benchmarks.pages"


def test_every_place_of_a_page_has_a_figure(tmp_path: Path) -> None:
    # Of an empty folder every name is known, and nothing that has to be measured is shown.
    figures = Figures(tmp_path)
    for page in PAGES:
        assert places(TEXTS[page]), page
        figures.filled(TEXTS[page])


def test_unknown_name_in_a_page_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Figures(tmp_path).filled("<!-- figure: no.such -->1<!-- end -->")


def test_commands_of_the_pages_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--help"])

    ended = {}
    # pages takes no options: it would write the files that other tests read.
    for name in {*COMMANDS} - {"benchmarks.pages"}:
        with pytest.raises(SystemExit) as caught:
            import_module("benchmarks.__main__" if name == "benchmarks" else name).main()
        ended[name] = caught.value.code
    # Only `make growth` installs what draws the plots.
    if "matplotlib is missing" in str(ended["benchmarks.plots"]):
        del ended["benchmarks.plots"]
    assert len(ended) >= 5
    assert {name: code for name, code in ended.items() if code != 0} == {}


def test_benchmarks_of_the_makefile_exist() -> None:
    for module in re.findall(r"python -m (benchmarks[.\w]*)", MAKEFILE):
        name = "__main__" if module == "benchmarks" else module.partition(".")[2]
        assert (ROOT / "benchmarks" / f"{name}.py").is_file()


def test_every_plot_has_its_place_on_the_page() -> None:
    shown = set(re.findall(r"\((\w+)\.svg\)", TEXTS[Path("docs/performance/README.md")]))
    assert shown == set(DIMENSIONS)


def test_contenders_of_the_work_loads_can_be_started() -> None:
    assert {name for workload in WORKLOADS.values() for name in workload.contenders} <= set(STARTS)


def body(template: str) -> bytes:
    return template.replace(ID, "wamid.HBgM1").replace(NUMBER, "393330000000").replace("%TIME%", "1763720001").encode()


def test_one_bad_callback_in_ten_becomes_a_dead_letter() -> None:
    bodies = templates("bad")
    bad = [one for one in bodies if any(name.startswith("dead-letters/") for name in outcome(messages_of(body(one))))]

    assert len(bad) * 10 == len(bodies)
    assert all(b"wamid.HBgM1" in body(one) for one in bad), "or it cannot be looked up"


def test_good_loads_become_no_dead_letters() -> None:
    for load in ("documents", "mix"):
        for template in templates(load):
            assert not [name for name in outcome(messages_of(body(template))) if name.startswith("dead-letters/")]
            assert len(body(template)) <= LARGEST_BYTES


def test_big_callbacks_have_as_many_statuses_as_they_say() -> None:
    (template,) = templates("big")
    assert len(messages_of(body(template))) == BIG_STATUSES
    assert len(messages_of(body(statuses(7)[0]))) == 7


def seen(answers: int, refused: int = 0) -> Load:
    return Load(answers, refused, broken=0, seconds=1, p50_ms=1, p99_ms=1, p999_ms=1)


def found(events: int, event_ids: int | None, dead_letters: int = 0) -> Found:
    return Found(events, 0, 0, dead_letters, event_ids, 0, 0)


def test_answered_but_missing_callback_is_an_error() -> None:
    assert not faults(seen(100), found(100, 100), connections=1)
    assert faults(seen(100), found(99, 99), connections=1)
    assert faults(seen(100), found(100, 99), connections=1), "one twice, one not at all"
    assert faults(seen(100), found(102, 102), connections=1), "more than was sent"
    assert faults(seen(100), found(100, 100, dead_letters=1), connections=1)
    assert faults(seen(100), found(100, 100), connections=1, is_bad=True), "nothing was bad"
    assert faults(seen(100, refused=1), found(99, 99), connections=1)
    assert not faults(seen(10), found(70, 10), connections=1, events_per_callback=7)
    assert faults(seen(10), found(69, 10), connections=1, events_per_callback=7)


def test_ratios_are_of_medians_and_of_pairs() -> None:
    bridge, usual = ([Run(rate, 1, 1, 1, 1, 1) for rate in rates] for rates in ((20, 30, 40), (10, 10, 20)))

    assert ratio(bridge, usual) == {"of_medians": 3, "least": 2, "most": 3}
    result = summary(bridge)
    assert [result[key]["callbacks_per_second"] for key in ("median", "least", "most")] == [30, 20, 40]


@pytest.mark.parametrize(
    ("cores", "wanted", "server", "load", "broker"),
    [
        ([0, 1], 1, (0,), (1,), (1,)),
        ([0, 1], 4, (0,), (1,), (1,)),
        ([0, 1, 2], 1, (0,), (1,), (2,)),
        ([0, 1, 2, 3], 2, (0, 1), (2,), (3,)),
        ([4, 5, 6, 7, 8, 9], 4, (4, 5, 6, 7), (8,), (9,)),
    ],
)
def test_server_shares_no_core(
    cores: list[int], wanted: int, server: tuple[int, ...], load: tuple[int, ...], broker: tuple[int, ...]
) -> None:
    given = divided(cores, wanted)
    assert given is not None
    assert (given.server, given.load, given.broker) == (server, load, broker)


def test_one_core_is_not_enough() -> None:
    assert divided([0], 1) is None


@pytest.mark.parametrize(
    ("line", "group"),
    [
        ("python  7f01a2 _PyEval_EvalFrameDefault (/usr/lib/libpython3.11.so.1.0)", "Python itself"),
        ("rdk:broker1  ffffffff81 tcp_sendmsg ([kernel.kallsyms])", "kernel"),
        ("python  7f01 rd_kafka_msg_new (/x/python3.11/site-packages/confluent_kafka.libs/librdkafka-1.so)", "librdkafka"),
        ("python  7f01 [unknown] (/x/python3.11/site-packages/uvloop/loop.cpython-311.so)", "uvloop"),
        ("python  7f01 malloc (/usr/lib/x86_64-linux-gnu/libc.so.6)", "libc"),
    ],
)
def test_sample_belongs_to_the_library_that_ran(line: str, group: str) -> None:
    assert group_of(line).startswith(group)
    assert len({name for name, _ in GROUPS}) == len(GROUPS)


def test_plots_data_name_the_machine() -> None:
    for file in FOLDER.glob("*.json"):
        result = json.loads(file.read_text(encoding="utf-8"))
        assert {"date", "processor", "cores", "python", "kafka", "commit"} <= set(result["machine"]), file.name
        assert os.uname().nodename not in file.read_text(encoding="utf-8")


def test_sender_at_a_fixed_rate_compiles(tmp_path: Path) -> None:
    try:
        program = compiled(tmp_path)
    except FileNotFoundError:
        raise pytest.skip.Exception("no C compiler") from None
    assert subprocess.run([program], capture_output=True, check=False).returncode == 2, "without arguments it says which"
