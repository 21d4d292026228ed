"""What the toolkit holds, as plain data: nothing here imports what it names.

A new paper costs one line in ENTRIES. `verisight list` and `verisight info` print this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from verisight.core.errors import MissingExtra, RecipeError, nearest

Kind = Literal["method", "rule", "layout", "finder", "detector"]


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    id : what recipes and the command line say.
    target : `package.module:Name` of a class or function; for a detector, its file in `verisight/weights`.
    capabilities : what a user may ask of it (train, score, scan, ...).
    extras : optional dependency groups that it needs.
    """

    id: str
    kind: Kind
    target: str
    summary: str
    task: str = "any"
    paper: str = ""
    modality: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    def load(self) -> Any:
        """The class or function behind `target`."""
        module, _, name = self.target.partition(":")
        try:
            return getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if not self.extras or str(error.name).startswith("verisight"):
                raise
            extras = ",".join(self.extras)
            raise MissingExtra(
                self.id, f"needs the package '{error.name}'", f"run: pip install 'verisight[{extras}]'"
            ) from error


def _data_set(id: str, target: str, summary: str, paper: str, *modality: str) -> Entry:
    """The layout of a published data set of real and fake faces or pictures."""
    return Entry(id, "layout", f"verisight.data.layouts.{target}", summary, "deepfake", paper, modality)


