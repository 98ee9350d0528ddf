"""A layered layout for nested statecharts: where boxes, lines and labels go.

Every state that holds others is a sheet of its own, laid out from the inside to the outside (`sheets`). On a sheet,
states stand in rows below one another, as far down as the longest way from the initial state (`ranks`); between two
rows is one for the labels of the transitions. A label is a box of the layout like a state, so nothing can lie on it.
A transition that crosses a border is cut there into hops (`hops`), one for each sheet that it is on. Then each sheet
goes through the steps of Sugiyama's method: the order within rows is chosen so that few lines cross (`ordering`),
positions so that lines are straight (`placing`), and what is not straight is led through the channels between the rows
(`routing`), where no box is.

Lengths are in pixels; x grows to the right, y downwards. The same chart gives the same layout.
"""

from worker.core.graphs.layout.model import NOTHING, Arrow, Box, Layout, Path, Point, Size, Vertex
from worker.core.graphs.layout.nesting import lay_out

__all__ = ["NOTHING", "Arrow", "Box", "Layout", "Path", "Point", "Size", "Vertex", "lay_out"]
