"""The contract of scikit-learn: its hundreds of checks of an estimator."""

import pytest

CONTRACT = "test_it_keeps_the_contract_of_scikit_learn"


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marks
def pytest_collection_modifyitems(items):
    """Leaves each class's first estimator to `make test`; its others, with the same code for most checks, take long."""
    first = {}
    for item in items:
        if getattr(item, "originalname", "") == CONTRACT:
            estimator = item.callspec.params["estimator"]
            if first.setdefault(type(estimator), repr(estimator)) != repr(estimator):
                item.add_marker(pytest.mark.long)
