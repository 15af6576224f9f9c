"""The Ray that pools and learners run on: the one that is connected, the one of RAY_ADDRESS, or a local one."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import ray
from ray.exceptions import RayError

from clarify_rl.errors import ClarifyError

_ANSWER_S = 10.0
_guests = 0  # how many in this process use the Ray that `join_ray` connected to


def join_ray(needs: Mapping[str, float]) -> bool:
    """Connects to Ray; where that returns True, `leave_ray` has to be called once.

    Without RAY_ADDRESS a Ray is started on this machine that counts as many resources as are `wanted`, in Ray's names.
    Raises ClarifyError: no Ray answers at RAY_ADDRESS, or it does not let this process in.
    """
    global _guests
    if ray.is_initialized():
        _guests += _guests > 0
        return _guests > 0
    if address := os.environ.get("RAY_ADDRESS", ""):
        _join(address)
    else:
        amounts = {name: math.ceil(amount) for name, amount in needs.items()}
        custom = {name: amount for name, amount in amounts.items() if name not in ("CPU", "GPU", "memory")}
        cpus = max(1, amounts.get("CPU", 0))
        # Ray makes its workers nice by 15. Beside busy processes that left each learner 1/28 of a core, while this
        # process, which is not nice, waited for them.
        niceness = {} if "RAY_worker_niceness" in os.environ else {"worker_niceness": 0}
        _init(address="local", num_cpus=cpus, resources=custom, include_dashboard=False, _system_config=niceness)
    _guests = 1
    return True


def leave_ray() -> None:
    """Ends the connection, and with it a local Ray, once nobody in this process uses it any more."""
    global _guests
    _guests -= 1
    if not _guests:
        ray.shutdown()


def _init(**options: Any) -> None:  # Any: Ray's own
    """Starts or joins Ray. From then on SIGTERM ends this process in order, as Ctrl-C does, or as it did before.

    Ray's own handler would abort it with a stack trace of C++.
    """
    before = signal.getsignal(signal.SIGTERM)
    ray.init(log_to_driver=False, logging_level=logging.WARNING, **options)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before if callable(before) else signal.default_int_handler)


def _join(address: str) -> None:
    _require_head(address)
    try:
        _init()
    except (OSError, ValueError, RuntimeError, RayError) as error:
        raise ClarifyError(
            f"No connection to the Ray at RAY_ADDRESS={address}: {error}. If it wants a token: export "
            "RAY_AUTH_MODE=token RAY_AUTH_TOKEN=... Or unset RAY_ADDRESS to run on this machine alone."
        ) from None


def _require_head(address: str) -> None:
    """Stops in seconds where nothing listens, or a web server does: Ray itself would try for many minutes."""
    if address.startswith(("http://", "https://")):
        raise ClarifyError(_web_server(address, urlsplit(address).hostname or "HEAD"))
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdecimal():  # Ray's other forms, e.g. auto
        return
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S)
    except OSError as error:
        raise ClarifyError(
            f"No Ray answers at RAY_ADDRESS={address} ({error}). Start one there: ray start --head. Or unset "
            "RAY_ADDRESS to run on this machine alone."
        ) from None
    with connection:
        if _speaks_http(connection):
            raise ClarifyError(_web_server(address, host))


def _web_server(address: str, host: str) -> str:
    return (
        f"RAY_ADDRESS={address} is a web server, such as Ray's dashboard. Give the port of the head itself, 6379 if it "
        f"was not told another one: export RAY_ADDRESS={host}:6379"
    )


def _speaks_http(connection: socket.socket) -> bool:
    with suppress(OSError):
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(5) == b"HTTP/"
    return False
