"""The observer: a process of its own that shows a relay over HTTP, and cannot hurt it.

Its pages are mapped for reading alone, and its supervisor starts it again when it dies. Started as
`python -m fastrelay.observe.admin`.
"""
