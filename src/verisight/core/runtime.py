"""From a checkpoint to a scoring function, through torch or through ONNX Runtime."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verisight.core import catalogue
from verisight.core.checkpoint import Card, load_tensors, verdict_fingerprint
from verisight.core.errors import MissingWeights, VerisightError
from verisight.core.places import cache_folder

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
Scorer = Callable[[Floats], Floats | tuple[Floats, Floats]]
TOLERANCE = 1e-4  # largest difference between the exported and the original network, in logits
TOLERANCE_OF_DISTANCES = 1e-3  # the same of distances from what is usual, relative
log = logging.getLogger(__name__)


def torch_scorer(path: Path, card: Card) -> Scorer:
    """Score with the network itself, on the GPU when there is one."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = _network(path, card).to(device)

    def score(batch: Floats) -> Floats | tuple[Floats, Floats]:
        with torch.inference_mode():
            return _one_or_two(
                [found.float().cpu().numpy() for found in _outputs(network(torch.from_numpy(batch).to(device)))]
            )

    return score


def onnx_scorer(path: Path, card: Card) -> Scorer:
    """Score with ONNX Runtime on the CPU. The first call on a machine exports the network and keeps it."""
    exported = cache_folder() / "onnx" / f"{verdict_fingerprint(path)}-v{version('verisight')}.onnx"
    if not exported.is_file():
        log.warning("preparing %s for this machine (once, about 20 s)", card.name)
        _export(_network(path, card), card.preprocess.size, exported)
    session = onnx_session(exported)

    def score(batch: Floats) -> Floats | tuple[Floats, Floats]:
        return _one_or_two(session.run(None, {"inputs": batch}))

    return score


def onnx_session(path: Path, *, threads: int = 0) -> Any:
    """A quiet CPU session. threads : that work on one call; 0 for one a core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # graph warnings tell a user nothing
    # Idle threads of a session spin and take the cores from those who decode beside it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _one_or_two(found: Sequence[Floats]) -> Floats | tuple[Floats, Floats]:
    """Scores, or scores and distances."""
    return found[0] if len(found) == 1 else (found[0], found[1])


def _outputs(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def _network(path: Path, card: Card) -> torch.nn.Module:
    """The method's network with the checkpoint's weights, in eval mode: (N, 3, S, S) -> (N,), or two of them."""
    method = catalogue.find(card.method, "method").load()
    try:
        network: torch.nn.Module = method.scoring_network(card, load_tensors(path))
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingWeights(path, f"its recipe and tensors do not make a {card.method} ({reason})") from error
    return network.eval()


def _export(network: torch.nn.Module, size: int, target: Path) -> None:
    """Export, prove equality with torch at three batch sizes, then move into place: never a half or wrong file."""
    import torch

    target.parent.mkdir(parents=True, exist_ok=True)
    sample = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory(dir=target.parent) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (sample,),
            str(part),
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["inputs"],
            dynamic_shapes=({0: torch.export.Dim("rows")},),
        )
        session = onnx_session(part)
        for rows in (1, 2, 5):
            batch = torch.randn(rows, 3, size, size, generator=torch.Generator().manual_seed(rows))
            with torch.inference_mode():
                scores, *distances = (found.numpy() for found in _outputs(network(batch)))
            seen = session.run(None, {"inputs": batch.numpy()})
            worst = float(np.abs(seen[0] - scores).max())
            if not worst <= TOLERANCE:
                raise VerisightError(
                    "ONNX export", f"differs from torch by {worst:.1e} (allowed {TOLERANCE:.0e})", "use --runtime torch"
                )
            for found, expected in zip(seen[1:], distances, strict=True):
                worst = float((np.abs(found - expected) / expected).max())
                if not worst <= TOLERANCE_OF_DISTANCES:
                    raise VerisightError("ONNX export", f"its distances differ by {worst:.1e}", "use --runtime torch")
        os.replace(part, target)
