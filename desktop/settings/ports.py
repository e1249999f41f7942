"""The list of ports that others may open, and a row to add one."""

from gi.repository import Gtk

import model
from widgets import button, label

PROTOCOLS = ("tcp", "udp")


class Ports(Gtk.Box):
    """The entries of input.allow. `changed` is called when the user has added or removed one."""

    def __init__(self, texts, changed):
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self._texts, self._changed = texts, changed
        self._rules = []
        self._list = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self.pack_start(self._list, False, False, 0)
        self._protocol = Gtk.ComboBoxText()
        for protocol in PROTOCOLS:
            self._protocol.append(protocol, protocol.upper())
        self._protocol.set_active(0)
        self._port = Gtk.Entry(width_chars=11, activates_default=False)
        self._from = Gtk.Entry(width_chars=18, placeholder_text=texts.say("window-from-hint"))
        grid = Gtk.Grid(column_spacing=6, row_spacing=3)
        fields = (
            ("window-protocol", self._protocol),
            ("window-port", self._port),
            ("window-from", self._from),
        )
        for column, (key, widget) in enumerate(fields):
            grid.attach(label(texts.say(key), widget), column, 0, 1, 1)
            grid.attach(widget, column, 1, 1, 1)
        self._from.set_hexpand(True)
        for entry in (self._port, self._from):
            entry.connect("activate", self._add)
        grid.attach(button(texts.say("window-add"), self._add), 3, 1, 1, 1)
        self.pack_start(grid, False, False, 0)
        self._wrong = label("")
        self._wrong.set_no_show_all(True)
        self.pack_start(self._wrong, False, False, 0)

    def rules(self):
        """The entries, as the configuration has them."""
        return list(self._rules)

    def show_rules(self, rules):
        """Shows these entries instead."""
        self._rules = list(rules)
        for row in self._list.get_children():
            self._list.remove(row)
        for rule in self._rules:
            said = model.rule_in_words(rule, self._texts)
            row = Gtk.Box(spacing=6)
            row.pack_start(label(said), True, True, 0)
            name = self._texts.say("window-remove", what=said)
            remove = Gtk.Button.new_from_icon_name("list-remove-symbolic", Gtk.IconSize.BUTTON)
            remove.set_tooltip_text(name)
            remove.get_accessible().set_name(name)
            remove.connect("clicked", lambda _, rule=rule: self._remove(rule))
            row.pack_start(remove, False, False, 0)
            self._list.pack_start(row, False, False, 0)
        self._list.show_all()

    def _remove(self, rule):
        self.show_rules([one for one in self._rules if one != rule])
        self._changed()

    def _add(self, *_):
        wrong = None
        try:
            model.port(self._port.get_text())
        except ValueError:
            wrong = "window-wrong-port"
        try:
            source = model.network(self._from.get_text())
        except ValueError:
            wrong = wrong or "window-wrong-from"
        self._wrong.set_text(self._texts.say(wrong) if wrong else "")
        self._wrong.set_visible(wrong is not None)
        if wrong:
            return
        rule = model.rule(self._protocol.get_active_id(), self._port.get_text(), source)
        self._port.set_text("")
        self._from.set_text("")
        if rule not in self._rules:
            self.show_rules([*self._rules, rule])
            self._changed()
