"""What goes over the wire to providers, byte for byte in meaning; `make golden` rewrites, review reads the diff."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from angelia.delivery.channels.base import Message
from angelia.delivery.channels.fcm import FcmAdapter

WRITE_GOLDEN = os.environ.get("ANGELIA_GOLDEN") == "write"  # read now: fixtures clear ANGELIA_*
GOLDEN = Path(__file__).parent / "fcm"
MESSAGES = {
    "plain": Message("tok:en-1", "ab" * 16, "Price drop: camera", "Hello Ann, it costs less.", None, None, 3600, False),
    "urgent_with_link": Message("tok2", "cd" * 16, "Parcel", "At 5 pm", "https://shop.example/o?id=1&x=2", "order", 0, True),
    "quotes_and_scripts": Message('t"\\k', "ef" * 16, 'He said "hi"', "你好 \U0001f680 </script>\nline", None, "k" * 65, 2_419_200, False),
}


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_fcm(name: str) -> None:
    request = FcmAdapter("my-project").build_request(MESSAGES[name])
    shown = {"path": request.path.decode(), "headers": [[k.decode(), v.decode()] for k, v in request.headers], "body": json.loads(request.body)}
    path = GOLDEN / f"{name}.json"
    if WRITE_GOLDEN:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n")
    assert shown == json.loads(path.read_text())
