"""Remote calls from the suite to the supervisor: JSON lines over a unix socket, one request and one answer a line."""

from __future__ import annotations

import json
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)


def serve(path: Path, commands: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests from now on, each connection in a thread; what a command raises is told to the asker."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(16)

    def accept() -> None:
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=_answer, args=(peer, commands), daemon=True).start()

    threading.Thread(target=accept, name="rpc", daemon=True).start()


def _answer(peer: socket.socket, commands: Mapping[str, Callable[..., Any]]) -> None:
    with peer, peer.makefile("rw", encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            try:
                answer = {"ok": commands[request["do"]](**request["with"])}
            except LabError as error:
                answer = {"error": str(error)}
            except Exception as error:  # noqa: BLE001 - the thread's edge: the asker must hear of a fault of ours
                _log.exception("command %s", request.get("do"))
                answer = {"error": f"the supervisor failed at {request.get('do')}: {type(error).__name__}: {error}"}
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


def call(path: Path, command: str, **arguments: Any) -> Any:  # noqa: ANN401 - it is JSON
    """Have a command carried out. `LabError` when it fails or nobody is there."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            with peer.makefile("rw", encoding="utf-8") as lines:
                lines.write(json.dumps({"do": command, "with": arguments}) + "\n")
                lines.flush()
                line = lines.readline()
    except OSError as error:
        raise LabError(f"the lab's supervisor does not answer at {path}: {error.strerror}") from error
    if not line:
        raise LabError(f"the lab's supervisor ended during {command}")
    answer = json.loads(line)
    if "error" in answer:
        raise LabError(answer["error"])
    return answer["ok"]
