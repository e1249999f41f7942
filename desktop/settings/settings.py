"""The page of settings. Nothing is changed before Apply, which says first what it opens and asks for a password."""

import json

from gi.repository import Gtk

import model
from agent import NOT_ALLOWED, TUNWARDEN, as_administrator, run
from ports import Ports
from vpns import Vpns
from widgets import about, button, heading, indented, label

RECONNECT = ("ask", "auto", "never")


class SettingsPage(Gtk.Box):
    """The settings of the file, and what the user has chosen instead."""

    def __init__(self, texts, agent):
        super().__init__(orientation=Gtk.Orientation.VERTICAL)
        self._texts, self._agent = texts, agent
        self._before = None
        self._loading = False
        self._page = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6, border_width=18)
        self._lan = self._check("window-lan", "window-lan-about")
        self._published = self._check("window-published", "window-published-about")
        self._reconnect = Gtk.ComboBoxText()
        for word in RECONNECT:
            self._reconnect.append(word, texts.say(f"window-reconnect-{word}"))
        self._reconnect.connect("changed", self._changed)
        row = Gtk.Box(spacing=12, margin_bottom=12)
        row.pack_start(label(texts.say("window-reconnect"), self._reconnect), False, False, 0)
        row.pack_start(self._reconnect, False, False, 0)
        self._page.pack_start(row, False, False, 0)
        self._vpns = Vpns(texts, self._changed)
        self._ports = Ports(texts, self._changed)
        for title, text, widget in (
            ("window-vpns", "window-vpns-about", self._vpns),
            ("window-input", "window-input-about", self._ports),
        ):
            self._page.pack_start(heading(texts.say(title)), False, False, 0)
            self._page.pack_start(widget, False, False, 0)
            explained = about(texts.say(text))
            explained.set_margin_bottom(12)
            self._page.pack_start(explained, False, False, 0)
        scrolled = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER)
        scrolled.add(self._page)
        self.pack_start(scrolled, True, True, 0)
        self._add_bar()
        self.read()

    def _check(self, key, explained):
        made = Gtk.CheckButton(label=self._texts.say(key), use_underline=True)
        made.connect("toggled", self._changed)
        self._page.pack_start(made, False, False, 0)
        line = indented(about(self._texts.say(explained)))
        line.set_margin_bottom(12)
        self._page.pack_start(line, False, False, 0)
        return made

    def _add_bar(self):
        """What a change opens, and the two buttons. It is always visible."""
        self.pack_start(Gtk.Separator(), False, False, 0)
        bar = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12, border_width=18)
        self._note = label("")
        self._note.set_selectable(True)
        bar.pack_start(self._note, False, False, 0)
        buttons = Gtk.Box(spacing=6)
        self._apply = button(self._texts.say("window-apply"), self._begin)
        self._apply.get_style_context().add_class("suggested-action")
        self._undo = button(self._texts.say("window-undo"), lambda *_: self._show(self._before))
        buttons.pack_end(self._apply, False, False, 0)
        buttons.pack_end(self._undo, False, False, 0)
        bar.pack_start(buttons, False, False, 0)
        self.pack_start(bar, False, False, 0)

    def read(self, note=""):
        """Reads the settings of the file."""
        run([TUNWARDEN, "set", "--json"], lambda code, out, errors: self._was_read(code, out, errors, note))

    def _was_read(self, code, out, errors, note):
        if code != 0:
            self._before = None
            self._page.set_sensitive(False)
            self._say("\n".join([self._texts.say("window-unread"), errors.strip()]))
            self._apply.set_sensitive(False)
            self._undo.set_sensitive(False)
            return
        self._before = model.settings(json.loads(out))
        self._page.set_sensitive(True)
        self._show(self._before)
        self._say(note)

    def _show(self, values):
        self._loading = True
        self._lan.set_active(values["lan.allow"])
        self._published.set_active(values["docker.published_ports"] == "lan")
        self._reconnect.set_active_id(values["vpn.reconnect"])
        self._ports.show_rules(values["input.allow"])
        named = values["vpn.connections"]
        self._vpns.show_vpns(model.vpns(self._agent.properties(), named), named, bool(named))
        self._loading = False
        self._changed()

    def update(self):
        """The agent knows other VPNs. What the user has chosen stays."""
        if self._before is not None:
            named = self._vpns.chosen()
            self._vpns.show_vpns(model.vpns(self._agent.properties(), named), named, self._vpns.is_limited())

    def _after(self):
        return {
            "lan.allow": self._lan.get_active(),
            "docker.published_ports": "lan" if self._published.get_active() else "none",
            "input.allow": self._ports.rules(),
            "vpn.connections": self._vpns.chosen(),
            "vpn.reconnect": self._reconnect.get_active_id(),
        }

    def _say(self, text):
        self._note.set_text(text)
        self._note.set_visible(bool(text))

    def _changed(self, *_):
        if self._loading or self._before is None:
            return
        after = self._after()
        differs = bool(model.assignments(self._before, after))
        lines = model.opens(self._before, after, self._texts)
        complete = self._vpns.is_complete()
        if not complete:
            lines = [self._texts.say("window-wrong-vpns")]
        self._say("\n".join(lines))
        self._apply.set_sensitive(differs and complete)
        self._undo.set_sensitive(differs or not complete)

    def _begin(self, *_):
        after = self._after()
        for widget in (self._page, self._apply, self._undo):
            widget.set_sensitive(False)
        run([TUNWARDEN, "set", "--json"], lambda *answer: self._was_read_again(after, *answer))

    def _was_read_again(self, after, code, out, errors):
        """The user has chosen from what the window shows. If the file has other settings now, the user sees them first."""
        if code != 0 or model.settings(json.loads(out)) != self._before:
            self._was_read(code, out, errors, self._texts.say("window-changed"))
            return
        words = model.assignments(self._before, after)
        as_administrator(["set", "--", *words], self._ended)

    def _ended(self, code, _out, errors):
        if code == 0:
            runs = self._agent.properties() is not None
            self.read(self._texts.say("window-applied" if runs else "window-saved"))
            return
        self._page.set_sensitive(True)
        self._changed()
        why = self._texts.say("not-allowed") if code in NOT_ALLOWED else errors.strip()
        self._say(self._texts.say("window-refused") + "\n" + why)
