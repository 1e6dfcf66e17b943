"""The rim's own work: scripts that are started and not waited for."""

from __future__ import annotations

import time

from ike.daemon.rim import Rim
from ike.exchange.effects import RunScript
from ike.kernel.none import NoneKernel


def wait_for(path, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return path.read_text()


def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def test_a_script_gets_its_event_and_its_variables_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_OURS", "1")
    seen, done = tmp_path / "seen", tmp_path / "done"
    hook = script(
        tmp_path / "hook", 'echo "$1 $REMOTE_ADDR $SECRET_OF_OURS" > {0}.new\nmv {0}.new {1}\n'.format(seen, done)
    )
    environment = (("REMOTE_ADDR", "192.0.2.1"), ("PATH", "/usr/bin:/bin"))
    Rim(NoneKernel()).perform(RunScript(hook, "child_up", environment))
    assert wait_for(done) == "child_up 192.0.2.1 \n"


def test_a_script_that_fails_is_said_and_harms_nothing(tmp_path, caplog):
    Rim(NoneKernel()).perform(RunScript(str(tmp_path / "absent"), "ike_sa_up", ()))
    end = time.monotonic() + 60
    while "absent" not in caplog.text and time.monotonic() < end:
        time.sleep(0.02)
    assert "script {} ike_sa_up".format(tmp_path / "absent") in caplog.text
