"""The figures of lesson 04: a socket's buffers, ready sets, and a transfer in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...shared.palette import BLUE, GREEN, LIGHT_GREY, MIDDLE_GREY, ORANGE, PALE_BLUE
from .experiment import ReadySet, transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_buffers(ax: Axes) -> None:
    """Draw a socket's two buffers in the kernel, and what select looks at."""
    ax.set_xlim(0, 120)
    ax.set_ylim(2, 47)
    ax.axis("off")
    ax.broken_barh([(1, 118)], (3, 27), facecolors=LIGHT_GREY, edgecolors="black")
    ax.text(3, 5, "kernel", size=13, style="italic")
    for x, filled, name, colour in (
        (14.0, 14.0, "receive buffer", PALE_BLUE),
        (66, 31, "send buffer", GREEN),
    ):
        ax.broken_barh([(x, 40)], (12, 9), facecolors="white", edgecolors="black")
        ax.broken_barh([(x, filled)], (12, 9), facecolors=colour, edgecolors="black")
        ax.text(x + 20, 22.5, name, size=13, ha="center")
    ax.text(21, 16.5, "bytes", size=13, ha="center", va="center")
    ax.text(81, 16.5, "bytes", size=13, ha="center", va="center")
    ax.text(101.5, 16.5, "room", size=13, ha="center", va="center")
    for x, above, text in (
        (21, "recv", "readable:\nsomething to return"),
        (101.5, "send", "writable:\nroom for something"),
    ):
        down = {"arrowstyle": "->" if above == "send" else "<-", "lw": 1.5}
        ax.annotate(above, (x, 21.5), (x, 33), size=13, ha="center", family="monospace",
                    arrowprops=down)  # fmt: skip
        ax.text(x, 42, text, size=13, ha="center", va="center")


def draw_ready_sets(ax: Axes, log: Sequence[ReadySet], names: Sequence[str]) -> None:
    """Draw when select waited, and which sockets it reported; the last report of each is hollow."""
    start = log[0][0]
    for asked, answered, _ in log:
        ax.barh(
            0, (answered - asked) * 1000, left=(asked - start) * 1000, height=0.4, color=MIDDLE_GREY
        )
    for row, name in enumerate(names, 1):
        times = [(answered - start) * 1000 for _, answered, ready in log if name in ready]
        look: dict[str, Any] = {"color": BLUE, "markersize": 12, "markeredgewidth": 2}
        first = row == 1  # one entry in the legend, not one a client
        ax.plot(times[:-1], [row] * (len(times) - 1), "o", **look, label="a word" * first)
        ax.plot(times[-1:], [row], "o", **look, fillstyle="none", label="has left" * first)
    ax.set_yticks(range(len(names) + 1), ["select waits", *names])
    ax.set_ylim(len(names) + 0.6, -0.6)
    ax.set_xlabel("ms", size=13)
    ax.tick_params(labelsize=13)
    ax.grid(axis="x", alpha=0.4)
    ax.legend(loc="lower right", fontsize=13)


def draw_transfer(ax: Axes, buffer_bytes: int, latency_ms: float) -> None:
    """Draw how a send buffer takes SIZE_BYTES piece by piece, and when they arrive."""
    taken, received = transfer(buffer_bytes, latency_ms)
    styles: list[tuple[list[Any], dict[str, Any], str]] = [
        (taken, {"color": BLUE, "marker": "o"}, "taken by send"),
        (received, {"color": ORANGE, "ls": "--"}, "received by the other end"),
    ]
    for points, style, label in styles:
        times, sizes = zip(*points, strict=True)
        ax.step(times, [size / 1000 for size in sizes], where="post", lw=2, label=label, **style)
    ax.set_xlabel("ms", size=13)
    ax.set_ylabel("kilobytes", size=13)
    ax.tick_params(labelsize=13)
    ax.legend(fontsize=13)
    calls = "1 send" if len(taken) == 1 else f"{len(taken)} sends"
    ax.set_title(
        f"{calls}; all taken after {taken[-1][0]:.0f} ms, received after {received[-1][0]:.0f} ms",
        size=13,
    )
