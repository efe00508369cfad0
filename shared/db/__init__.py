"""Postgres: units of work (`api`), the thread where asyncio and asyncpg live (`bridge`, `pool`), migrations, errors, shared secrets.

A unit of work is a function of a connection; `Database.run` does it in the database thread, in the order of its partition, and again when the
connection broke before it was committed. A statement that writes joins the fence (`FENCE`): a process that was taken over writes nothing more.

It may touch `shared.config` and `shared.observe`. It must not know what is stored: statements stand with those who need them, in `shared/store`
and in the workers. asyncio, asyncpg and uvloop are imported here and nowhere else (ADR-0001).
"""
