"""The registry's client: certificates are loaded where a URL is https, and only there."""

import ssl
from typing import Any

import pytest

from connector.registry.client import RegistryClient


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Return the contexts that were made with certificates."""
    made: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def recorded(*given: Any, **more: Any) -> ssl.SSLContext:
        made.append(create(*given, **more))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", recorded)
    return made


@pytest.mark.parametrize("url", ["http://a.example", "http://a.example:8081/path", "http://a.example, http://b.example"])
def test_no_certificates_are_loaded_for_http(url: str, loaded: list[ssl.SSLContext]) -> None:
    RegistryClient(url).close()
    assert not loaded


@pytest.mark.parametrize("url", ["https://a.example", " https://a.example", "http://a.example,https://b.example"])
@pytest.mark.parametrize("properties", [{}, {"timeout": 1}])
def test_certificates_are_verified_for_https(url: str, properties: dict[str, Any], loaded: list[ssl.SSLContext]) -> None:
    RegistryClient(url, properties).close()
    (context,) = loaded
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
