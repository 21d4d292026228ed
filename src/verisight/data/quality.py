"""What happens to pictures on their way: JPEG and H.264 encoding, in process."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3) RGB


def jpeg(picture: Picture, quality: int) -> Picture:
    """Encode and decode an RGB picture as JPEG at `quality` 1..100, 4:2:0."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    _, code = cv2.imencode(".jpg", picture[:, :, ::-1], flags)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[:, :, ::-1], dtype=np.uint8)


def write_h264(pictures: Iterable[Picture], path: Path, *, crf: int, fps: int = 24) -> None:
    """Write an MP4 with libx264 at constant rate factor `crf` (0..51), 4:2:0; an odd last row or column is cut."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for picture in pictures:
            even = np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps), options={"crf": str(crf)})
                stream.height, stream.width, stream.pix_fmt = even.shape[0], even.shape[1], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
