"""Which of the executor's layers work on this machine. Stored with every run. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Layer(StrEnum):
    """A way to keep a program in. Each stands alone: one that fails leaves the others."""

    NAMESPACES = "namespaces"
    FILES = "files"
    USER = "user"
    LIMITS = "limits"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"


WHAT = {
    Layer.NAMESPACES: "no network, and no other process in sight",
    Layer.FILES: "a file system that holds nothing but Python, read-only",
    Layer.USER: "a user of its own, with no rights",
    Layer.LIMITS: "limits on processor time, memory, threads and files",
    Layer.LANDLOCK: "the kernel refuses every file but Python's, and TCP",
    Layer.SECCOMP: "the kernel refuses other processes, sockets and every system call that no program needs",
}
# What to do where a layer does not work.
ADVICE = {
    Layer.NAMESPACES: "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone or "
    "kernel.apparmor_restrict_unprivileged_userns), or in a container: --security-opt seccomp=unconfined, or root",
    Layer.FILES: "needs namespaces, and a container that lets them mount (--security-opt apparmor=unconfined)",
    Layer.USER: "only where the caller is root: let it change its user (CAP_SETUID, CAP_SETGID)",
    Layer.LIMITS: "raise the hard limits of this process (ulimit -H), or lower executor limits",
    Layer.LANDLOCK: "use Linux 5.13 or newer with Landlock on (lsm=landlock,... on the kernel's command line)",
    Layer.SECCOMP: "use Linux on x86_64 or aarch64 with CONFIG_SECCOMP_FILTER",
}
TIERS = {
    "A": "every layer holds",
    "B": "no private world, but every file, socket and process is refused by the kernel",
    "C": "files of this user can be read and changed",
    "D": "programs run with this user's rights",
}


@dataclass(frozen=True)
class Capabilities:
    """Why each layer does not work here; "" where it does. Each was tried, not looked up: the forbidden act failed.

    `escapes` names what a sealed program could do all the same; it is empty wherever tier A or B is claimed.
    """

    layers: Mapping[str, str] = field(default_factory=dict)
    escapes: tuple[str, ...] = ()

    def works(self, layer: Layer) -> bool:
        """Whether a layer holds."""
        return self.layers.get(layer, "not tried") == ""

    @property
    def tier(self) -> str:
        """A to D, from the strongest; what each means is in TIERS."""
        confined = self.works(Layer.LANDLOCK) or self.works(Layer.FILES)
        if not self.works(Layer.SECCOMP):
            return "D"
        if self.escapes or not confined or not self.works(Layer.LIMITS):
            return "C"
        rest = (Layer.NAMESPACES, Layer.FILES, Layer.LANDLOCK)
        return "A" if all(self.works(layer) for layer in rest) else "B"

    @property
    def summary(self) -> str:
        """The tier and what is missing, in one line."""
        missing = [f"no {layer} ({self.layers[layer] or 'works'})" for layer in self.layers if self.layers[layer]]
        escapes = [f"a program could {escape}" for escape in self.escapes]
        return "; ".join([f"tier {self.tier}: {TIERS[self.tier]}", *missing, *escapes])

    @property
    def is_process_one(self) -> bool:
        """Whether the fork server is the first process of a namespace, so that no program can signal it."""
        return self.works(Layer.NAMESPACES)
