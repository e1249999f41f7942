"""The page of what was refused in the last hour."""

import time

from gi.repository import GLib, Gtk, Pango

import model
from widgets import button, label

HOUR = 3600

COLUMNS = ("window-who", "window-where", "window-count", "window-why")


class BlockedPage(Gtk.Box):
    """A table of refusals, newest first."""

    def __init__(self, texts, agent):
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=12, border_width=18)
        self._texts, self._agent = texts, agent
        self._note = label(texts.say("blocked-title"))
        self._note.set_selectable(True)
        self.pack_start(self._note, False, False, 0)
        self._rows = Gtk.ListStore(str, str, str, str)
        table = Gtk.TreeView(model=self._rows)
        table.get_accessible().set_name(texts.say("blocked-title"))
        for number, key in enumerate(COLUMNS):
            cell = Gtk.CellRendererText(ellipsize=Pango.EllipsizeMode.END)
            column = Gtk.TreeViewColumn(texts.say(key), cell, text=number)
            column.set_resizable(True)
            column.set_expand(number != 2)
            table.append_column(column)
        scrolled = Gtk.ScrolledWindow(shadow_type=Gtk.ShadowType.IN)
        scrolled.add(table)
        self.pack_start(scrolled, True, True, 0)
        row = Gtk.Box()
        row.pack_end(button(texts.say("window-refresh"), self.read), False, False, 0)
        self.pack_start(row, False, False, 0)

    def read(self, *_):
        """Asks the agent for the list. A user gets the refusals of the own programs."""
        since = GLib.Variant("(t)", (max(0, int(time.time()) - HOUR),))
        self._agent.call("RecentlyBlocked", since, self._show)

    def _show(self, answer, error):
        self._rows.clear()
        if error is not None:
            self._note.set_text(self._texts.say("refused-blocked") + ("\n" + error if error else ""))
            return
        groups = answer[0]
        self._note.set_text(self._texts.say("blocked-title" if groups else "blocked-nothing"))
        for group in reversed(groups):
            who, where = model.who(group, self._texts), model.destination(group)
            self._rows.append([who, where, str(group.get("count", 0)), self._texts.reason(group.get("reason", ""))])
