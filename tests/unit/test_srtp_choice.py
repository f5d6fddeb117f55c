"""Which path is taken: libsrtp's functions where pylibsrtp shows them as we know them, else its public Session."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
from pylibsrtp import _binding

from fastrelay.transceiver import libsrtp, srtp, srtp_batch, srtp_session


def import_again(module: ModuleType) -> ModuleType:
    """Run a module's text once more, beside the one that everybody uses."""
    assert module.__file__ is not None
    spec = importlib.util.spec_from_file_location("srtp_again", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    return again


def test_batches_are_chosen_where_they_can_be_used() -> None:
    again = import_again(srtp)
    assert (again.ACTIVE, again.SrtpInbound, again.seal_rtp) == (
        "batch",
        srtp_batch.SrtpInbound,
        srtp_batch.seal_rtp,
    )


def test_the_public_session_is_chosen_where_they_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srtp_batch, "is_available", False)
    again = import_again(srtp)
    assert (again.ACTIVE, again.SrtpInbound, again.open_rtp) == (
        "session",
        srtp_session.SrtpInbound,
        srtp_session.open_rtp,
    )


FFI, LIB = _binding.ffi, _binding.lib


@pytest.mark.parametrize(
    "binding",
    [
        pytest.param(None, id="no binding"),
        pytest.param(SimpleNamespace(), id="nothing in it"),
        pytest.param(SimpleNamespace(ffi=FFI, lib=SimpleNamespace()), id="no functions"),
        pytest.param(SimpleNamespace(ffi=SimpleNamespace(), lib=LIB), id="no foreign function interface"),
    ],
)
def test_another_pylibsrtp_is_noticed(binding: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylibsrtp._binding", binding)
    assert libsrtp.find_entry() is None


def test_functions_of_another_type_are_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libsrtp, "SIGNATURE", libsrtp.SIGNATURE.replace("int *", "size_t *"))
    assert libsrtp.find_entry() is None


def test_sessions_that_hide_their_context_are_not_used_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libsrtp, "Session", SimpleNamespace)
    assert libsrtp.find_entry() is None


def test_batches_are_unavailable_without_the_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libsrtp, "find_entry", lambda: None)
    assert import_again(srtp_batch).is_available is False
