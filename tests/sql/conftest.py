"""A database with a world's rollups and verdicts, for the tests of the reports."""
import pytest

from harness.hirundo import Installation
from harness.report_world import World
from harness.reports import FIRST, PEOPLE


@pytest.fixture(scope="module")
def world():
    return World(20260130, FIRST)


@pytest.fixture(scope="module")
def filled(server, template, world, tmp_path_factory):
    """A database with the world's rows; asks as a role."""
    installation = Installation(tmp_path_factory.mktemp("report"), server, "hirundo_report", template)
    with installation.connect() as connection:
        world.store(connection)
        connection.execute("ANALYZE")
    connections = {role: installation.connect(role) for role in [*PEOPLE, "postgres"]}
    yield lambda sql, parameters=None, role="hirundo_analyst": connections[role].execute(sql, parameters).fetchall()
    for connection in connections.values():
        connection.close()
    installation.finish()
