"""Releases that can be swapped under a running relay: a start script as pip installs one, in a folder of the test's.

Lives here: writing such scripts, good and broken, and a second interpreter. Must not live here: what must hold when
they are swapped (test_upgrade).
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

GOOD = "import sys\nprint('release {name}', file=sys.stderr, flush=True)\nfrom fastrelay.cli.main import main\nmain()\n"
BROKEN = {
    "exits": "import sys\nsys.exit('this release is broken')\n",
    "does not compile": "this is no program\n",
    "misses a module": "import fastrelay.not_there\n",
    "says nothing": "",
    "hangs up": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
}


class Launcher:
    """The command of a relay. What it starts can be replaced while the relay runs."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "fastrelay"
        self._folder = folder

    @property
    def command(self) -> list[str]:
        return [str(self._path)]

    def install(self, name: str, *, interpreter: Path | None = None) -> None:
        """A release that works, and says its name on standard error when it starts."""
        self._write(GOOD.format(name=name), interpreter or Path(sys.executable))

    def install_broken(self, how: str) -> None:
        self._write(BROKEN[how], Path(sys.executable))

    def install_treacherous(self) -> None:
        """One that rehearses well, and then does not start."""
        lines = "import os, sys\nif 'FASTRELAY_REHEARSAL' not in os.environ: sys.exit('not in earnest')\n"
        self._write(lines + GOOD.format(name="treacherous"), Path(sys.executable))

    def remove(self) -> None:
        self._path.unlink()

    def _write(self, text: str, interpreter: Path) -> None:
        """In one step, as a package manager does: a relay that starts meanwhile gets the old one or the new one."""
        fresh = self._folder / "fastrelay.new"
        fresh.write_text(f"#!{interpreter} -Werror\n{text}")
        fresh.chmod(0o755)
        fresh.replace(self._path)


def second_interpreter(folder: Path) -> Path:
    """The same Python under another name, in an environment of its own with the same packages."""
    home = folder / "second"
    (home / "bin").mkdir(parents=True)
    python = home / "bin" / "python"
    python.symlink_to(Path(sys.executable).resolve())
    (home / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    packages = home / "lib" / f"python{sysconfig.get_python_version()}"
    packages.mkdir(parents=True)
    (packages / "site-packages").symlink_to(sysconfig.get_path("purelib"))
    return python
