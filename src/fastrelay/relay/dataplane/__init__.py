"""The relay's packet decision: its verdicts and limits, its readable twin, and the door to the compiled one."""
