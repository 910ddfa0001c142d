"""A worker beside the API: on a free port, started again when it dies, stopped with the API."""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from app.api.settings import ApiSettings
from app.worker.settings import settings_of_worker_beside
from models.settings import without_password

_FIRST_RESTART_S, _LAST_RESTART_S = 1.0, 60.0
_RAN_WELL_S = 60.0  # a worker that ran this long did not die of its start
_STOP_GRACE_S = 15.0


class WorkerProcess:
    """A worker beside the API: started again when it dies, stopped when the API stops.

    It gets a session of its own, so that Ctrl-C ends it by way of this object alone.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        first_restart_s: float = _FIRST_RESTART_S,
    ) -> None:
        self._command, self._environ = list(command), dict(environ)
        self._first_restart_s = first_restart_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="worker", daemon=True)

    def __enter__(self) -> "WorkerProcess":
        self._watching.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Terminate it, and kill it if that takes too long."""
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._watching.join()

    def _watch(self) -> None:
        wait_s = self._first_restart_s
        while True:
            with self._lock:  # `__exit__` prevents this start, or has the process to end
                if self._stopping.is_set():
                    return
                began = time.monotonic()
                self._process = subprocess.Popen(
                    self._command, env=self._environ, start_new_session=True
                )
            code = self._process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _RAN_WELL_S:
                wait_s = self._first_restart_s
            print(
                f"the worker ended (exit code {code}); starting it again in {wait_s:g} s",
                flush=True,
            )
            self._stopping.wait(wait_s)
            wait_s = min(2 * wait_s, _LAST_RESTART_S)


def reason_for_no_worker(settings: ApiSettings, unwanted: bool) -> str | None:
    """Why no worker is started beside the API: a sentence, or None if one is.

    Args:
        settings: Of the API.
        unwanted: Whether the user wants none.

    Raises:
        SettingsError: The worker's settings are bad: it would end at once, every time.
    """
    if settings.worker.urls:
        named = ", ".join(without_password(url) for url in settings.worker.urls)
        return f"CIR_API__WORKER__URLS names {named}"
    if settings.external_reranker.url is not None:
        address = without_password(settings.external_reranker.url)
        return f"CIR_API__EXTERNAL_RERANKER__URL names {address}"
    if unwanted:
        return "--no-worker was given"
    worker = settings_of_worker_beside(settings.preset)
    if worker.reranker is None:
        return f"the preset {worker.preset!r} has no reranker"
    if importlib.util.find_spec("transformers") is None:
        return "its packages are not installed (python -m app doctor says how)"
    return None


def worker_beside(settings: ApiSettings) -> tuple[ApiSettings, WorkerProcess]:
    """The API's settings with a worker on a free port, and that worker, not started yet.

    Preset and image store are the API's, unless the environment gives the worker others.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "app.worker", "--host", "127.0.0.1", "--port", str(port)]
    environ = {
        "CIR_WORKER__PRESET": settings.preset,
        "CIR_WORKER__IMAGE_STORE": str(settings.image_store),
        "CIR_WORKER__LOG_LEVEL": settings.log_level,
        "CIR_WORKER__PARENT_PID": str(os.getpid()),
        **os.environ,
    }
    worker = settings.worker.model_copy(update={"urls": (f"http://127.0.0.1:{port}",)})
    return settings.model_copy(update={"worker": worker}), WorkerProcess(command, environ)
