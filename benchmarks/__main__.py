"""All benchmarks: the steps of the hot path, redaction, then the whole service (see each module)."""

from __future__ import annotations

import asyncio

from benchmarks import hotpath, redact, run

if __name__ == "__main__":
    redact.main()
    asyncio.run(hotpath.main())
    run.main()
