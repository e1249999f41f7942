"""Which VPNs count: every one, or those that are checked in a list."""

from gi.repository import Gtk

from widgets import indented


class Vpns(Gtk.Box):
    """The entries of vpn.connections. `changed` is called when the user has chosen others."""

    def __init__(self, texts, changed):
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=3)
        self._changed = changed
        self._loading = False
        self._checks = []
        self._all = Gtk.RadioButton.new_with_mnemonic_from_widget(None, texts.say("window-vpns-all"))
        self._some = Gtk.RadioButton.new_with_mnemonic_from_widget(self._all, texts.say("window-vpns-chosen"))
        self._list = indented(Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=3))
        for widget in (self._all, self._some, self._list):
            self.pack_start(widget, False, False, 0)
        self._all.connect("toggled", self._toggled)

    def show_vpns(self, choices, named, only):
        """Shows these choices, as pairs of the entry and the name, and checks the named ones. `only`: no other counts."""
        self._loading = True
        shown = [(entry, name) for entry, name, _ in self._checks]
        if shown != choices:
            for check in self._list.get_children():
                self._list.remove(check)
            self._checks = []
            for entry, name in choices:
                check = Gtk.CheckButton(label=name)
                check.connect("toggled", self._toggled)
                self._list.pack_start(check, False, False, 0)
                self._checks.append((entry, name, check))
            self._list.show_all()
        for entry, _, check in self._checks:
            check.set_active(entry in named)
        (self._some if only else self._all).set_active(True)
        self._some.set_sensitive(bool(choices))
        self._list.set_sensitive(only)
        self._loading = False

    def _toggled(self, *_):
        self._list.set_sensitive(self._some.get_active())
        if not self._loading:
            self._changed()

    def chosen(self):
        """The entries of vpn.connections. An empty list means that every VPN counts."""
        if self._all.get_active():
            return []
        return [entry for entry, _, check in self._checks if check.get_active()]

    def is_limited(self):
        """Whether only some VPNs count."""
        return self._some.get_active()

    def is_complete(self):
        """Whether the choice can be applied: an empty list would mean every VPN."""
        return self._all.get_active() or bool(self.chosen())
