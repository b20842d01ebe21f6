"""The catalogue: published schemas, rules for every schema, and that a new type needs no Python."""

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.catalogue import data_folder, read_catalogue
from connector.errors import ConfigurationInvalid
from connector.mapping.compiler import ATTRIBUTES, ROOTS
from connector.record_tables import ANY_TYPE, OPTIONAL_TOPICS
from connector.records import REASONS, Json
from connector.schemas.rules import COMMON_BLOCK
from tests.support.callbacks import (
    REJECTED,
    SAMPLES,
    catalogue,
    decoded,
    envelope,
    message,
    messages_of,
    on,
    raw,
    read,
    sample,
    sample_name,
    topics,
    translator,
)

PERSONAL = {
    **dict.fromkeys(("from", "wa_id", "new_wa_id", "customer", "group_id", "message_id"), "phone"),
    **dict.fromkeys(("user_id", "from_user_id", "parent_user_id", "parent_recipient_user_id"), "phone"),
    **dict.fromkeys(("recipient_id", "recipient_user_id", "recipient_parent_user_id", "participant_recipient_id"), "phone"),
    **dict.fromkeys(("recipient_participant_id", "recipient_participant_user_id", "phone"), "phone"),
    **dict.fromkeys(("username", "formatted_name", "first_name", "middle_name", "last_name", "prefix", "suffix"), "name"),
    **dict.fromkeys(("body", "caption", "filename", "text", "emoji", "response_json", "vcard", "birthday", "email"), "content"),
    **dict.fromkeys(("latitude", "longitude", "address", "street", "city", "zip"), "location"),
    **dict.fromkeys(("url", "media_url", "source_url", "image_url", "video_url", "thumbnail_url"), "link"),
}
"""The class of personal data of a JSON key."""
NOT_PERSONAL_PATHS = {"message.referral.body"}
"""The text of an advertisement."""
RECORD_TYPES = list(catalogue())
MESSAGE_RECORD_TYPES = [record_type for record_type in RECORD_TYPES if record_type.source == "messages"]
REQUIRED = {"message_id", "message_type", "record_key", "key_source", "event_id", "event_at", "received_at"}
REQUIRED_OF_DEAD_LETTER = {"event_id", "event_at", "received_at", "reason", "step"}
NOT_CAUSED_BY_CALLBACKS = {"refused_by_kafka", "internal_error"}
"""The first needs Kafka's answer, the second a bug of ours."""


