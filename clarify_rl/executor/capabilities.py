"""Which of the executor's layers work on this machine. Stored with every run. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Capabilities:
    """Each layer was tried, not looked up: True means that the forbidden act failed."""

    user_drop: bool
    network_namespace: bool
    process_namespace: bool
    process_limit: bool
    resource_limits: bool
    no_new_privileges: bool

    @property
    def summary(self) -> str:
        """What a program can and cannot do here, in plain words."""
        files = (
            "programs run as an unprivileged user of their own"
            if self.user_drop
            else "programs run as your user and can read and change your files"
        )
        hidden = self.process_namespace or self.user_drop
        return "; ".join(
            (
                files,
                "no network" if self.network_namespace else "network reachable",
                "other processes out of reach" if hidden else "processes of yours can be killed",
                "limited processor time, memory and file sizes" if self.resource_limits else "limits can be raised",
                "limited processes" if self.process_limit else "processes not limited",
                "no new privileges" if self.no_new_privileges else "set-user-id programs keep their rights",
                "no system call filter, no Landlock, no private file system yet",
            )
        )
