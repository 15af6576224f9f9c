"""For all tests: nothing hangs on how fast the machine is or how they were started; what broke a run is said last."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell switches Ctrl-C off for what it starts in the background, and the programs that tests interrupt inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_internal_errors: list[str] = []


@pytest.hookimpl(tryfirst=True)
def pytest_internalerror(excrepr: object) -> None:
    _internal_errors.append(str(excrepr))


def pytest_unconfigure() -> None:
    """Repeats the first internal error. With workers it stands far above the assertion of xdist that it leads to."""
    if _internal_errors:
        print("\n".join(["The first internal error:", *_internal_errors[0].splitlines()[-25:]]))
