"""Builds the compiled extensions, and nothing else: the metadata is in pyproject.toml.

FASTRELAY_BUILD picks the flavour. Each flavour has a build directory of its own, so that none
ever finds the objects of another, and generated C stays there. There is no fall-back: what
does not compile does not install.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAVOURS = {  # name: (compiler flags, linker flags)
    "release": (["-O3", "-DNDEBUG", "-fno-plt", "-flto=auto", "-fvisibility=hidden"], ["-O3", "-flto=auto"]),
    "debug": (["-Og", "-g3", "-UNDEBUG"], []),
    "asan": (["-O1", "-g", "-UNDEBUG", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined",
              "-fno-omit-frame-pointer"], ["-fsanitize=address,undefined"]),
    "coverage": (["-O0", "-g", "-UNDEBUG", "--coverage", "-DCYTHON_TRACE_NOGIL=1"], ["--coverage"]),
}  # fmt: skip
WARNINGS = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-sign-compare", "-Wno-missing-field-initializers"]

# -iquote and not -I: our limits.h must never stand in for the system's.
# module: the folders of ext/ whose C it holds
MODULES: dict[str, list[str]] = {
    "codec": ["crypto", "wire", "route", "trunk"],
}

flavour = os.environ.get("FASTRELAY_BUILD", "release")
if flavour not in FLAVOURS:
    raise SystemExit(f"FASTRELAY_BUILD={flavour}: choose one of {', '.join(FLAVOURS)}")
compile_flags, link_flags = FLAVOURS[flavour]
build_base = f"build/{flavour}"
# Everything under ext/ is a dependency: Cython's out-of-tree output hides the .pyx and .h from the sdist otherwise.
everything = sorted(str(path) for path in Path("ext").rglob("*") if path.suffix in {".pyx", ".pxd", ".h", ".c"})

extensions = [
    Extension(
        f"fastrelay._ext.{name}",
        [f"ext/{name}.pyx", *(path for folder in folders for path in everything
                              if path.startswith(f"ext/{folder}/") and path.endswith(".c"))],
        depends=everything,
        libraries=["crypto"],
        extra_compile_args=["-iquote", "ext", "-std=c11", "-D_GNU_SOURCE", *WARNINGS, *compile_flags],
        extra_link_args=link_flags,
    )
    for name, folders in MODULES.items()
]  # fmt: skip

modules = cythonize(extensions, build_dir=f"{build_base}/cython", compiler_directives={
    "language_level": 3, "binding": True, "auto_pickle": False, "autotestdict": False, "cdivision": True,
    "linetrace": flavour == "coverage",
})  # fmt: skip
for module in modules:
    module.include_dirs.clear()  # Cython has added -Iext
setup(ext_modules=modules, options={"build": {"build_base": build_base}})
