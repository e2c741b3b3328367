"""How recognition agrees with syntax: `python -m benchmarks.recognition SOURCE [--out FOLDER]`.

Prints the machine, the counts, the agreement on held-out files with its baselines and confusion
matrix, the clusters, and the seconds of a run without and of one with cached vectors. Writes the
map of the units and the confusion matrix as pictures to FOLDER.
"""

import argparse
import os
import platform
import tempfile
from functools import partial
from pathlib import Path

from qi_pipeline.artefacts import write_bytes
from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.extraction.pattern import UntypedPattern
from qi_pipeline.library.profile import load_profile
from qi_pipeline.recognition.agreement import confusion_table
from qi_pipeline.recognition.cache import EmbeddingCache
from qi_pipeline.recognition.embeddings import EMBEDDING_MODEL_ID, embed_texts
from qi_pipeline.recognition.plots import plot_confusion, plot_map
from qi_pipeline.recognition.recognize import recognize
from qi_pipeline.recognition.records import Agreement, RecognitionReport
from qi_pipeline.recognition.units import embed_units
from qi_pipeline.source.take import take_snapshot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the library's git repository")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--profile", default="qicore", help="profile name or path")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    options = parser.parse_args()
    profile = load_profile(options.profile)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        snapshot = take_snapshot(
            options.source, options.revision, profile, folder / "snapshots", folder / "mirrors"
        )
        extraction = extract_patterns(snapshot, profile)
        units: list[UntypedPattern] = [*extraction.patterns, *extraction.untyped]
        embed = partial(embed_texts, cache=EmbeddingCache(folder / "vectors", EMBEDDING_MODEL_ID))
        first = recognize(units, embed)
        report = recognize(units, embed)
        if options.out is not None:
            embedded = embed_units(units, embed)
            picture = plot_map(embedded.patterns, embedded.vectors, report)
            write_bytes(options.out / "recognition-map.png", picture)
            write_bytes(options.out / "confusion.png", plot_confusion(report.agreement))
    print(
        f"commit {snapshot.commit[:12]}: {len(extraction.patterns)} typed and "
        f"{len(extraction.untyped)} untyped units"
    )
    print_agreement(report.agreement)
    print_clusters(report)
    print(
        f"seconds: {first.embedding_seconds:.1f} to load the model and embed, "
        f"{report.embedding_seconds:.1f} with cached vectors (near-duplicates included), "
        f"{report.recognition_seconds:.1f} for everything else"
    )


def print_agreement(agreement: Agreement) -> None:
    print(
        f"held-out agreement with syntax: {agreement.accuracy:.3f} of {agreement.count} units in "
        f"{agreement.files} files ({agreement.accuracy_any:.3f} with one of the unit's types), "
        f"macro-F1 {agreement.macro_f1:.3f}"
    )
    print(
        f"baselines: always {agreement.majority_type} {agreement.majority_accuracy:.3f}, "
        f"vote of the five nearest units {agreement.neighbour_accuracy:.3f}"
    )
    print(f"expected calibration error {agreement.calibration_error:.3f}; by confidence:")
    for band in agreement.bands:
        if band.accuracy is not None:
            print(
                f"  {band.low:.1f} to {band.high:.1f}: {band.count:4} units, "
                f"confidence {band.mean_confidence:.2f}, agreement {band.accuracy:.2f}"
            )
    print(confusion_table(agreement))


def print_clusters(report: RecognitionReport) -> None:
    print(f"{len(report.clusters)} clusters, {report.noise_share:.0%} of the units in none")
    for cluster in report.clusters:
        print(f"  {cluster.number:3} {cluster.size:4} units  {cluster.label}")


if __name__ == "__main__":
    main()
