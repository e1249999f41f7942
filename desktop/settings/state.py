"""The first page: the state, the VPN, pause and resume, and the check of this machine."""

import os

from gi.repository import GLib, Gtk

import model
from agent import NOT_ALLOWED, as_administrator, report_path
from widgets import button, label

# What `prove` exits with, and the key of what it means.
CHECKED = {0: "check-proven", 1: "check-not-shown", 4: "check-open"}

# Each button of a request to the agent, with the sentence for a request that failed.
REFUSED = {"Pause": "refused-pause", "Resume": "refused-resume", "Reconnect": "refused-reconnect"}


class StatePage(Gtk.Box):
    """Shows the state, and asks the agent for a pause or a reconnect."""

    def __init__(self, texts, agent):
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=18, border_width=18)
        self._texts, self._agent = texts, agent
        self._report = None
        top = Gtk.Box(spacing=18)
        self._icon = Gtk.Image(icon_name="tunwarden-unknown", pixel_size=96, valign=Gtk.Align.START)
        top.pack_start(self._icon, False, False, 0)
        lines = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6, valign=Gtk.Align.CENTER)
        self._headline, self._sentence, self._vpn = label(""), label(""), label("")
        for line in (self._headline, self._sentence, self._vpn):
            line.set_selectable(True)
            lines.pack_start(line, False, False, 0)
        top.pack_start(lines, True, True, 0)
        self.pack_start(top, False, False, 0)

        self._requests = Gtk.FlowBox(selection_mode=Gtk.SelectionMode.NONE, max_children_per_line=3)
        self._requests.set_column_spacing(6)
        self._requests.set_row_spacing(6)
        self._requests.get_accessible().set_name(texts.say("window-tab-state").replace("_", ""))
        self._pauses = [
            self._request(texts.say(f"pause-{minutes}"), "Pause", GLib.Variant("(t)", (minutes * 60,)))
            for minutes in model.PAUSES
        ]
        self._resume = self._request(texts.say("resume"), "Resume", None)
        self._reconnect = self._request(texts.say("reconnect"), "Reconnect", None)
        self.pack_start(self._requests, False, False, 0)

        row = Gtk.Box(spacing=6)
        self._check = button(texts.say("check"), self._begin_check)
        self._show = button(texts.say("window-report"), self._show_report)
        self._show.set_no_show_all(True)
        for one in (self._check, self._show):
            row.pack_start(one, False, False, 0)
        self.pack_start(row, False, False, 0)
        self._answer = label("")
        self._answer.set_selectable(True)
        self.pack_start(self._answer, False, False, 0)
        self.show_all()
        self.update()

    def _request(self, text, method, arguments):
        made = button(text, lambda *_: self._agent.call(method, arguments, lambda _, e: self._answered(method, e)))
        child = Gtk.FlowBoxChild(child=made, can_focus=False)
        self._requests.add(child)
        return child

    def _answered(self, method, error):
        if error is None:
            self._answer.set_text("")
            return
        lines = [self._texts.say(REFUSED[method])]
        if error:
            lines.append(self._texts.say("refused-why", why=error))
        self._answer.set_text("\n".join(lines))

    def update(self):
        """Shows what the agent says now."""
        properties = self._agent.properties()
        icon, headline = model.face(properties)
        self._icon.set_from_icon_name(f"tunwarden-{icon}", Gtk.IconSize.DIALOG)
        said = GLib.markup_escape_text(self._texts.say(headline))
        self._headline.set_markup(f'<span size="x-large" weight="bold">{said}</span>')
        self._sentence.set_text(self._texts.say(model.sentence(properties)))
        tunnels = (properties or {}).get("Tunnels", [])
        named = [
            self._texts.say("tunnel", name=one.get("name", ""), interface=one.get("interface", "")) for one in tunnels
        ]
        # The headline of a locked machine says that there is no VPN.
        none = "" if properties is None or headline == "state-locked" else self._texts.say("no-tunnel")
        self._vpn.set_text("\n".join(named) or none)
        state = (properties or {}).get("State")
        for pause in self._pauses:
            pause.set_visible(state is not None and state != "paused")
        self._resume.set_visible(state == "paused")
        offered = (properties or {}).get("ReconnectPolicy") != "never"
        self._reconnect.set_visible(state in ("locked", "lost") and offered)

    def _begin_check(self, *_):
        report = report_path()
        self._check.set_sensitive(False)
        self._show.hide()
        self._answer.set_text(self._texts.say("window-wait"))
        as_administrator(["prove", "--report", report], lambda code, _, errors: self._checked(report, code, errors))

    def _checked(self, report, code, errors):
        self._check.set_sensitive(True)
        if code in CHECKED and os.path.exists(report):
            self._report = report
            self._answer.set_text(self._texts.say(CHECKED[code]))
            self._show.show()
            return
        why = self._texts.say("not-allowed") if code in NOT_ALLOWED else (errors.strip().splitlines() or [""])[-1]
        self._answer.set_text(self._texts.say("refused-check") + "\n" + why)

    def _show_report(self, *_):
        Gtk.show_uri_on_window(self.get_toplevel(), GLib.filename_to_uri(self._report), Gtk.get_current_event_time())
