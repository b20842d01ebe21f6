"""The way of a callback, from request to answer. Read this first.

admit         the request is authentic and within its quota, or it is refused and nothing is produced     auth/
translate     bytes → decode → split → encode → records, and a dead letter for each item that fails       translate.py
deliver       all records into Kafka together, every acknowledgement awaited                              deliver.py
              or the callback into the spool, while Kafka is unavailable                                  ports.py
acknowledge   outcome → HTTP answer                                                                       acknowledge.py
"""

from connector.answers import KAFKA_UNAVAILABLE, NOT_AUTHENTIC, NOT_FOR_META, SPOOLED, TOO_OFTEN
from connector.auth.authenticate import Authenticator, Credentials
from connector.auth.quota import Quota
from connector.errors import NoRoom
from connector.metrics import Metrics
from connector.pipeline.acknowledge import acknowledge
from connector.pipeline.deliver import Deliverer
from connector.pipeline.dialects.recognise import is_verification
from connector.pipeline.ports import NoSpool, Spool
from connector.records import Answer, RawCallback, Request


class Flow:
    """Carries callbacks. The endpoint calls `admit` with the headers and, once it has read the body, `carry`."""

    def __init__(
        self,
        credentials: Credentials,
        deliverer: Deliverer,
        metrics: Metrics,
        spool: Spool | None = None,
    ) -> None:
        self._authenticator = Authenticator(credentials)
        self._quotas = {name: Quota(name, limit, metrics) for name, limit in credentials.limits().items()}
        self._translator = deliverer.translator
        self._deliverer = deliverer
        self._spool = spool or NoSpool()

    def admit(self, request: Request) -> str | Answer:
        """Return the name of the credential that the request shows, or the answer that refuses it before its body is read."""
        credential = self._authenticator.credential_of(request)
        if credential is None:
            return NOT_AUTHENTIC
        if not self._quotas[credential].admit():
            return TOO_OFTEN
        return credential

    async def carry(self, raw: RawCallback, credential: str) -> Answer:
        """Carry an admitted callback into Kafka, or into the spool while Kafka is unavailable; return its answer."""
        if raw.method in ("GET", "DELETE") and is_verification(raw.query):
            self._translator.log_from_meta()
            return NOT_FOR_META
        answer = KAFKA_UNAVAILABLE
        try:
            # A new callback must not overtake those in the spool.
            if not (self._spool.is_waiting and await self._spool.is_ahead()):
                messages = self._translator.translate(raw)
                outcome = await self._deliverer.deliver(raw, messages)
                answer = acknowledge(outcome)
                if not outcome.may_pass_later:
                    return answer
        except NoRoom:
            pass
        try:
            await self._spool.store(raw, credential)
        except NoRoom:
            return answer
        return SPOOLED
