"""Why a benchmark could not be run or must not be believed."""


class BenchFailure(Exception):
    """The run is void: something is missing on this machine, or the counts do not add up."""