def records_within(schema: Any) -> Iterator[Json]:
    """Yield every record of a schema, the outermost first."""
    if isinstance(schema, dict):
        if schema.get("type") == "record":
            yield schema
        for part in schema.values():
            yield from records_within(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from records_within(part)


def fields_within(schema: Any) -> Iterator[Json]:
    """Yield every field of every record of a schema."""
    for record in records_within(schema):
        yield from record["fields"]


def types_within(schema: Any) -> Iterator[Any]:
    """Yield every type in a schema."""
    for field in fields_within(schema):
        branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for branch in branches:
            yield branch["type"] if isinstance(branch, dict) else branch


RECORDS = [(f"{one.name}: {record['name']}", record) for one in RECORD_TYPES for record in records_within(one.schema)]
"""Every record of every schema, with a name for messages."""
FIELDS = [(f"{place}.{field['name']}", field) for place, record in RECORDS for field in record["fields"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of avro/ and config/ that a test can change."""
    for name in ("avro", "config"):
        shutil.copytree(data_folder() / name, tmp_path / name)
    return tmp_path


def change(file: Path, edit: Callable[[Json], object]) -> None:
    schema = json.loads(file.read_text())
    edit(schema)
    file.write_text(json.dumps(schema))


def append(folder: Path, toml: str) -> None:
    with (folder / "config" / "messages.toml").open("a") as file:
        file.write(toml)


def problems_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationInvalid) as refused:
        read_catalogue(folder)
    return refused.value.problems


def test_common_block_is_the_same_in_every_message_record() -> None:
    blocks = {record_type.name: record_type.schema["fields"][: len(COMMON_BLOCK)] for record_type in MESSAGE_RECORD_TYPES}

    assert [field["name"] for field in blocks["text"]] == list(COMMON_BLOCK)
    assert [name for name, block in blocks.items() if block != blocks["text"]] == []


def test_fields_of_message_records_are_one_a_line() -> None:
    for record_type in MESSAGE_RECORD_TYPES:
        lines = (data_folder() / "avro" / f"{record_type.name}.avsc").read_text().splitlines()
        starts = [f'    {{"name": "{field["name"]}", ' for field in record_type.schema["fields"]]
        assert [one for one in starts if sum(line.startswith(one) for line in lines) != 1] == [], record_type.name


def test_every_record_and_field_has_a_doc() -> None:
    without = [place for place, record in RECORDS if not record["doc"].endswith(".")]
    without += [place for place, field in FIELDS if not field["doc"].endswith(".")]

    assert without == []


def test_every_field_has_a_source() -> None:
    assert [place for place, field in FIELDS if not field["source"]] == []


def test_no_field_is_an_enum() -> None:
    assert [one.name for one in RECORD_TYPES if "enum" in types_within(one.schema)] == []


def test_only_what_every_event_has_is_required() -> None:
    offenders = {}
    for record_type in RECORD_TYPES:
        required = {
            field["name"]
            for field in record_type.schema["fields"]
            if not isinstance(field["type"], list) and field["type"] != "array" and "default" not in field
        }
        allowed = REQUIRED_OF_DEAD_LETTER if record_type.source == "dead_letters" else REQUIRED
        # A message whose content has no separate fields has its JSON there.
        if excess := required - {"payload"} - allowed:
            offenders[record_type.name] = excess

    assert offenders == {}


def test_optional_field_is_null_or_its_type_and_null_by_default() -> None:
    optional = [(place, field) for place, field in FIELDS if isinstance(field["type"], list)]

    assert [
        place
        for place, field in optional
        if (field["type"][0], len(field["type"]), field.get("default", "none")) != ("null", 2, None)
    ] == []


def test_names_follow_the_contract() -> None:
    for record_type in RECORD_TYPES:
        camel = "".join(part.capitalize() for part in record_type.name.split("_"))
        assert (record_type.schema["namespace"], record_type.schema["name"]) == ("kaleyra.whatsapp", camel)
    assert [place for place, field in FIELDS if field["name"] != field["name"].lower()] == []


def test_published_schema_has_none_of_our_own_attributes() -> None:
    def keys(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema
            for part in schema.values():
                yield from keys(part)
        elif isinstance(schema, list):
            for part in schema:
                yield from keys(part)

    assert [one.name for one in RECORD_TYPES if ATTRIBUTES & set(keys(json.loads(one.published_text)))] == []


def test_personal_field_names_its_class() -> None:
    classes = {"phone", "name", "content", "location", "link", "none"}
    assert [place for place, field in FIELDS if field.get("pii", "none") not in classes] == []
    offenders = []
    for record_type in RECORD_TYPES:
        for field in fields_within(record_type.schema) if record_type.source != "events" else ():
            sources = [field["source"]] if isinstance(field["source"], str) else field["source"]
            for path in sources:
                expected = PERSONAL.get(path.rpartition(".")[2])
                if path not in NOT_PERSONAL_PATHS and expected and field.get("pii") != expected:
                    offenders.append(f"{record_type.name}: {path} is {expected}")

    assert offenders == []


def test_account_event_has_personal_data_only_in_payload() -> None:
    (schema,) = [record_type.schema for record_type in RECORD_TYPES if record_type.source == "events"]

    personal = [
        field["name"] for record in records_within(schema) for field in record["fields"] if field.get("pii", "none") != "none"
    ]
    assert personal == ["payload"]


def test_dead_letter_doc_lists_every_reason() -> None:
    (doc,) = [field["doc"] for field in catalogue().dead_letter.schema["fields"] if field["name"] == "reason"]

    assert doc.removeprefix("Why: ").removesuffix(".").split(", ") == list(REASONS)


def test_every_topic_subject_and_message_type_is_claimed_once() -> None:
    assert len({record_type.topic for record_type in RECORD_TYPES}) == len(RECORD_TYPES)
    for record_type in RECORD_TYPES:
        assert record_type.topic.startswith("kaleyra.whatsapp.")
        assert record_type.subject == f"{record_type.topic}-value"
    kinds = [kind for record_type in RECORD_TYPES for kind in record_type.message_types]
    assert len(set(kinds)) == len(kinds)


def test_only_contacts_are_compacted() -> None:
    assert [record_type.name for record_type in RECORD_TYPES if record_type.compacted] == ["contact"]


def test_item_becomes_the_record_type_of_its_list_and_message_type() -> None:
    of = catalogue().of

    assert of("messages", "document").name == "document"
    assert of("messages", "hologram").name == "other"
    assert of("messages", "").name == "other"
    assert of("messages", ANY_TYPE).name == "other"
    assert of("statuses", "document").name == "status"
    assert of("contacts", "document").name == "contact"
    assert of("events", "document").name == "account_event"


@functools.cache
def topics_of_samples() -> dict[Path, set[str]]:
    """Return the topics of each sample's records."""
    return {path: {one.topic for one in messages_of(read(path))} for path in [*SAMPLES, *REJECTED]}


def test_every_record_type_has_a_sample_that_becomes_one() -> None:
    reached = set().union(*topics_of_samples().values())

    assert [one.name for one in RECORD_TYPES if one.topic not in reached] == [], "no sample in tests/samples/ becomes these"


def test_every_message_type_has_samples_that_become_its_record() -> None:
    kinds = {kind: one.topic for one in RECORD_TYPES for kind in one.message_types if kind != ANY_TYPE}
    folders: dict[str, list[Path]] = {kind: [path for path in SAMPLES if path.parent.name == kind] for kind in kinds}

    assert [kind for kind, samples in folders.items() if not samples] == [], "tests/samples/ has no folder for these types"
    assert [
        sample_name(path)
        for kind, samples in folders.items()
        for path in samples
        if kinds[kind] not in topics_of_samples()[path]
    ] == []


def test_sample_becomes_records_that_a_consumer_can_read() -> None:
    dead_letters = catalogue().dead_letter.topic
    for path in SAMPLES:
        records = messages_of(read(path))
        good = [one for one in records if one.topic != dead_letters]
        assert good, sample_name(path)
        assert (len(records) > len(good)) == ("bad" in path.stem), sample_name(path)
        assert [one.key for one in good] == [decoded(one)["record_key"].encode() for one in good], sample_name(path)


def test_rejected_sample_becomes_one_dead_letter_of_its_reason() -> None:
    for path in REJECTED:
        (letter,) = on("dead-letters", translator().translate(sample(path)))
        assert letter["reason"] == path.stem
        assert letter["body"] == read(path) or path.stem in {"does_not_fit", "missing"}, path.stem


def test_every_reason_of_a_callback_has_a_sample() -> None:
    assert {path.stem for path in REJECTED} == set(REASONS) - NOT_CAUSED_BY_CALLBACKS


def test_new_type_needs_a_schema_and_a_table_and_no_python(folder: Path) -> None:
    other = json.loads((folder / "avro" / "other.avsc").read_text())
    depth = {"name": "depth", "type": ["null", "long"], "default": None, "source": "message.hologram.depth", "doc": "In mm."}
    schema = {
        **other,
        "name": "Hologram",
        "requires": ["message.hologram"],
        "fields": [*other["fields"][: len(COMMON_BLOCK)], depth],
    }
    (folder / "avro" / "hologram.avsc").write_text(json.dumps(schema))
    append(folder, '[hologram]\nfrom = "messages"\ntypes = ["hologram"]\ntopic = "holograms"\nkeyed_by = "wa_id"\n')

    extended = read_catalogue(folder)
    given = [message(message_type="hologram", hologram={"depth": "12"}), message(message_type="telegram")]
    records = translator(of=extended).translate(raw(envelope(given)))

    assert topics(records) == ["holograms", "others"]
    assert records[0].topic == "kaleyra.whatsapp.holograms"
    value = decoded(records[0], extended)
    assert value["depth"] == 12
    assert value["record_key"] == "393335550142"


def test_prefix_is_put_before_every_topic(folder: Path) -> None:
    assert {record_type.topic for record_type in read_catalogue(folder, prefix="test.")} == {
        f"test.{record_type.topic.removeprefix('kaleyra.whatsapp.')}" for record_type in RECORD_TYPES
    }


def test_raw_callbacks_are_stored_only_if_enabled() -> None:
    off, on_ = read_catalogue(), read_catalogue(optional=OPTIONAL_TOPICS)

    assert off.raw is None
    assert on_.raw is not None
    assert {one.name for one in on_} - {one.name for one in off} == {"order_line", "raw_callback"}
    assert on_.raw.topic == "kaleyra.whatsapp.raw"


def test_every_problem_is_reported_at_once(folder: Path) -> None:
    (folder / "avro" / "status.avsc").unlink()
    (folder / "avro" / "other.avsc").write_text("{")
    change(folder / "avro" / "document.avsc", lambda schema: schema["fields"][0].update(source="massage.id"))
    change(folder / "avro" / "order.avsc", lambda schema: schema["fields"][0].update(type="text"))
    change(folder / "avro" / "contact.avsc", lambda schema: schema.update(requires=["contacts"]))
    (folder / "avro" / "stray.avsc").write_text("{}")
    append(folder, 'colour = "red"\n[video]\nfrom = "pictures"\ntypes = "video"\nlarge = "yes"\n')

    text = "\n".join(problems_of(folder))

    for expected in (
        "avro/status.avsc: is missing",
        "avro/other.avsc: is not JSON",
        "avro/document.avsc, field message_id: source 'massage.id' must start with one of",
        "avro/order.avsc: is not an Avro schema",
        "avro/contact.avsc: requires 'contacts'",
        "avro/stray.avsc: config/messages.toml has no table [stray]",
        "[raw_callback]: unknown key 'colour'",
        "[video]: from must be one of " + "messages, statuses, contacts, events, dead_letters",
        "[video]: topic is missing",
        "[video]: types must be a list",
        "[video]: large must be true or false",
        "avro/video.avsc: is missing",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ('[film]\nfrom = "messages"\ntypes = ["document"]\ntopic = "films"\n', "both claim message type document"),
        ('[film]\nfrom = "messages"\ntypes = ["film"]\ntopic = "documents"\n', "both claim topic kaleyra.whatsapp.documents"),
        ('[film]\nfrom = "messages"\ntypes = ["*"]\ntopic = "films"\n', "both claim message type *"),
        ('[film]\nfrom = "statuses"\ntopic = "films"\n', '2 tables have from = "statuses"'),
        ('[film]\nfrom = "messages"\ntopic = "films"\n', 'types is required with from = "messages"'),
        ('[film]\nfrom = "messages"\ntypes = "film"\ntopic = "films"\n', "types must be a list"),
        ('[film]\nfrom = "messages"\ntypes = [5]\ntopic = "films"\n', "types must be a list"),
        ('[film]\nfrom = "statuses"\ntypes = ["film"]\ntopic = "films"\n', "and not allowed otherwise"),
        ('[film]\nfrom = "messages"\ntypes = ["film"]\ntopic = "films"\nkeyed_by = "name"\n', "keyed_by can only be"),
        ('[film]\nfrom = "messages"\ntypes = ["film"]\ntopic = "films"\nconfig = 5\n', "config must be a table"),
    ],
)
def test_table_that_contradicts_another_or_itself_is_refused(folder: Path, toml: str, problem: str) -> None:
    shutil.copy(folder / "avro" / "other.avsc", folder / "avro" / "film.avsc")
    append(folder, toml)

    assert problem in "\n".join(problems_of(folder))


def test_catalogue_with_a_missing_table_is_refused(folder: Path) -> None:
    (folder / "config" / "messages.toml").write_text("top_level = 5\n")
    for file in (folder / "avro").glob("*.avsc"):
        file.unlink()

    text = "\n".join(problems_of(folder))

    assert "top_level is not a table" in text
    assert 'no table has types = ["*"]' in text
    for source in ("statuses", "contacts", "events", "dead_letters"):
        assert f'0 tables have from = "{source}"' in text


@pytest.mark.parametrize(
    "schema", ["[]", '"string"', "5", '{"type": "record"}', '{"type": "enum", "name": "A", "symbols": ["B"]}']
)
def test_schema_that_is_not_a_record_is_refused(folder: Path, schema: str) -> None:
    (folder / "avro" / "document.avsc").write_text(schema)

    assert problems_of(folder)[0].startswith("avro/document.avsc: is not an Avro schema")


@pytest.mark.parametrize("toml", [None, "[document"])
def test_catalogue_that_cannot_be_read_is_refused(folder: Path, toml: str | None) -> None:
    file = folder / "config" / "messages.toml"
    file.unlink()
    if toml is not None:
        file.write_text(toml)

    (problem,) = problems_of(folder)
    assert problem.startswith("config/messages.toml: cannot be read")
    assert "catalogue.folder" in problem


def test_roots_of_source_paths_are_those_of_the_contract() -> None:
    assert set(ROOTS) == {"message", "status", "contact", "event", "metadata", "extra", "callback", "key", "fault"}


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("partitions = 0", "partitions must be a whole number of at least 1"),
        ("replication_factor = true", "replication_factor must be a whole number of at least 1"),
        ('replication_factor = "3"', "replication_factor must be a whole number of at least 1"),
        ('partitions = 3\nkeyed_by = "wa_id"', "topics keyed by wa_id need equal counts"),
        ("config = { retention.ms = 5 }", 'quote names with dots: "retention.ms" = 5'),
        ('config = { "retention.ms" = 1.5 }', "retention.ms must be a string, a whole number, true or false"),
        (
            'large = true\nconfig = { "max.message.bytes" = 5 }',
            "large = true derives max.message.bytes",
        ),
        ('config = { "min.insync.replicas" = "all" }', "min.insync.replicas must be a whole number of at least 1"),
    ],
)
def test_invalid_topic_settings_are_refused(folder: Path, toml: str, problem: str) -> None:
    shutil.copy(folder / "avro" / "other.avsc", folder / "avro" / "film.avsc")
    append(folder, f'[film]\nfrom = "messages"\ntypes = ["film"]\ntopic = "films"\n{toml}\n')

    (line,) = problems_of(folder)
    assert line.startswith("config/messages.toml, [film]: ")
    assert problem in line


def test_topic_settings_are_read(folder: Path) -> None:
    shutil.copy(folder / "avro" / "other.avsc", folder / "avro" / "film.avsc")
    settings = 'config = { "retention.ms" = -1, "preallocate" = true, "compression.type" = "zstd" }'
    append(
        folder,
        f'[film]\nfrom = "messages"\ntypes = ["film"]\ntopic = "films"\npartitions = 3\nreplication_factor = 2\n{settings}\n',
    )

    film = read_catalogue(folder).record_types["film"]
    assert (film.partitions, film.replication_factor) == (3, 2)
    assert film.topic_config == {"retention.ms": "-1", "preallocate": "true", "compression.type": "zstd"}
