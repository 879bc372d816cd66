"""JSON bodies, decoded by msgspec: four times as fast as by `json`."""

import json
import sys
from typing import Any

import msgspec

from akidb_ray.domain.errors import Malformed


def decode_json(raw: bytes) -> Any:
    """What `json.loads` makes of it. Raises Malformed that says why it can't be read."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # NaN, numbers above all floats and halves of surrogate pairs: whoever asks for the value
        # says where in the body it is.
        return _decode_slowly(raw)


def _decode_slowly(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise Malformed("the body is not JSON that can be read: it is nested too deeply") from None
    except ValueError:
        # Of what Python's JSON can't parse, only this is no JSONDecodeError.
        digits = sys.get_int_max_str_digits()
        raise Malformed(f"the body holds a whole number of more than {digits} digits") from None
