"""The pages that tests walk through, for the seeded instance."""
import datetime
import zoneinfo

from browser.seeding import ZONE

TODAY = datetime.datetime.now(zoneinfo.ZoneInfo(ZONE)).date()
DAY = datetime.timedelta(days=1)
# Whole days, all of them with verdicts; the outage of the seeded instance is in them.
PERIOD = TODAY - 26 * DAY, TODAY - DAY
MONTH = f"from={PERIOD[0]}&to={PERIOD[1]}"
_past = TODAY.replace(day=1, month=(TODAY.month - 1) // 3 * 3 + 1) - DAY
QUARTER = f"{_past.year}Q{(_past.month - 1) // 3 + 1}"
SPOOFED = "20.3.0.10"

PAGES = {
    "overview": "/",
    "region": "/r/JP",
    "sensor": "/sensor/1",
    "service": "/service/23-TCP",
    "source": f"/source/{SPOOFED}",
    "as": "/network/as-81",
    "prefix": "/network/38.130.4.0-23",
    "group": "/network/group-hosting-jp",
    "spoofing": "/spoofing",
    "quarter": f"/quarter/{QUARTER}",
    "queries": "/queries",
}
# Those with charts and numbers: all but the list of queries.
CHARTS = [name for name in PAGES if name != "queries"]


def at(path: str, more: str = MONTH) -> str:
    """The quarter brings its own period."""
    return path if path.startswith("/quarter/") and more == MONTH else f"{path}?{more}"