ENTRIES: tuple[Entry, ...] = (
    Entry(
        id="deepfake/erm",
        kind="method",
        target="verisight.tasks.deepfake.erm:ERM",
        summary="one backbone, one logit, binary cross-entropy: the baseline that every paper must beat",
        task="deepfake",
        paper="Vapnik, 1991 (empirical risk minimisation)",
        modality=("image", "video"),
        capabilities=("train", "eval", "scan"),
    ),
    Entry(
        id="deepfake/sbi",
        kind="method",
        target="verisight.tasks.deepfake.sbi:SBI",
        summary="self-blended images: learns from real faces alone, blended with themselves",
        task="deepfake",
        paper="Shiohara, Yamasaki, CVPR 2022 (Detecting Deepfakes with Self-Blended Images)",
        modality=("image", "video"),
        capabilities=("train", "eval", "scan"),
    ),
    Entry(
        id="deepfake/qad",
        kind="method",
        target="verisight.tasks.deepfake.qad:QAD",
        summary="quality-agnostic detection: one network sees every frame at all qualities and is held to agree",
        task="deepfake",
        paper="Le, Woo, ICCV 2023, arXiv 2309.05911 (QAD)",
        modality=("image", "video"),
        capabilities=("train", "eval", "scan"),
    ),
    Entry(
        id="deepfake/add",
        kind="method",
        target="verisight.tasks.deepfake.add:ADD",
        summary="a student of compressed faces distils a teacher of clean ones, by ADD's two attentions or by others",
        task="deepfake",
        paper="Le, Woo, AAAI 2022, arXiv 2112.03553 (ADD)",
        modality=("image", "video"),
        capabilities=("train", "eval", "scan"),
    ),
    Entry(
        id="plain",
        kind="rule",
        target="verisight.optim.plain:Plain",
        summary="gradient of the total loss, one optimiser step",
    ),
    Entry(
        id="sam",
        kind="rule",
        target="verisight.optim.sharpness:SAM",
        summary="sharpness-aware minimisation: the gradient at the worst point nearby, two passes a step",
        paper="Foret, Kleiner, Mobahi, Neyshabur, ICLR 2021 (SAM)",
    ),
    Entry(
        id="awp",
        kind="rule",
        target="verisight.optim.weights:AWP",
        summary="adversarial weight perturbation around any rule: the gradient where every weight moved against it",
        paper="Wu, Xia, Wang, NeurIPS 2020 (AWP)",
    ),
    Entry(
        id="folder",
        kind="layout",
        target="verisight.data.layouts.folder:FOLDER",
        summary="real/ and fake/ folders of pictures and clips, with or without train, val and test",
        modality=("image", "video"),
    ),
    Entry(
        id="pack",
        kind="layout",
        target="verisight.data.layouts.pack:PACK",
        summary="a folder (or zip) with index.csv: path and label, optional split, group, generator, ...",
        modality=("image", "video"),
    ),
    _data_set(
        "ffpp",
        "ffpp:FFPP",
        "FaceForensics++: 1,000 YouTube clips and five manipulations of each, at three qualities",
        "Rössler et al., ICCV 2019, arXiv 1901.08971",
        "video",
    ),
    _data_set(
        "dfd",
        "dfd:DFD",
        "DeepFakeDetection: 363 clips of 28 actors and 3,068 swaps",
        "Dufour et al., Google and Jigsaw, 2019",
        "video",
    ),
    _data_set(
        "celebdf-v1",
        "celebdf:CELEBDF_V1",
        "Celeb-DF v1: 408 real and 795 swapped clips",
        "Li et al., CVPR 2020, arXiv 1909.12962",
        "video",
    ),
    _data_set(
        "celebdf-v2",
        "celebdf:CELEBDF_V2",
        "Celeb-DF v2: 890 real and 5,639 swapped clips of celebrities",
        "Li et al., CVPR 2020, arXiv 1909.12962",
        "video",
    ),
    _data_set(
        "dfdc",
        "dfdc:DFDC",
        "Deepfake Detection Challenge: about 128,000 clips, most of them fake",
        "Dolhansky et al., 2020, arXiv 2006.07397",
        "video",
    ),
    _data_set(
        "dfdc-preview",
        "dfdc_preview:DFDC_PREVIEW",
        "the challenge's preview: 1,131 real and 4,119 swapped clips of 66 actors",
        "Dolhansky et al., 2019, arXiv 1910.08854",
        "video",
    ),
    _data_set(
        "deeperforensics",
        "deeperforensics:DEEPERFORENSICS",
        "DeeperForensics-1.0: 1,000 swaps in eleven distortions; the reals are FaceForensics++",
        "Jiang et al., CVPR 2020, arXiv 2001.03024",
        "video",
    ),
    _data_set(
        "uadfv",
        "uadfv:UADFV",
        "49 real and 49 swapped clips, all with one donor",
        "Yang, Li, Lyu, ICASSP 2019, arXiv 1811.00661",
        "video",
    ),
    _data_set(
        "df-timit",
        "df_timit:DF_TIMIT",
        "320 swaps of VidTIMIT at each of two resolutions; the reals come separately",
        "Korshunov, Marcel, 2018, arXiv 1812.08685",
        "video",
    ),
    _data_set(
        "wilddeepfake",
        "wilddeepfake:WILDDEEPFAKE",
        "7,314 sequences of face crops from the web",
        "Zi et al., ACM MM 2020, arXiv 2101.01456",
        "image",
    ),
    _data_set(
        "ffiw",
        "ffiw:FFIW",
        "FFIW-10K: 9,988 real and 9,988 fake clips with several people",
        "Zhou et al., CVPR 2021, arXiv 2103.04570",
        "image",
        "video",
    ),
    _data_set(
        "kodf",
        "kodf:KODF",
        "62,166 real and 175,776 fake clips of 403 Koreans",
        "Kwon et al., ICCV 2021, arXiv 2103.10094",
        "video",
    ),
    _data_set(
        "forgerynet",
        "forgerynet:FORGERYNET",
        "221,247 clips or 2.9 million pictures, with lists that carry the labels",
        "He et al., CVPR 2021, arXiv 2103.05630",
        "image",
        "video",
    ),
    _data_set(
        "df40",
        "df40:DF40",
        "face crops of forty methods of forgery; most need reals from elsewhere",
        "Yan et al., 2024, arXiv 2406.13495",
        "image",
    ),
    _data_set(
        "fakeavceleb",
        "fakeavceleb:FAKEAVCELEB",
        "21,544 clips in which picture, voice, both or nothing is fake",
        "Khalid, Tariq, Woo, 2021, arXiv 2108.05080",
        "video",
    ),
    _data_set(
        "cifake",
        "cifake:CIFAKE",
        "CIFAR-10 and as many pictures by Stable Diffusion 1.4, 32 x 32",
        "Bird, Lotfi, 2023, arXiv 2303.14126",
        "image",
    ),
    _data_set(
        "genimage",
        "genimage:GENIMAGE",
        "ImageNet and eight generators of the same classes, 2.7 million pictures",
        "Zhu et al., 2023, arXiv 2306.08571",
        "image",
    ),
    _data_set(
        "forensynths",
        "forensynths:FORENSYNTHS",
        "train on ProGAN, test on thirteen sets of pictures by networks",
        "Wang et al., CVPR 2020, arXiv 1912.11035",
        "image",
    ),
    _data_set(
        "deepfakebench",
        "deepfakebench:DEEPFAKEBENCH",
        "face crops of nine data sets by DeepfakeBench's JSON, its splits mended",
        "Yan et al., 2023, arXiv 2307.01426",
        "image",
    ),
    Entry(
        id="yunet",
        kind="finder",
        target="verisight.data.faces:YuNet",
        summary="box, score and five landmarks; shipped, 0.3 MB, Apache-2.0",
        paper="Wu, Peng, Yu, 2023 (YuNet)",
        modality=("image", "video"),
    ),
    Entry(
        id="deepfake",
        kind="detector",
        target="deepfake.safetensors",
        summary="the default of `verisight scan`: EfficientNet-Lite0, trained on reals blended with themselves",
        task="deepfake",
        modality=("image", "video"),
        capabilities=("scan", "eval"),
    ),
)

DEFAULT_DETECTOR = "deepfake"


def entries(kind: Kind | None = None) -> tuple[Entry, ...]:
    """All entries, or those of one kind, in the order of the table."""
    return tuple(e for e in ENTRIES if kind is None or e.kind == kind)


def find(id: str, kind: Kind | None = None) -> Entry:
    """The entry with this id; an unknown id is answered with the nearest known one.

    Raises
    ------
    RecipeError : no such id.
    """
    known = {e.id: e for e in entries(kind)}
    if id not in known:
        raise RecipeError(id, f"no {kind or 'entry'} of this name in the catalogue", nearest(id, known))
    return known[id]
