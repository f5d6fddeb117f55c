"""libopus: the door to the library that PyAV has loaded.

Lives here: finding it, and its functions with their types. We call it past FFmpeg, which decodes to 48 kHz alone, can
neither conceal a lost frame nor recover one from its successor, and takes twice the time around the codec.
Calls keep the GIL: they take 30 to 100 µs, and giving it up and fighting for it again costs an agent's thread more.
Must not live here: what a call's audio needs (opus).
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

import av

from fastrelay.errors import ConfigError

APPLICATION_VOIP: Final = 2048
SET_BITRATE: Final = 4002
SET_COMPLEXITY: Final = 4010
"""Numbers of opus_defines.h, which are part of its ABI."""


def _find() -> str:
    """Return the file that is mapped into this process: in PyAV's own folder, or the system's."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if Path(path).name.startswith("libopus") and ".so" in path:
            return path
    raise ConfigError("agent", f"PyAV {av.__version__} has no libopus, which PCM needs")


_LIBRARY: Final = ctypes.PyDLL(_find())
_INT: Final = ctypes.c_int
_STATE: Final = ctypes.c_void_p
_BYTES: Final = ctypes.c_char_p

strerror: Final = _LIBRARY.opus_strerror
strerror.restype = ctypes.c_char_p
strerror.argtypes = [_INT]

encoder_get_size: Final = _LIBRARY.opus_encoder_get_size
encoder_get_size.argtypes = [_INT]
encoder_init: Final = _LIBRARY.opus_encoder_init
encoder_init.argtypes = [_STATE, ctypes.c_int32, _INT, _INT]
encoder_ctl: Final = _LIBRARY.opus_encoder_ctl
encoder_ctl.argtypes = [_STATE, _INT]  # and one int32: the function is variadic
encode: Final = _LIBRARY.opus_encode
encode.restype = ctypes.c_int32
encode.argtypes = [_STATE, _BYTES, _INT, ctypes.c_void_p, ctypes.c_int32]

decoder_get_size: Final = _LIBRARY.opus_decoder_get_size
decoder_get_size.argtypes = [_INT]
decoder_init: Final = _LIBRARY.opus_decoder_init
decoder_init.argtypes = [_STATE, ctypes.c_int32, _INT]
decode: Final = _LIBRARY.opus_decode
decode.argtypes = [_STATE, _BYTES, ctypes.c_int32, ctypes.c_void_p, _INT, _INT]
