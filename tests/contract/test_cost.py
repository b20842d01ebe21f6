"""A guard of the hot path that needs no clock: what a callback costs in instructions, calls into C and memory.

Instructions of bytecode are no microseconds, but what makes Python slow makes them more, on a busy machine as on a quiet one.
When a figure rises over the limit, look for the reason first. If the rise is meant, a person renews the figures by
`make guard-figures`, once for each version of Python, and says in the commit what the callback gets for it. A fall is welcome:
renew them too, so that it is kept.
"""

import os

import pytest

from tests.support import cost

MOST = 0.1


def test_a_callback_costs_no_more_than_it_did() -> None:
    before = cost.stored().get(cost.PYTHON)
    if before is None and "CI" not in os.environ:
        raise pytest.skip.Exception(f"no figures for Python {cost.PYTHON}: make guard-figures")
    assert before is not None, f"no figures for Python {cost.PYTHON}: make guard-figures"

    worse = cost.compared(cost.counted(), before, MOST)

    assert not worse, "\n".join(
        ["a callback costs more; test_cost.py says why it matters and how to renew the figures", *worse]
    )


def test_every_counted_workload_has_a_stored_figure() -> None:
    for python, figures in cost.stored().items():
        assert set(figures) == {*cost.BODIES, cost.REQUEST}, python


def test_rise_over_the_limit_is_reported() -> None:
    before = {"text": {"instructions": 1000, "c_calls": 100}}

    assert not cost.compared({"text": {"instructions": 1100, "c_calls": 90}}, before, MOST)
    (line,) = cost.compared({"text": {"instructions": 1101, "c_calls": 100}}, before, MOST)
    assert line == "text: 1,101 instructions, +10% on 1,000"


def test_missing_stored_figure_is_reported() -> None:
    assert cost.compared({"text": {"instructions": 1}}, {}, MOST) == ["text: instructions has no stored figure"]


def test_counting_is_repeatable() -> None:
    first, second = cost.counted(), cost.counted()

    for name, costs in first.items():
        assert second[name]["instructions"] == pytest.approx(costs["instructions"], rel=0.01)
        assert second[name]["c_calls"] == pytest.approx(costs["c_calls"], rel=0.01)
