"""Builds the compiled extensions, and nothing else: the metadata is in pyproject.toml.

FASTRELAY_BUILD picks the flavour; each has a build directory of its own, where generated C stays too.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

FLAVOURS = {  # name: (compiler flags, linker flags)
    "release": ("-O3 -fno-tree-slp-vectorize -DNDEBUG -fno-plt -flto=auto -fvisibility=hidden", "-O3 -flto=auto"),
    "debug": ("-Og -g3 -UNDEBUG", ""),
    "asan": ("-O1 -g -UNDEBUG -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined",
             "-fsanitize=address,undefined"),
    "coverage": ("-O0 -g -UNDEBUG --coverage -DCYTHON_TRACE_NOGIL=1", "--coverage"),
}  # fmt: skip
WARNINGS = "-Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers"
DIRECTIVES = {"language_level": 3, "binding": True, "auto_pickle": False, "autotestdict": False, "cdivision": True}

# ext/NAME.pyx each. Every module is linked from all C parts; what it does not call, the linker leaves out.
MODULES = [
    "codec", "codec_trunk", "host", "relay_core", "relay_down", "relay_loop", "relay_send", "relay_sibling", "relay_up",
    "srtp", "trunk_end", "trunk_port", "values",
]  # fmt: skip

flavour = os.environ.get("FASTRELAY_BUILD", "release")
if flavour not in FLAVOURS:
    raise SystemExit(f"FASTRELAY_BUILD={flavour}: choose one of {', '.join(FLAVOURS)}")
build = Path("build", flavour)
compile_flags, link_flags = (flags.split() for flags in FLAVOURS[flavour])
# All of ext/ is a dependency of each module: with output out of the tree the sdist would lose it otherwise.
sources = [*Path("ext").rglob("*"), *Path("src/fastrelay/_ext").glob("*.pxd")]
everything = sorted(str(path) for path in sources if path.suffix in {".pyx", ".pxd", ".h", ".c"})
objects = str(build / f"objects-{sys.implementation.cache_tag}")
parts = [path for path in everything if path.endswith(".c")]
seen_by_each = ["setup.py", *(path for path in everything if path.endswith(".h"))]


class BuildOfParts(build_ext):
    """Compiles each source once and only when it must; setuptools would compile every part anew for every module."""

    def build_extensions(self) -> None:
        """Compile modules and parts, all processors at work, then leave the linking to setuptools."""
        with ThreadPoolExecutor(self.parallel) as pool:
            own = pool.map(self.compile, [extension.sources[0] for extension in self.extensions])
            shared = list(pool.map(self.compile, parts))
        for extension, compiled in zip(self.extensions, own, strict=True):
            # in the order of a link from sources, so that what the linker makes of them does not change
            extension.extra_objects = [compiled, *shared]
            extension.sources = []
        super().build_extensions()

    def compile(self, source: str) -> str:
        """Return the object of a source. All are compiled alike, so any extension's flags will do."""
        (target,) = self.compiler.object_filenames([source], output_dir=objects)
        if self.force or newer_group([source, *seen_by_each], target):
            flags = self.extensions[0].extra_compile_args
            self.compiler.compile([source], objects, debug=self.debug, extra_postargs=flags)
        return target


extensions = [
    Extension(
        f"fastrelay._ext.{name}",
        [f"ext/{name}.pyx"],
        depends=[*everything, "setup.py"],
        libraries=["crypto"],
        # -iquote and not -I: our limits.h must not stand in for the system's.
        extra_compile_args=["-iquote", "ext", "-std=c11", "-D_GNU_SOURCE", *WARNINGS.split(), *compile_flags],
        extra_link_args=link_flags,
    )
    for name in MODULES
]
DIRECTIVES["linetrace"] = flavour == "coverage"
# Modules find each other's .pxd in the package, by their names at run time; those that declare the C are in ext/.
modules = cythonize(
    extensions, build_dir=f"{build}/cython", include_path=["src", "ext"], compiler_directives=DIRECTIVES
)
for module in modules:
    module.include_dirs.clear()  # Cython has added -Iext
setup(
    ext_modules=modules,
    cmdclass={"build_ext": BuildOfParts},
    options={"build": {"build_base": str(build), "parallel": os.cpu_count()}},
)
