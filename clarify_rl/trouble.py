"""What the machine or the network does to a run, as a sentence: no bug of ours, and no mistake in the configuration."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from clarify_rl.errors import first_line

_SAYS = {
    errno.ENOSPC: "The disk is full{where}. Make room there, or choose a folder on another disk (out=...); what was "
    "complete before is kept, and --resume goes on from there.",
    errno.EDQUOT: "The disk quota is used up{where}. Make room there, then --resume.",
    errno.EROFS: "The file system is read-only{where}. Choose another folder: out=...",
    errno.EACCES: "No permission to write or read{where}. Choose another folder: out=...",
    errno.EPERM: "Not permitted{where}. Choose another folder: out=...",
    errno.ENOTDIR: "A file stands where a folder is needed{where}. Choose another folder: out=...",
    errno.EISDIR: "A folder stands where a file is needed{where}.",
    errno.EMFILE: "Too many open files. Raise the limit (ulimit -n 4096), or lower env.workers.",
}
_HUB = ("huggingface_hub", "httpx", "httpx2", "requests", "urllib3")


def trouble(error: BaseException) -> str:
    """The sentence for an error that the machine or the network caused, or ""; libraries may have wrapped it."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in _SAYS:
            where = f" ({cause.filename})" if cause.filename else ""
            return _SAYS[cause.errno].format(where=where)
        if "no space left on device" in str(cause).lower():  # what safetensors and torch make of it
            return _SAYS[errno.ENOSPC].format(where="")
        if type(cause).__module__.partition(".")[0] in _HUB:
            return (
                f"The hub did not answer: {first_line(cause)} Check the network and the name, log in with "
                "`hf auth login` where a model is private or is pushed (push_to_hub), or give a folder of this "
                "machine instead of a hub name."
            )
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised from or after."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
