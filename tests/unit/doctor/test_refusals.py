"""The doctor shows what a running instance has refused, with what helps; it is not checked where none answers."""

from connector.doctor.refusals import check_refusals, refusals
from connector.http.listener import PlainServer, bind
from connector.http.management import create_management_app
from connector.http.refusals import Refusals
from connector.metrics import Metrics
from connector.records import Request
from connector.refusals import REFUSALS
from connector.settings.tables import Management
from tests.stack.ports import free_ports
from tests.support.threaded_listener import serving


def test_every_reason_has_its_meaning_and_advice() -> None:
    found = list(refusals(dict.fromkeys(REFUSALS, 3)))

    assert len(found) == len(REFUSALS)
    assert all(one.state == "warning" and one.found.startswith("3 ") and one.advice for one in found)
    assert not [one for one in found if "`" in one.found]


def test_most_frequent_reason_comes_first_and_zero_is_left_out() -> None:
    found = list(refusals({"wrong_path": 2, "not_authentic": 40, "too_large": 0}))

    assert [one.found.split()[:2] for one in found] == [["40", "not_authentic"], ["2", "wrong_path"]]
    assert "http.path" in found[1].advice
    assert [one.state for one in refusals({"wrong_path": 0})] == ["ok"]


def test_reason_of_another_release_is_shown() -> None:
    (found,) = refusals({"invented": 1})

    assert found.found.startswith("1 invented")


def test_running_instance_is_asked_over_its_management_address() -> None:
    metrics = Metrics()
    counting = Refusals(metrics)
    listening = bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    server = PlainServer(create_management_app(lambda: {"ready": True}, metrics))
    with serving(server, listening):
        for host in ("127.0.0.1", "0.0.0.0"):
            assert [one.state for one in check_refusals(Management(host=host, port=port))] == ["ok"]
        for _ in range(3):
            counting.add("wrong_path", Request([], None, "192.0.2.1"), "POST")
        (found,) = check_refusals(Management(host="127.0.0.1", port=port))
    assert (found.state, found.found.split()[:2]) == ("warning", ["3", "wrong_path"])


def test_it_is_not_checked_where_no_instance_answers() -> None:
    (port,) = free_ports(1)

    for settings in (Management(host="127.0.0.1", port=port), Management(port=0)):
        (found,) = check_refusals(settings)
        assert (found.state, found.advice) == ("unknown", "")
        assert found.found.startswith("not checked: ")


def test_other_server_on_the_address_is_not_checked() -> None:
    listening = bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with serving(PlainServer(create_management_app(lambda: {"ready": True}, Metrics())), listening):
        (found,) = check_refusals(Management(host="127.0.0.1", port=port))
    assert found.state == "unknown"
