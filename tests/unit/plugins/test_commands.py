"""Programs that a module runs: all that they write arrives, however they end."""

from __future__ import annotations

import signal
import sys
import time

import pytest
from ansible_collections.tanuki.ipsec.plugins.module_utils import commands
from ansible_collections.tanuki.ipsec.plugins.module_utils.commands import MISSING, UNRUNNABLE, run


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_code_output_and_errors():
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\n", "err\n")


def test_more_than_a_pipe_holds_on_both():
    size = 1 << 20
    code, output, errors = run(python(f"import sys; sys.stderr.write('e' * {size}); sys.stdout.write('o' * {size})"))
    assert (code, len(output), len(errors)) == (0, size, size)


def test_a_program_that_isnt_there():
    assert run(["no-such-program"]) == (MISSING, "", "no-such-program: not installed")


@pytest.mark.parametrize(
    ("text", "reason"), [("#!/no/such/shell\n", "No such file or directory"), ("\0", "Exec format error")]
)
def test_a_program_that_cant_be_run(tmp_path, text, reason):
    program = tmp_path / "program"
    program.write_text(text)
    program.chmod(0o755)
    assert run([str(program)]) == (UNRUNNABLE, "", "{}: {}".format(program, reason))


def test_a_program_is_found_where_root_finds_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(commands, "_SBIN", ("/bin",))
    assert run(["true"]) == (0, "", "")


def test_a_signal_is_no_success():
    assert run(["sh", "-c", "kill -9 $$"])[0] == -signal.SIGKILL


def test_nothing_waits_for_input_and_messages_are_in_english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "ja_JP.UTF-8")
    assert run(["sh", "-c", "cat; echo $LC_ALL"]) == (0, "C\n", "")


def test_bytes_that_are_no_text_do_no_harm():
    assert run(["printf", r"a\377b"]) == (0, "a\ufffdb", "")


def test_a_daemon_that_keeps_the_output_open_is_not_waited_for():
    begun = time.monotonic()
    code, output, _errors = run(["sh", "-c", "sleep 30 & echo started $!"])
    assert time.monotonic() - begun < 30
    assert (code, output.split()[0]) == (0, "started")
    run(["kill", output.split()[1]])


def test_what_is_written_between_two_looks_arrives(monkeypatch):
    """A host short of processor time, a simulation: nothing to tell for a while, and then the program has ended."""

    class Starved(commands.selectors.DefaultSelector):
        looks = 0

        def select(self, timeout=None):
            Starved.looks += 1
            if Starved.looks > 1:
                return super().select(timeout)
            time.sleep(0.5)
            return []

    monkeypatch.setattr(commands.selectors, "DefaultSelector", Starved)
    assert run(["sh", "-c", "sleep 0.1; echo active"]) == (0, "active\n", "")
