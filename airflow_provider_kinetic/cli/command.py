"""What every command has in common: its surroundings, its errors and the job that it is about."""

from __future__ import annotations

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable
from functools import wraps
from typing import TypeAlias

from airflow.cli.utils import redirect_stdout_log_handlers_to_stderr
from airflow.utils.cli import action_cli, suppress_logs_and_warning
from airflow.utils.platform import getuser
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_kinetic.hooks.kinetic import KineticHook
from airflow_provider_kinetic.model.errors import KineticError, UserCodeError
from airflow_provider_kinetic.model.handle import JobHandle

Command: TypeAlias = Callable[[Namespace], None]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""


def command(run: Command) -> Command:
    """Run as a command line tool should: results on stdout and nothing else there, one clean block for an error.

    An error ends with exit code 1; its Python traceback is shown with ``--verbose`` only.
    """

    @wraps(run)
    def wrapped(args: Namespace) -> None:
        # Airflow's word for a process that may read connections from the database, as its own commands do.
        os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
        redirect_stdout_log_handlers_to_stderr()
        try:
            run(args)
            sys.stdout.flush()
        except KineticError as error:
            explain(error, verbose=args.verbose)
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:  # `… | head`: nobody reads on, and Python's own flush at exit must not complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    decorated: Command = suppress_logs_and_warning(providers_configuration_loaded(wrapped))
    return decorated


def audited(run: Command) -> Command:
    """A :func:`command` that changes something: Airflow's audit log gets an entry."""
    recorded: Command = action_cli(check_db=False)(command(run))  # type: ignore[no-untyped-call]
    return recorded


def explain(error: KineticError, *, verbose: bool = False) -> None:
    """Say on stderr what went wrong and what to do."""
    if verbose:
        traceback.print_exception(error)
    if error.remote_traceback:
        tell(error.remote_traceback.rstrip())
    if error.remote_traceback and isinstance(error, UserCodeError):
        tell(error.summary)
        return
    tell(f"Error: {error.summary}")
    if error.advice:
        tell(error.advice)


def tell(line: str) -> None:
    """A line for people, on stderr: stdout belongs to the result."""
    print(line, file=sys.stderr, flush=True)


def open_job(args: Namespace) -> tuple[KineticHook, JobHandle]:
    """The job of the command line, and the hook through which it is reached.

    The name of the job's object (``kinetic-job-…``) is taken for its id.

    :raises JobNotFound: the connection's store knows no such job.
    """
    job_id = str(args.job).strip().removeprefix("kinetic-")
    handle = KineticHook(args.conn_id).attach(job_id)
    return KineticHook.of(handle, args.conn_id), handle


def actor() -> str:
    """Who acts, for marks that are left behind."""
    return f"{getuser()} on the command line"
