import os
import sys
from pathlib import Path

import pytest

from lab.deployment import Deployment, DeploymentError
from lab.lab import Lab

STREAMS_BLOCK = "import os, sys; sys.exit(not (os.get_blocking(1) and os.get_blocking(2)))"


class Command(Deployment):
    """Runs this interpreter in place of Ansible."""

    def python(self, code: str) -> None:
        self._run(sys.executable, "-c", code)


@pytest.fixture()
def command(tmp_path):
    return Command(Lab(Path(tmp_path)))


def test_commands_find_blocking_streams_whatever_ssh_left_them_as(command, capfd):
    for stream in (1, 2):
        os.set_blocking(stream, False)
    command.python(STREAMS_BLOCK)


def test_a_command_that_fails_is_an_error(command):
    with pytest.raises(DeploymentError):
        command.python("raise SystemExit(3)")
