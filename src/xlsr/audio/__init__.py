"""Any recording to a mono 16 kHz waveform, whole or in windows of bounded size.

Knows containers, codecs, sample rates and channels, the length of the encoder's frames, and what makes a recording
unusable. Knows no text, no network and no vocabulary. Floor 1; the first step of every path:
source -> `AudioStream` -> blocks -> windows.

    headers.py     what the first and last bytes say: kind, promised length, cut-off files
    decoders.py    soundfile, PyAV and arrays behind one `Reader`
    stream.py      source -> blocks of checked, mono, 16 kHz samples
    windowing.py   blocks -> overlapping windows
    voice.py       blocks -> windows over what is spoken
    live.py        chunks of a live source -> samples at 16 kHz
    g711.py        µ-law and A-law, sample by sample

Importing loads NumPy only: soundfile, PyAV and soxr are loaded when the first recording needs them.
"""

from xlsr.audio.stream import (
    SUFFIXES,
    AudioSource,
    AudioStream,
    audio_name,
    load_audio,
    normalize_waveform,
    open_audio,
)
from xlsr.audio.voice import spoken_windows
from xlsr.audio.windowing import FIELD_SAMPLES, HOP_SAMPLES, SAMPLE_RATE, Window, num_frames, windows

__all__ = [
    "FIELD_SAMPLES",
    "HOP_SAMPLES",
    "SAMPLE_RATE",
    "SUFFIXES",
    "AudioSource",
    "AudioStream",
    "Window",
    "audio_name",
    "load_audio",
    "normalize_waveform",
    "num_frames",
    "open_audio",
    "spoken_windows",
    "windows",
]
