"""The hub, for what was written to a folder first."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clarify_rl.errors import ClarifyError, first_line


def to_hub(folder: Path, name: str, kind: Literal["model", "dataset"]) -> str:
    """Puts the folder on the hub, private unless it exists already. Returns its address.

    Raises ClarifyError where the hub cannot be reached or does not let this machine.
    """
    from huggingface_hub import HfApi

    hub = HfApi()
    try:
        address = hub.create_repo(name, repo_type=kind, exist_ok=True, private=True)
        hub.upload_folder(repo_id=name, folder_path=folder, repo_type=kind)
    except Exception as error:  # the hub's client raises a dozen unrelated types; all mean the same to the user
        what = " --repo-type dataset" if kind == "dataset" else ""
        raise ClarifyError(
            f"{name} could not be put on the hub: {first_line(error)}\nEverything is in {folder}. Log in "
            f"with `hf auth login`, then: hf upload {name} {folder}{what}"
        ) from error
    return str(address)
