"""Every data-plane test runs over the readable twin and over the compiled core."""

from collections.abc import Callable

import pytest

from tests.dataplane.cores import MAKERS, Core, Setup

MakeCore = Callable[[Setup], Core]


@pytest.fixture(params=list(MAKERS))
def make_core(request: pytest.FixtureRequest) -> MakeCore:
    return MAKERS[request.param]


@pytest.fixture
def core(make_core: MakeCore) -> Core:
    return make_core(Setup())
