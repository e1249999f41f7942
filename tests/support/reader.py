"""What a screen reader reads in the windows of a program, by a part of its name: a line of JSON for each thing that is
not hidden. Without a name: of every program."""

import json
import sys

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi  # noqa: E402 the version comes first

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else ""
STATES = {
    "focusable": Atspi.StateType.FOCUSABLE,
    "focused": Atspi.StateType.FOCUSED,
    "checked": Atspi.StateType.CHECKED,
    "sensitive": Atspi.StateType.SENSITIVE,
    "selected": Atspi.StateType.SELECTED,
    "showing": Atspi.StateType.SHOWING,
}


def read(node):
    states = node.get_state_set()
    if not states.contains(Atspi.StateType.VISIBLE):
        return
    place = node.get_extents(Atspi.CoordType.SCREEN)
    print(
        json.dumps(
            {
                "role": node.get_role_name(),
                "name": node.get_name() or "",
                "text": Atspi.Text.get_text(node, 0, -1) if "Text" in node.get_interfaces() else "",
                "states": [name for name, state in STATES.items() if states.contains(state)],
                "x": place.x + place.width // 2,
                "y": place.y + place.height // 2,
            }
        )
    )
    for number in range(node.get_child_count()):
        child = node.get_child_at_index(number)
        if child is not None:
            read(child)


desktop = Atspi.get_desktop(0)
for number in range(desktop.get_child_count()):
    application = desktop.get_child_at_index(number)
    if application is not None and PROGRAM in (application.get_name() or ""):
        for window in range(application.get_child_count()):
            read(application.get_child_at_index(window))
