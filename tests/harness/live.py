"""A live sensor on a real interface, its collector, and the cable between it and who sends."""
import pathlib
import shutil
from collections import Counter

from harness import oracle

ADDRESS = "203.0.113.7"
USER = "nobody"
OPTIONS = {"interface": "dark0", "user": USER, "fold": "0s", "retry_min": "10ms", "retry_max": "100ms",
           "status_interval": "1s"}


class Live:
    """Collector and sensor at the sensor's end of the cable; PostgreSQL by its Unix socket."""

    def __init__(self, installation, cable, folder, **options):
        self.installation, self.cable = installation, cable
        self.collector = installation.collector(start=False)
        cable.inside(self.collector)
        self.enrolled = installation.enroll("jp1", addresses=(ADDRESS,), capture=False)
        bundle = folder / "bundle"
        shutil.copytree(self.enrolled.bundle, bundle)
        self.enrolled.bundle = bundle
        installation.folder, before = folder, installation.folder
        self.sensor = installation.sensor(self.enrolled, self.collector.address, **{**OPTIONS, **options})
        installation.folder = before
        for path in [folder / "sensors", *(folder / "sensors").rglob("*"), bundle, *bundle.rglob("*")]:
            shutil.chown(path, USER)
        cable.inside(self.sensor)

    def stored(self) -> Counter:
        with self.installation.connect() as connection:
            return oracle.stored(connection, "jp1")

    def wait_packets(self, n: int) -> None:
        self.installation.wait_query("SELECT coalesce(sum(packets), 0)::bigint FROM hirundo.observation", n)
