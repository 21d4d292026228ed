"""DF-TIMIT: 320 fakes of lower and 320 of higher quality, of 32 people in 16 pairs; it has no reals of its own.

Tree: `{higher_quality,lower_quality}/SUBJECT/SENTENCE-video-DONOR.avi`, such as `fadg0/sa1-video-fram1.avi`: the folder
is the recorded person, the last part the donor of the face.

Label traps: the real class is VidTIMIT, a separate download, which `data.options.vidtimit_root` names. It is said to
hold its clips as folders of JPEG frames, so codecs differ by class, and a detector can learn that. Without it the
manifest has one class, and no AUC. Of VidTIMIT only the sentences that have a fake are read.

Splits: the set has none; people are cut by `data.splits` (`data.splits=[0,0,1]` tests on all). Group: who hangs
together by swaps.

Access: said to be by agreement with Idiap.
Cite: Korshunov, Marcel, DeepFakes: a new threat to face recognition? Assessment and detection, 2018, arXiv 1812.08685.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from verisight.core.recipe import DataSpec
from verisight.core.value import Value
from verisight.data.layouts.disjoint import components, sides
from verisight.data.layouts.layout import (
    Layout,
    Promise,
    count_notes,
    files_below,
    manifest_of,
    options_of,
    root_of,
    write_clip,
    write_picture,
)
from verisight.data.layouts.names import STRAY, Row, Several, named, one_root, told
from verisight.data.manifest import Manifest

Quality = Literal["higher_quality", "lower_quality"]
_PERSON, _SENTENCE = r"[fm][a-z]{3}\d", r"s[aix]\d+"
FAKE = re.compile(rf"(?P<subject>{_PERSON})/(?P<sentence>{_SENTENCE})-video-(?P<donor>{_PERSON})\.(?i:avi)")
REAL = re.compile(  # a clip, or one frame of a folder of frames, with or without an extension
    rf"(?P<subject>{_PERSON})/(?:video/)?(?P<sentence>{_SENTENCE})(?:\.(?i:avi|mp4|mov|mkv)|/\d+(?:\.(?i:jpe?g|png))?)"
)
PER_QUALITY = 320


class Options(Value):
    """Which part of the set is read.

    quality : of the fakes; lower has the faces swapped at 64 pixels, higher at 128.
    vidtimit_root : folder of VidTIMIT, for the reals, absolute or seen from `data.path`; without it there are none.
    """

    quality: Several[Quality] = ("higher_quality", "lower_quality")
    vidtimit_root: str = ""


def read(spec: DataSpec, seed: int = 0) -> Manifest:
    """Index the folder that holds `higher_quality/` and `lower_quality/`; with `vidtimit_root`, the folder above both.

    Raises
    ------
    DataError : no clips; fewer pairs of people than splits.
    """
    root, options = root_of(spec), options_of(spec, Options)
    rows, stray = _fakes(root, options)
    whole = components((row["subject"], row["donor"]) for row in rows)
    base, expected = root, {"fake": PER_QUALITY * len(options.quality)}
    notes = [f"the set has no split of its own: pairs of people cut by splits={spec.splits}"]
    notes += told(stray, STRAY) + count_notes(rows, expected)
    if options.vidtimit_root:
        other, pairs = root / options.vidtimit_root, {row["pair"] for row in rows}
        reals = _reals(other, pairs)
        lacking = pairs - {row["pair"] for row in reals}
        base, rows = one_root(root, rows, other, reals)
        notes += told(lacking, "sentences without their real in VidTIMIT")
    else:
        notes.append("one class, no reals: add those of VidTIMIT by data.options.vidtimit_root=DIR")
    side = sides((whole[row["subject"]] for row in rows), spec.splits, seed, what="pairs of people")
    rows = [{**row, "group": whole[row["subject"]], "split": side[whole[row["subject"]]]} for row in rows]
    return manifest_of(rows, base, notes)


def _fakes(root: Path, options: Options) -> tuple[list[Row], list[str]]:
    """Rows without split and group; and stray files."""
    rows: list[Row] = []
    stray: list[str] = []
    for quality in options.quality:
        found, odd = named(root, quality, FAKE)
        stray += odd
        rows += [
            {
                "path": path,
                "label": 1,
                "video": f"{quality}/{match['subject']}/{match['sentence']}-video-{match['donor']}",
                "subject": match["subject"],
                "donor": match["donor"],
                "pair": f"{match['subject']}/{match['sentence']}",
                "generator": "df-timit",
                "source": "",
                "quality": quality,
            }
            for path, match in found
        ]
    return rows, stray


def _reals(root: Path, pairs: set[str]) -> list[Row]:
    """Rows of the VidTIMIT clips, or of their frames, that a fake was made of."""
    matches = ((path, REAL.fullmatch(path)) for path in files_below(root, ("",)))
    return [
        {
            "path": path,
            "label": 0,
            "video": f"vidtimit/{match['subject']}/{match['sentence']}",
            "subject": match["subject"],
            "donor": "",
            "pair": f"{match['subject']}/{match['sentence']}",
            "generator": "real",
            "source": "vidtimit",
            "quality": "",
        }
        for path, match in matches
        if match and f"{match['subject']}/{match['sentence']}" in pairs
    ]


def tiny_copy(folder: Path) -> Promise:
    """Two pairs of people, two sentences, two qualities; reals as two frames each, one sentence without them."""
    own, other = folder / "DeepfakeTIMIT", folder / "VidTIMIT"
    for number, (subject, donor) in enumerate(
        (("fadg0", "fram1"), ("fram1", "fadg0"), ("mccs0", "mrgg0"), ("mrgg0", "mccs0"))
    ):
        for sentence in ("sa1", "si649"):
            for quality in ("higher_quality", "lower_quality"):
                path = own / f"{quality}/{subject}/{sentence}-video-{donor}.avi"
                write_clip(path, number, forged=True)
            for frame in ("001.jpg", "002.jpg"):
                if (subject, sentence) != ("mrgg0", "si649"):
                    write_picture(other / f"{subject}/video/{sentence}/{frame}", number)
    (own / "lower_quality/fadg0/si649-video-fram1.avi").unlink()
    (own / "lower_quality/fadg0/sa1-video-fram1.mp4").touch()
    write_picture(other / "fadg0/video/head/001.jpg", 7)
    (own / ".DS_Store").touch()
    return Promise(
        spec=DataSpec(path=str(own), layout="df-timit", splits=(0, 0, 1), options={"vidtimit_root": "../VidTIMIT"}),
        labels={0: 14, 1: 15},
        splits={"test": 29},
        groups=2,
        generators={"df-timit": 15},
        subjects=4,
        notes=(
            "sentences without their real in VidTIMIT: 1, such as mrgg0/si649",
            "files not named like clips of this set: 1, such as lower_quality/fadg0/sa1-video-fram1.mp4",
            "15 fake files where the published set has 640",
        ),
    )


DF_TIMIT = Layout(
    read=read,
    tiny_copy=tiny_copy,
    licence="said to be an agreement with Idiap; reals: terms of VidTIMIT",
    citation="Korshunov, Marcel, DeepFakes: a new threat to face recognition?, 2018, arXiv 1812.08685",
    expected={"fake": 2 * PER_QUALITY},
    options=Options,
    leaks="No official split; reals and fakes come in different codecs.",
)
