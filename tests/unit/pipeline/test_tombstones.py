"""A changed number removes the old profile, if the setting says so and the callback has both numbers."""

import asyncio
from typing import Any

import pytest

from connector.catalogue import read_catalogue
from connector.kafka.sink import KafkaSink
from connector.privacy.policy import Policy
from connector.records import Json, KafkaMessage
from connector.settings.load import load_settings
from connector.settings.producer import producer_properties
from connector.settings.tables import Privacy
from tests.stack.ports import free_ports
from tests.support.callbacks import (
    NUMBER,
    OTHER_NUMBER,
    RECEIVED_AT,
    MemorySink,
    answer_to,
    contact,
    envelope,
    flow,
    header,
    message,
    raw,
    translator,
)

ON = read_catalogue(policy=Policy.of(Privacy(forget_changed_numbers=True)))


def system(**more: Any) -> Json:
    news = {"type": "user_changed_number", "wa_id": OTHER_NUMBER, "body": "changed", **more}
    return message(message_type="system", system={name: part for name, part in news.items() if part is not None})


def tombstones(*messages: Json, contacts: Any = ()) -> list[KafkaMessage]:
    found = translator(of=ON).translate(raw(envelope(list(messages), list(contacts))))
    return [one for one in found if not one.value]


def test_changed_number_is_a_tombstone_behind_its_records() -> None:
    records = translator(of=ON).translate(raw(envelope([system()], [contact()])))
    assert [one.topic.rpartition(".")[2] for one in records] == ["system", "contacts", "contacts"]
    *_, last = records
    assert (last.key, last.value, last.timestamp_ms) == (NUMBER.encode(), b"", RECEIVED_AT)
    assert header(last, "ce_type") == "kaleyra.whatsapp.contact"
    assert header(last, "ce_dataschema") is None
    assert header(last, "ce_id") not in {header(one, "ce_id") for one in records[:-1]}
    again = translator(of=ON).translate(raw(envelope([system()], [contact()])))
    assert header(again[-1], "ce_id") == header(last, "ce_id")


@pytest.mark.parametrize(
    "news",
    [
        {"type": "user_changed_user_id"},
        {"type": "customer_identity_changed"},
        {"wa_id": None},
        {"wa_id": ""},
        {"wa_id": NUMBER},
        {"wa_id": f"+{NUMBER}"},
    ],
)
def test_message_without_a_changed_number_keeps_the_profile(news: Json) -> None:
    assert tombstones(system(**news)) == []


def test_older_spelling_is_known() -> None:
    (one,) = tombstones(system(type="customer_changed_number", wa_id=None, new_wa_id=OTHER_NUMBER))
    assert one.key == NUMBER.encode()


def test_message_without_the_old_number_keeps_every_profile() -> None:
    without = {name: part for name, part in system().items() if name != "from"}
    assert tombstones(without) == tombstones({**without, "from_user_id": "IT.1"}) == []


def test_text_about_a_changed_number_changes_nothing() -> None:
    assert tombstones({**system(), "type": "text", "text": {"body": "Ciao"}}) == []


def test_setting_is_off_by_default() -> None:
    assert all(one.value for one in translator().translate(raw(envelope([system()], [contact()]))))


def test_hashed_keys_have_hashed_tombstones() -> None:
    rules = Privacy(phone="hash", hash_key="k" * 32, hash_key_id="k", forget_changed_numbers=True)
    records = translator(of=read_catalogue(policy=Policy.of(rules))).translate(raw(envelope([system()], [contact()])))
    assert len({one.key for one in records}) == 1
    assert not records[-1].value
    assert records[-1].key
    assert records[-1].key.startswith(b"h:k:")


def test_tombstone_that_kafka_refuses_is_a_dead_letter() -> None:
    sink = MemorySink(refuse=lambda one: not one.value)
    answer = answer_to(envelope([system()]), flow(sink, of=ON))
    assert answer.status == 200
    assert [one.topic.rpartition(".")[2] for one in sink.messages] == ["system", "dead-letters"]


def test_unconfirmed_tombstone_is_reported() -> None:
    (port,) = free_ports(1)
    settings = load_settings(
        None,
        {
            "CONNECTOR_AUTHENTICATION__ALLOW_ANYONE": "true",
            "CONNECTOR_KAFKA__CLIENT__BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
            "CONNECTOR_KAFKA__DELIVERY_TIMEOUT_SECONDS": "0.5",
        },
    )
    sent = tombstones(system())

    async def send() -> Any:
        sink = KafkaSink(producer_properties(settings))
        sink.start()
        try:
            return await sink.send(sent)
        finally:
            await sink.close(1)

    (failure,) = asyncio.run(send()).unconfirmed
    assert failure.message is sent[0]
