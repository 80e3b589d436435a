"""The progress rule: what a relay handed over is never taken back."""

import pytest

from tie_core.relay import extends


@pytest.mark.parametrize(
    ("prefix", "handed_over", "goes_on"),
    [
        ("", "", True),
        ("six pens", "", True),
        ("six pens", "six", True),
        ("six", "six", True),
        ("six", "six pens", False),
        ("sax pens and more", "six pens", False),
        ("caf\u00e9 au lait", "cafe", True),  # the last character may grow by a combining mark
        ("caffe au lait", "caf\u00e9", True),
    ],
)
def test_only_who_goes_on_from_the_text_that_was_handed_over_may_lead(prefix, handed_over, goes_on):
    assert extends(prefix.encode(), handed_over.encode()) is goes_on
