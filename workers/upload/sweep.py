"""Removes files that are over or whose account is gone, a little at a time, by one worker of the cluster."""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable, Fenced
from rookery.shared.observe.metrics import UPLOADS
from rookery.workers.upload import store
from rookery.workers.upload.files import Files

#: Between batches (seconds), and files of a batch.
PAUSE: Final = 1.0
BATCH: Final = 100
_EXPIRED: Final = UPLOADS.labels("expired")
_log = structlog.get_logger()


async def sweep(node: Node, files: Files) -> int:
    """Remove what is over now, if this process holds partition 0; returns how many files. Raises DatabaseUnavailable, Fenced, OSError."""
    now, done = files.clock(), 0
    # What a client may still put by a signed URL would come back.
    options = files.options
    settled = now - options.slot_seconds - options.put_seconds if options.s3_direct else None
    while node.epoch(Kind.UPLOAD, 0) is not None:
        ids = await node.db.run(0, partial(store.over, now=now, before=settled, limit=BATCH))
        if ids:
            # The rows go last: whoever dies in between is followed by somebody who finds them.
            await files.place.remove(ids)
            await node.db.run(0, partial(store.delete, ids=ids))
            _EXPIRED.inc(len(ids))
            done += len(ids)
        if len(ids) < BATCH:
            await node.db.run(0, partial(store.forget_days, now=now, limit=BATCH * 10))
            await files.place.tidy(now - 2 * options.put_seconds - 3600)
            break
        await trio.sleep(PAUSE)
    return done


async def run(node: Node, files: Files) -> None:
    """Sweep every `upload.sweep_seconds` until cancelled."""
    while True:
        await trio.sleep(files.options.sweep_seconds)
        try:
            await sweep(node, files)
        except DatabaseUnavailable:
            continue
        except OSError as error:
            _log.error("upload_not_removed", error=error.strerror or str(error))
        except Fenced:
            node.fail("the fence is closed")
            return
