"""The command `fastrelay`: one module per group of commands, joined in `main`.

Nothing else lives here. A command reads its arguments, calls one part below it, and prints: values on standard output,
for people or with `--json` for scripts, and problems on standard error.
"""
