"""Recognition as pictures: a map of the units, and the confusion matrix.

Flows in: patterns, their vectors and the report. Flows out: PNG bytes for the Dagster UI. The same
input gives the same picture.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from qi_pipeline.extraction.pattern import PATTERN_TYPES, Pattern, PatternType, UntypedPattern
from qi_pipeline.recognition.records import Agreement, RecognitionReport
from qi_pipeline.recognition.threads import one_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Okabe & Ito 2008 ("Color universal design"), its yellow darkened to be seen on white; a shape
# each, so that no type rests on colour alone.
_STYLES: Final[dict[PatternType, tuple[str, str]]] = dict(
    zip(
        PATTERN_TYPES,
        [
            ("#0072b2", "o"),
            ("#d55e00", "^"),
            ("#009e73", "s"),
            ("#e69f00", "D"),
            ("#cc79a7", "v"),
            ("#3b9bd9", "P"),
            ("#000000", "X"),
            ("#8a7f00", "*"),
        ],
        strict=True,
    )
)
_NUMBERED_CLUSTERS: Final = 14
"""As many as the legend has room for beside the types."""
_PERPLEXITY: Final = 30
"""scikit-learn's default; lower when there are few units."""
_FEWEST: Final = 4
"""Units below which there is nothing to arrange by neighbourhood."""


def plot_map(
    patterns: Sequence[UntypedPattern],
    vectors: "NDArray[np.float32]",
    report: RecognitionReport,
) -> bytes:
    """Return a PNG of all units, near ones near each other, coloured by type.

    `vectors` holds one row per pattern. The largest clusters are numbered where most of their
    units lie; the axes of t-SNE (van der Maaten & Hinton 2008) have no unit.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import
    from matplotlib.lines import Line2D  # noqa: PLC0415

    points = _arrange(vectors)
    figure = Figure(figsize=(12, 7.5), dpi=110, layout="constrained", facecolor="white")
    axes = figure.subplots()
    for kind, label in [*((kind, kind) for kind in PATTERN_TYPES), (None, "no type")]:
        places = [n for n, p in enumerate(patterns) if _type_of(p) == kind]
        if places:
            colour, marker = _STYLES[kind] if kind is not None else ("#777777", "x")
            axes.scatter(
                points[places, 0],
                points[places, 1],
                c=colour,
                marker=marker,
                s=90 if marker == "*" else 48,
                linewidths=0.4 if kind is not None else 1.2,
                edgecolors="white" if kind is not None else None,
                label=f"{label} ({len(places)})",
            )
    entries = list(zip(*axes.get_legend_handles_labels(), strict=True))
    numbered = _number_clusters(axes, patterns, points, report)
    if numbered:
        entries += [(Line2D([], [], linestyle=""), "\nlargest clusters"), *numbered]
    axes.set_title(f"{len(patterns)} units by the likeness of their text (t-SNE of MiniLM vectors)")
    axes.set_xticks([])
    axes.set_yticks([])
    handles, labels = zip(*entries, strict=True)
    figure.legend(
        handles,
        labels,
        loc="outside right upper",
        title="type by syntax",
        alignment="left",
        frameon=False,
        fontsize=9,
    )
    return _png(figure)


def _type_of(pattern: UntypedPattern) -> PatternType | None:
    return pattern.type if isinstance(pattern, Pattern) else None


def _arrange(vectors: "NDArray[np.float32]") -> "NDArray[np.float64]":
    """Return a place in the plane for each vector, of shape (n, 2)."""
    import numpy as np  # noqa: PLC0415 - heavy
    from sklearn.decomposition import PCA  # noqa: PLC0415
    from sklearn.manifold import TSNE  # noqa: PLC0415

    count = len(vectors)
    if count < _FEWEST:
        return np.column_stack([np.arange(count), np.zeros(count)]).astype(np.float64)
    perplexity = min(_PERPLEXITY, (count - 1) / 3)
    with one_thread():
        start = PCA(2, svd_solver="full").fit_transform(vectors)
        # The scale that scikit-learn gives its own start; a wider one freezes the arrangement.
        start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
        arranged = TSNE(
            2, init=start, perplexity=perplexity, metric="cosine", random_state=0, n_jobs=1
        ).fit_transform(vectors)
    return np.asarray(arranged, dtype=np.float64)


def _number_clusters(
    axes: Any,
    patterns: Sequence[UntypedPattern],
    points: "NDArray[np.float64]",
    report: RecognitionReport,
) -> list[tuple[Any, str]]:
    """Write each large cluster's number amid its units; return the numbers' legend entries."""
    import numpy as np  # noqa: PLC0415 - heavy
    from matplotlib.lines import Line2D  # noqa: PLC0415

    rows = report.by_id()
    numbers = np.array([rows[pattern.id].cluster for pattern in patterns])
    entries: list[tuple[Any, str]] = []
    for cluster in report.clusters[:_NUMBERED_CLUSTERS]:
        x, y = np.median(points[numbers == cluster.number], axis=0)
        axes.annotate(
            str(cluster.number),
            (x, y),
            fontsize=9,
            fontweight="bold",
            ha="center",
            va="center",
            bbox={"boxstyle": "circle,pad=0.25", "fc": "white", "ec": "black", "lw": 0.8},
        )
        symbols = cluster.label.partition(": ")[2] or cluster.label
        entries.append(
            (Line2D([], [], linestyle=""), f"{cluster.number}  {symbols} ({cluster.size})")
        )
    return entries


def plot_confusion(agreement: Agreement) -> bytes:
    """Return a PNG of the confusion matrix: counts, shaded by the share of their row."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    kinds = list(agreement.confusion)
    counts = [list(row.values()) for row in agreement.confusion.values()]
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    figure = Figure(figsize=(8.5, 7), dpi=110, layout="constrained", facecolor="white")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            if count:
                dark = shares[y][x] > 0.5  # noqa: PLR2004 - where black stops being readable
                axes.text(x, y, str(count), ha="center", va="center", color="w" if dark else "k")
    axes.set_xticks(range(len(kinds)), kinds, rotation=40, ha="right")
    axes.set_yticks(
        range(len(kinds)), [f"{k} ({sum(row)})" for k, row in zip(kinds, counts, strict=True)]
    )
    axes.set_xlabel("suggested, the file held out")
    axes.set_ylabel("by syntax")
    axes.set_title(
        f"{agreement.accuracy:.0%} of {agreement.count} units agree "
        f"(always {agreement.majority_type}: {agreement.majority_accuracy:.0%})"
    )
    figure.colorbar(image, label="share of the row", shrink=0.8)
    return _png(figure)


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
