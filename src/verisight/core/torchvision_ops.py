"""Make `import torchvision` work beside a CPU build of torch.

No registry carries a CPU build of torchvision; the CUDA build's compiled part cannot load there, and its
Python part then stops at two operators that nobody declared. Declaring them lets models and transforms work.
Call `ensure()` before importing torchvision, timm or lightning. It acts only when the compiled part is absent,
and torchvision's compiled operators (nms, roi_align) stay unusable.
"""

from __future__ import annotations

import functools

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@functools.cache
def ensure() -> None:
    """Declare `torchvision::nms` and `torchvision::qnms` unless the compiled part brings them. Idempotent."""
    import importlib.util
    from pathlib import Path

    import torch
    from torch import library as operators

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    for compiled in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(compiled))  # type: ignore[no-untyped-call]
            return
        except OSError:
            continue
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            operators.define(f"torchvision::{name}", _SCHEMA)
