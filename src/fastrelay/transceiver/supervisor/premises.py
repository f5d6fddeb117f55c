"""What a transceiver has on its machine before it has workers: a run directory, and sockets that listen.

Lives here: opening them in order, dropping privileges once they are open, and leaving nothing behind. Must not live
here: who serves on them (worker, routes).
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from fastrelay.observe.logs import facts
from fastrelay.service.privileges import account_of, drop_privileges
from fastrelay.service.run_dir import RunDir
from fastrelay.transceiver.supervisor.settings import TransceiverSettings
from fastrelay.transceiver.supervisor.sockets import ORPHANS_PATIENCE_S, Neighbourhood, listen_on
from fastrelay.wire.address import format_endpoint

LOG = logging.getLogger(__name__)


class Premises:
    """Enter it to open everything; ConfigError for what cannot be. Leaving it closes and clears."""

    def __init__(self, settings: TransceiverSettings) -> None:
        self._settings = settings
        self._undo = ExitStack()
        self._admin_tcp: socket.socket | None = None
        self.admin_sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self._open(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def _open(self, undo: ExitStack) -> None:
        settings = self._settings
        owner = account_of(settings.user)
        run_dir = None
        if settings.run_dir is not None:
            run_dir = RunDir.make(settings.run_dir, owner)
            run_dir.lock()
            undo.callback(run_dir.unlock)
            undo.callback(run_dir.clear)
            folder = settings.run_dir
        else:
            LOG.warning("no run directory", extra=facts(so="no command finds this transceiver"))
            folder = Path(undo.enter_context(TemporaryDirectory(prefix="fastrelay-")))
            if owner is not None:
                os.chown(folder, *owner)
        self.neighbourhood = Neighbourhood(folder)
        self.http = listen_on(
            settings.signalling.listen, "--http", patience_s=ORPHANS_PATIENCE_S if self.neighbourhood.orphans else 0.0
        )
        undo.callback(self.http.close)
        if settings.admin is not None:
            self._admin_tcp = self._admin(undo, listen_on(settings.admin, "--admin"))
        # order matters: low ports need privileges, and what is made from here on belongs to whom we become
        if settings.user is not None:
            drop_privileges(settings.user)
        if run_dir is not None:
            self._admin(undo, run_dir.listen_for_admin())

    def _admin(self, undo: ExitStack, opened: socket.socket) -> socket.socket:
        undo.callback(opened.close)
        self.admin_sockets.append(opened)
        return opened

    @property
    def url(self) -> str:
        """Where signalling is, with the port that the kernel has chosen if it was to."""
        scheme = "http" if self._settings.signalling.certificate_file is None else "https"
        return f"{scheme}://{format_endpoint(*self.http.getsockname()[:2])}"

    @property
    def admin(self) -> str | None:
        """Where health and metrics are served over TCP."""
        return None if self._admin_tcp is None else format_endpoint(*self._admin_tcp.getsockname()[:2])
