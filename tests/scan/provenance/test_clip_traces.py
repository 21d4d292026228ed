"""What clips say: container tags, phones, generators, encoder settings."""

from __future__ import annotations

from pathlib import Path

import av
from origins import COMFY

from verisight.scan.provenance import provenance_of


def test_a_clip_tells_its_muxer_and_the_settings_of_its_encoder(clip: Path) -> None:
    provenance = provenance_of(clip)
    assert any(text.startswith("written by: Lavf") for text in provenance.made_with)
    assert "container: isom" in provenance.made_with
    assert any(text.startswith("encoder: x264 core 1") and text.endswith(", crf 31.0") for text in provenance.made_with)
    assert provenance.c2pa == "absent"
    assert provenance.taken is None


def tagged(path: Path, format: str, tags: dict[str, str]) -> Path:
    options = {"movflags": "use_metadata_tags"} if format in ("mov", "mp4") else {}
    with av.open(str(path), "w", format=format, options=options) as container:
        container.metadata.update(tags)
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode())
    return path


def test_a_phone_names_itself_in_a_clip_and_the_place_is_left_there(tmp_path: Path) -> None:
    tags = {"make": "Apple", "model": "iPhone 14", "software": "17.1", "creationdate": "2024-05-01T12:00:00+0200"}
    tags = {f"com.apple.quicktime.{key}": value for key, value in tags.items()}
    tags |= {"com.apple.quicktime.location.ISO6709": "+52.5200+013.4050/", "artist": "Mustermann"}
    provenance = provenance_of(tagged(tmp_path / "phone.mov", "mov", tags))
    assert {"camera: Apple iPhone 14", "software: 17.1", "container: qt"} <= set(provenance.made_with)
    assert provenance.taken == "2024-05-01 12:00:00 +0200"
    assert not any(private in provenance.model_dump_json() for private in ("52.5", "13.4", "Muster"))


def test_a_workflow_and_a_label_in_the_tags_of_a_clip_are_claims(tmp_path: Path) -> None:
    tags = {"comment": COMFY, "AIGC": '{"Label":"1"}', "creation_time": "2024-05-01T12:00:00.000000Z"}
    provenance = provenance_of(tagged(tmp_path / "made.mp4", "mp4", tags))
    assert set(provenance.claims) == {
        "A workflow of the image generator ComfyUI is stored in the file.",
        "It carries the label AIGC, with which Chinese services mark what AI has generated.",
    }
    assert provenance.taken is None  # a file was written then; nothing says that anything was filmed
    assert "written on: 2024-05-01 12:00:00 UTC" in provenance.made_with
