"""docs/validation.md says what the suites say."""

from roomtone.settings import PROJECT_ROOT
from roomtone.validate.page import validation_page


def test_the_page_is_not_stale() -> None:
    written = (PROJECT_ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    assert written == validation_page(), "run `python -m roomtone.validate.page > docs/validation.md`"


def test_each_critical_rule_has_its_reason_on_the_page() -> None:
    lines = [line for line in validation_page().splitlines() if "| critical |" in line]
    assert len(lines) > 80
    for line in lines:
        assert len(line.split(" | ")[2]) > 10
