"""Push a folder to a repository of Hugging Face."""

import os
import re
from pathlib import Path

from mim.plain import printable

NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
NO_LICENCE = "weights need a licence; give it as the hub abbreviates it, e.g. --licence apache-2.0"
LICENCE = re.compile(r"[a-z0-9.+-]{1,60}")


def check_names(repository: str, licence: str | None) -> None:
    """Refuse what is no name of a repository, or none of a licence; None for one to be asked for.

    Raises:
        ValueError: saying what is one.
    """
    if NAME.fullmatch(repository) is None:
        raise ValueError(
            f"{printable(repository)} is no repository; give <user or organisation>/<name>, e.g. "
            "me/mae-digits"
        )
    if licence is not None and LICENCE.fullmatch(licence) is None:
        raise ValueError(
            f"{printable(licence)} is no licence as the hub abbreviates it; e.g. apache-2.0, mit, "
            "cc-by-nc-4.0, other"
        )


def push(folder: Path, repository: str, private: bool = False) -> str:
    """Make the repository where there is none, upload a folder in one commit, and return its
    address.

    The hub is that of `HF_ENDPOINT`, who pushes is said by `HF_TOKEN` or by `hf auth login`, as
    everywhere in huggingface-hub.

    Raises:
        ValueError: where nobody is logged in.
        OSError: where the hub refuses or does not answer.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if get_token() is None:
        raise ValueError(
            "nobody is logged in to Hugging Face; set HF_TOKEN, or run `hf auth login`; --dry-run "
            "needs neither"
        )
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Weights and model card"
        )
    except HfHubHTTPError as error:
        raise OSError(
            f"{repository} was not pushed; the hub says: {printable(' '.join(str(error).split()))}"
        ) from error
    except OSError as error:
        raise OSError(
            f"{repository} was not pushed; the hub does not answer: {printable(error)}"
        ) from error
    return str(done.commit_url).partition("/commit/")[0]
