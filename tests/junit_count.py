"""Prints "passed failed skipped" of a JUnit file. A run that ended badly without saying why, or that
wrote no file, is one failure: silence never counts as success. Pytest's status 5 (nothing collected)
is no failure: the folder holds no tests that apply."""
import sys
import xml.etree.ElementTree as xml


def count(path: str, status: int) -> tuple[int, int, int]:
    passed = failed = skipped = 0
    try:
        cases = list(xml.parse(path).getroot().iter("testcase"))
    except (OSError, xml.ParseError):
        cases = []
    for case in cases:
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed += 1
    if failed == 0 and status not in (0, 5):
        failed = 1
    return passed, failed, skipped


if __name__ == "__main__":
    print(*count(sys.argv[1], int(sys.argv[2])))
