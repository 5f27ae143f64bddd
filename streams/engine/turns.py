"""Turns of the event loop within work that would otherwise hold it up for long."""

from __future__ import annotations

import asyncio


class Turns:
    """Counts records, of whatever batches: many small ones hold the loop up as one large one does."""

    def __init__(self) -> None:
        self._records = 0

    async def before(self, records: int, most: int) -> None:
        """Give the loop a turn if these records and those since its last one would be more than `most`."""
        if self._records and self._records + records > most:
            self._records = 0
            await asyncio.sleep(0)
        self._records += records
