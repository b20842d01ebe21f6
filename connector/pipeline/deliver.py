"""The records of a callback in, an `Outcome` out: all are sent together; what Kafka refuses for good becomes dead letters."""

from collections.abc import Sequence

from connector.logs import RateLimitedEvent
from connector.metrics import Metrics
from connector.pipeline.outcome import Failure, Outcome
from connector.pipeline.ports import Sink
from connector.pipeline.translate import Translator
from connector.records import Fault, KafkaMessage, Place, RawCallback


class Deliverer:
    """Sends what `translator` made into a sink, and counts what is acknowledged."""

    def __init__(self, translator: Translator, sink: Sink, metrics: Metrics) -> None:
        self.translator = translator
        self._sink = sink
        self._metrics = metrics
        self._acknowledged = {topic: metrics.acknowledged(topic) for topic in translator.topics}
        self._letter_refused = RateLimitedEvent("dead_letter_refused", "error")

    async def deliver(self, raw: RawCallback, messages: Sequence[KafkaMessage]) -> Outcome:
        """Send the records of a callback and await every acknowledgement.

        A record that Kafka refuses for good is replaced by a dead letter. In the outcome, `refused` holds only records whose
        dead letter was refused too.

        Raises:
            NoRoom: when nothing was enqueued.
        """
        outcome = await self._sink.send(messages)
        self._count(messages, outcome)
        if outcome.refused:
            outcome = await self._send_dead_letters(raw, outcome)
        for failure in outcome.unconfirmed:
            self._metrics.unconfirmed_records.labels(failure.error).inc()
        return outcome

    def _count(self, messages: Sequence[KafkaMessage], outcome: Outcome) -> None:
        for message in outcome.acknowledged(messages):
            self._acknowledged[message.topic].count += 1

    async def _send_dead_letters(self, raw: RawCallback, outcome: Outcome) -> Outcome:
        # A dead letter or raw copy has no place: if one is refused, the dead letter is of the whole callback. The lines of an
        # order have the place of the order: their dead letter is of the order.
        failures: dict[Place | None, list[Failure]] = {}
        for failure in outcome.refused:
            failures.setdefault(failure.message.place, []).append(failure)
        letters = [
            self.translator.dead_letter(raw, place, Fault("refused_by_kafka", "produce", of_place[0].error))
            for place, of_place in failures.items()
        ]
        again = await self._sink.send(letters)
        self._count(letters, again)
        if again.refused:
            topic, error = again.refused[0].message.topic, again.refused[0].error
            self._letter_refused.event(topic=topic, error=error, see="connector topics check")
        failures_of = dict(zip(map(id, letters), failures.values(), strict=True))
        refused = [failure for letter in again.refused for failure in failures_of[id(letter.message)]]
        return Outcome(refused, outcome.unconfirmed + again.unconfirmed)
