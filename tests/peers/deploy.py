"""Checks deploy/ with systemd: it knows every setting, and every program exists."""
import shutil
import subprocess
import tempfile
from pathlib import Path

from common import PROJECT, Skip

UNITS = ("ctpipe.service", "ctpipe.timer", "ctpipe-failed@.service")


def units_are_as_systemd_wants_them(ctpipe):
    if not shutil.which("systemd-analyze"):
        raise Skip("there is no systemd-analyze")

    def complaints(change=lambda text: text):
        with tempfile.TemporaryDirectory() as folder:
            for unit in UNITS:
                text = (PROJECT / "deploy" / unit).read_text().replace("/srv/ctpipe", str(PROJECT.resolve()))
                (Path(folder) / unit).write_text(change(text))
            done = subprocess.run(["systemd-analyze", "verify", *UNITS], cwd=folder, capture_output=True, text=True)
            # Complaints about other units of this machine are ignored.
            return [line for line in (done.stdout + done.stderr).splitlines() if "ctpipe" in line]

    assert not complaints(), complaints()
    # The check would find mistakes.
    assert complaints(lambda text: text.replace("OnCalendar=*-*-*", "OnCalendar=sometimes"))
    assert complaints(lambda text: text.replace("ExecStart=/", "ExecStart=/nowhere/"))
    return f"{len(UNITS)} units"
