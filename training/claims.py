"""A run folder is of one set of options: who trains in it, and who must not."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Protocol

from fstcn_keras.error_texts import reason_of
from fstcn_keras.runs import RunFolder
from training.errors import UserError
from training.locks import is_locked, locked
from training.options import differences, read_config, write_config


class TrainingOptions(Protocol):
    """Options of a command that trains in a run folder."""

    def run_folder(self) -> RunFolder:
        """Returns where the results go."""


@contextlib.contextmanager
def removed_if_refused(run: RunFolder) -> Iterator[None]:
    """Removes the folder again if it is new, and what is done within is refused before it begins.

    One with a list of what could not be decoded stays, as the message names that list.
    """
    was_there = run.path.exists()
    try:
        yield
    except UserError:
        lists = run.path.rglob(run.rejected.name)
        kept = run.has_begun() or any(len(file.read_bytes().splitlines()) > 1 for file in lists)
        if not (was_there or kept or is_locked(run.path, "trains")):
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def open_run(options: TrainingOptions) -> RunFolder:
    """Makes the run folder, or checks that it is a run of the same options.

    Raises:
        UserError: if it cannot be written, or holds another run or one that has just begun.
    """
    run = options.run_folder()
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        # in this order, as another worker may be writing the first file
        unfinished = f"partial-{run.config.name}"  # another is writing it, or was killed over it
        others = [p for p in run.path.iterdir() if p.suffix != ".lock" and p.name != unfinished]
        if others and not run.config.exists():
            raise UserError(
                f"{run} is not empty and not the folder of a training run: name "
                "another folder with --out"
            )
        if run.has_begun() or any(is_locked(f.path, "trains") for f in (run, *run.parts())):
            check_options(options, run)
    except OSError as error:
        raise UserError(f"the run folder {run} cannot be written: {reason_of(error)}") from error
    return run


def claim_run(options: TrainingOptions, run: RunFolder):
    """Writes the options into the run folder; once the run has begun, compares them.

    Before, an index of images goes with the options that it was made by.

    Raises:
        UserError: if it holds another run.
    """
    with locked(run.path, "prepares"):  # other workers do the same
        if run.has_begun():
            check_options(options, run)
            return
        before = run.config.read_bytes() if run.config.exists() else None
        write_config(options, run.config)
        if run.config.read_bytes() != before:
            run.images.unlink(missing_ok=True)


def check_options(options: TrainingOptions, run: RunFolder):
    """Makes sure that the run folder is of these options, where it tells.

    Raises:
        UserError: if it holds another run.
    """
    if not run.config.exists():
        return
    if changed := differences(read_config(run.config, type(options)), options):
        raise UserError(
            f"{run} holds a run with other options ({'; '.join(changed)}): "
            "name another folder with --out, or remove it"
        )
