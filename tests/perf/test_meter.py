"""What the generator used is read to the end, or it is an error."""

from __future__ import annotations

import os
import threading

import pytest

from lbproof_perf.load import meter


def test_a_meter_that_broke_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks that are far apart all would look even."""
    broken = threading.Event()
    monkeypatch.setattr(meter, "EVERY", 0.01)
    made = meter.GeneratorMeter(os.getpid(), [])

    def parse(_: str) -> tuple[float, float]:
        if threading.current_thread() is threading.main_thread():
            return 0.0, 0.0
        broken.set()
        raise ValueError("not a line of /proc/stat")

    monkeypatch.setattr(meter, "parse_machine", parse)
    with pytest.raises(ValueError, match="not a line"), made:
        assert broken.wait(10)
