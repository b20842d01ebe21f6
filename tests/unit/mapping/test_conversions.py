"""Every conversion from a JSON value to a value of its Avro type, and every value that does not fit."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from connector.errors import Misfit
from connector.mapping import conversions, numbers
from connector.records import EMPTY

PATH = "message.somewhere"
MS = 1_763_720_000_000


def to_price(value: Any, path: str) -> Decimal | None:
    return numbers.to_decimal(value, path, 18, 6)


FITS: list[tuple[Callable[[Any, str], Any], Any, Any]] = [
    (conversions.to_text, "Ciao", "Ciao"),
    (conversions.to_text, "", None),
    (conversions.to_text, 0, "0"),
    (conversions.to_text, -12, "-12"),
    (conversions.to_text, 10**40, "1" + "0" * 40),
    (conversions.to_text, Decimal("7.10"), "7.10"),
    (conversions.to_text, Decimal("1E+400"), "1E+400"),
    (conversions.to_boolean, True, True),
    (conversions.to_boolean, False, False),
    (conversions.to_boolean, "true", True),
    (conversions.to_boolean, "false", False),
    (conversions.to_boolean, "", None),
    (numbers.to_long, 5, 5),
    (numbers.to_long, "5", 5),
    (numbers.to_long, "-05", -5),
    (numbers.to_long, "", None),
    (numbers.to_long, Decimal("5.00"), 5),
    (numbers.to_long, Decimal("1e3"), 1000),
    (numbers.to_long, 2**63 - 1, 2**63 - 1),
    (numbers.to_long, str(-(2**63)), -(2**63)),
    (numbers.to_double, 5, 5.0),
    (numbers.to_double, Decimal("45.4641"), 45.4641),
    (numbers.to_double, "-9.1919", -9.1919),
    (numbers.to_double, "", None),
    (numbers.to_double, Decimal("1e-400"), 0.0),
    (to_price, 1600, Decimal(1600)),
    (to_price, 0, Decimal(0)),
    (to_price, "0.000000", Decimal(0)),
    (to_price, Decimal("7.99"), Decimal("7.99")),
    (to_price, "7.99", Decimal("7.99")),
    (to_price, "-7.9", Decimal("-7.9")),
    (to_price, "", None),
    (to_price, Decimal("7.9900000000000002"), Decimal("7.99")),
    (to_price, "7.9900000000000002", Decimal("7.99")),
    (to_price, Decimal("7.99000000000000000000000000000000000000000000"), Decimal("7.99")),
    (to_price, Decimal("-0.30000000000000000000"), Decimal("-0.3")),
    (to_price, Decimal("123456789.12000000"), Decimal("123456789.12")),
    (to_price, False, None),
    (to_price, Decimal("1.50e1"), Decimal(15)),
    (to_price, Decimal("999999999999.999999"), Decimal("999999999999.999999")),
    (conversions.to_millis, 1_763_720_000, MS),
    (conversions.to_millis, "1763720000", MS),
    (conversions.to_millis, MS, MS),
    (conversions.to_millis, str(MS + 7), MS + 7),
    (conversions.to_millis, Decimal("1763720000.25"), MS + 250),
    (conversions.to_millis, "1763720000.25", MS + 250),
    (conversions.to_millis, "2025-11-21T10:13:20Z", MS),
    (conversions.to_millis, "2025-11-21T11:13:20.250+01:00", MS + 250),
    (conversions.to_millis, "", None),
    (conversions.to_millis, conversions.EARLIEST_MS, conversions.EARLIEST_MS),
    (conversions.to_millis, conversions.LATEST_MS - 1, conversions.LATEST_MS - 1),
    (conversions.to_binary, b"\xff", b"\xff"),
    (conversions.to_elements, [{"a": 1}, {}], [{"a": 1}, {}]),
    (conversions.to_elements, {"a": 1}, [{"a": 1}]),
    (conversions.to_elements, [], []),
    (conversions.to_elements, {}, []),
    (conversions.to_elements, {"1": {"a": 1}, "0": {"a": 2}}, [{"a": 1}, {"a": 2}]),
    (conversions.to_elements, {"1": {"a": 1}, "x": {}}, [{"1": {"a": 1}, "x": {}}]),
    (conversions.to_elements, {"1": "text"}, [{"1": "text"}]),
    (conversions.to_elements, "", []),
    (conversions.to_json, "", None),
    (conversions.to_json, "Ciao", '"Ciao"'),
    (conversions.to_json, 0, "0"),
    (conversions.to_json, {"a": [Decimal("7.10"), None, True]}, '{"a":[7.10,null,true]}'),
    (conversions.as_object, {"a": 1}, {"a": 1}),
    (conversions.as_object, [], EMPTY),
    (conversions.as_object, "", EMPTY),
    (conversions.as_object, None, EMPTY),
    # PHP's absent object, list or text.
    (conversions.as_object, False, EMPTY),
    (conversions.to_text, False, None),
    (conversions.to_millis, False, None),
    (conversions.to_elements, False, []),
    (conversions.to_json, False, None),
    (numbers.to_long, False, None),
    (numbers.to_double, False, None),
    (numbers.to_int32, "7", 7),
    (conversions.to_json_or_text, "Ciao", "Ciao"),
    (conversions.to_json_or_text, "", None),
    (conversions.to_json_or_text, {"a": 1}, '{"a":1}'),
]


@pytest.mark.parametrize(("convert", "value", "expected"), FITS)
def test_value_that_fits_becomes_its_avro_value(convert: Callable[[Any, str], Any], value: Any, expected: Any) -> None:
    converted = convert(value, PATH)

    assert converted == expected
    assert type(converted) is type(expected)


MISFITS: list[tuple[Callable[[Any, str], Any], list[Any]]] = [
    (conversions.to_text, [True, [], {}, ["a"], {"a": 1}]),
    (conversions.to_boolean, ["True", "1", "yes", 0, 1, Decimal("1.0"), [], {}]),
    (numbers.to_long, [True, "5.0", "+5", " 5", "5 ", "\N{ARABIC-INDIC DIGIT FIVE}", "1e3", "0x5", "9" * 20, [], {}]),
    (numbers.to_long, [2**63, -(2**63) - 1, str(2**63), Decimal("5.5"), Decimal("1e-1")]),
    (numbers.to_long, [Decimal("1e3000000"), Decimal("9" * 3000), Decimal("1e19")]),
    (numbers.to_double, [True, "nan", "inf", "1e5", "9" * 19, Decimal("1e308"), 10**400, []]),
    (
        to_price,
        [True, "sette", "7,99", "NaN", "Infinity", "1e2", "+1", ".5", "5.", " 5", "\N{ARABIC-INDIC DIGIT SEVEN}", [], {}],
    ),
    (to_price, [10**12, -(10**12), Decimal("1e12"), "1234567890123", Decimal("0.0000001"), "0.1234567"]),
    (to_price, [Decimal("1e3000000"), Decimal("1e-3000000"), "9" * 3000, "0." + "9" * 3000]),
    # More digits than a double has, or than a price survives in one.
    (to_price, [Decimal("0.1000000000000000055511151231257827"), Decimal("123456789012.3456789"), "123456789012.3456789"]),
    (to_price, [Decimal("99999999999.99999999"), "99999999999.99999999", Decimal("99999999999.9999999")]),
    (to_price, [Decimal("1234567890.1234567"), Decimal("0.30000000000000004"), Decimal("0.12345678"), "1.0000001"]),
    (to_price, [Decimal("9" * 3000), 10**3000, Decimal("1e-400"), Decimal("999999999999.9999999")]),
    (conversions.to_millis, ["172XXXXXXX", "domani", True, [], {}, -5, 0, "0", "-1763720000"]),
    (conversions.to_millis, [946_684_799, conversions.LATEST_MS, 10**30, Decimal("1e3000000")]),
    (conversions.to_millis, ["2025-11-21T10:13:20", "1999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"]),
    (numbers.to_int32, [2**31, "-2147483649", True, "x"]),
    (conversions.to_binary, ["text", 5, [], {}]),
    (conversions.to_elements, ["text", 5, True, Decimal("1.5")]),
    (conversions.as_object, ["text", 0, 5, True, ["a"]]),
]


@pytest.mark.parametrize(
    ("convert", "value"),
    [(convert, value) for convert, values in MISFITS for value in values],
    ids=lambda value: f"{value!r:.40}" if not callable(value) else None,
)
def test_message_for_unfit_value_has_path_but_not_value(convert: Callable[[Any, str], Any], value: Any) -> None:
    with pytest.raises(Misfit) as refused:
        convert(value, PATH)

    assert refused.value.path == PATH
    assert refused.value.reason == "does_not_fit"
    for part in ("sette", "172XXXXXXX", "domani", "3000000", "99999"):
        assert part not in str(refused.value)


@pytest.mark.parametrize(
    "convert",
    [numbers.to_long, numbers.to_double, to_price, conversions.to_millis],
    ids=["long", "double", "decimal", "millis"],
)
@pytest.mark.parametrize(
    "value",
    [Decimal("1e3000000"), Decimal("-9e999999"), Decimal("9" * 3000), "9" * 3000, "1e3000000", "0." + "1" * 3000, 10**3000],
    ids=["1e3000000", "-9e999999", "3000 digits", "3000 digits in text", "1e3000000 in text", "3000 behind the point", "int"],
)
def test_extreme_number_is_refused_before_any_arithmetic(convert: Callable[[Any, str], Any], value: Any) -> None:
    started = time.process_time()
    for _ in range(20):
        with pytest.raises(Misfit):
            convert(value, PATH)

    # Milliseconds in truth; the arithmetic that is avoided takes minutes.
    assert time.process_time() - started < 20 * 0.05


def test_element_that_is_not_an_object_is_reported_by_index() -> None:
    with pytest.raises(Misfit) as refused:
        conversions.to_elements([{}, "text"], "message.order.product_items")

    assert refused.value.path == "message.order.product_items[1]"


@pytest.mark.parametrize(
    ("convert", "value"),
    [(conversions.to_boolean, "True"), (conversions.to_text, {}), (numbers.to_long, "x"), (conversions.to_millis, "0")],
)
def test_unfit_value_becomes_null_and_its_path_is_recorded(convert: Callable[[Any, str], Any], value: Any) -> None:
    unfit: list[str] = []

    assert conversions.or_none(convert, value, PATH, unfit) is None
    assert unfit == [PATH]


def test_unfit_time_becomes_null_and_its_path_is_recorded() -> None:
    unfit: list[str] = []

    assert conversions.to_millis_or_none("172XXXXXXX", "message.timestamp", unfit) is None
    assert unfit == ["message.timestamp"]


def test_fitting_or_empty_time_is_not_recorded() -> None:
    unfit: list[str] = []

    assert conversions.to_millis_or_none("1763720000", "message.timestamp", unfit) == MS
    assert conversions.to_millis_or_none("", "message.timestamp", unfit) is None
    assert unfit == []


def test_too_deeply_nested_json_does_not_fit() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]

    with pytest.raises(Misfit, match="nested too deep"):
        conversions.to_json(nested, PATH)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "true or false"),
        ("Ciao", "text"),
        (5, "a number"),
        (Decimal("5.5"), "a number"),
        ([], "a list"),
        ({}, "an object"),
        (None, "null"),
    ],
)
def test_kind_is_the_name_of_the_json_type(value: Any, kind: str) -> None:
    assert conversions.kind_of(value) == kind
