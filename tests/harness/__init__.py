"""The real things that tests run against: PostgreSQL, certificates, daemons, a faulty network."""
