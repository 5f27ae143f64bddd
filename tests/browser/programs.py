"""Programs that were copied from a page, as a person would run them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

import pytest

PATIENCE_SECONDS = 30.0


async def run_to_end(command: list[str]) -> str:
    """Return what a program wrote that ends."""
    return await run_until(command, lambda text: False, ends=True)


async def run_until(command: list[str], enough: Callable[[str], bool], *, ends: bool = False) -> str:
    """Return what a program wrote when that is enough, and end it; or when it `ends`."""
    program = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    assert program.stdout is not None
    text = ""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not enough(text):
                piece = await program.stdout.read(65536)
                if not piece and ends:
                    break
                assert piece, f"{command} ended"
                text += piece.decode()
    except TimeoutError:
        pytest.fail(f"{command} wrote only {text[-2000:]!r}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGTERM)  # a shell's children too
        await program.wait()
        program._transport.close()  # type: ignore[attr-defined]
    return text
