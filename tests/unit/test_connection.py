"""What a user is told whose RAY_ADDRESS leads nowhere; Ray itself would try for minutes, or end in a traceback."""

from __future__ import annotations

import socket

import pytest

from clarify_rl.errors import ClarifyError
from clarify_rl.pool import connection
from tests.servers import answering


def test_an_address_where_nothing_listens_says_what_to_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ClarifyError, match=rf"No Ray answers at RAY_ADDRESS=127.0.0.1:{port} .*ray start --head"):
        connection._join(f"127.0.0.1:{port}")


def test_the_address_of_a_dashboard_is_told_apart_from_the_heads() -> None:
    with (
        answering(b"HTTP/1.0 200 OK\r\n\r\n") as address,
        pytest.raises(ClarifyError, match=r"is a web server.*export RAY_ADDRESS=127\.0\.0\.1:6379"),
    ):
        connection._join(address)


def test_the_address_of_the_jobs_api_is_told_apart_from_the_heads() -> None:
    with pytest.raises(ClarifyError, match=r"is a web server.*export RAY_ADDRESS=head:6379"):
        connection._join("http://head:8265")
