"""Widgets with an accessible name each."""

from gi.repository import GLib, Gtk


def label(text, mnemonic=None):
    """A text that wraps. With a widget, the key after `_` focuses it, and the text is its accessible name."""
    made = Gtk.Label(xalign=0, wrap=True, max_width_chars=64)
    if mnemonic is None:
        made.set_text(text)
    else:
        made.set_text_with_mnemonic(text)
        made.set_mnemonic_widget(mnemonic)
        mnemonic.get_accessible().set_name(made.get_text())
    return made


def about(text):
    """A smaller text that explains a setting."""
    made = label("")
    made.set_markup(f"<small>{GLib.markup_escape_text(text)}</small>")
    return made


def heading(text):
    """The title of a group of settings."""
    made = label("")
    made.set_markup(f"<b>{GLib.markup_escape_text(text)}</b>")
    return made


def button(text, clicked, accessible=None):
    """A button. The key after `_` presses it."""
    made = Gtk.Button(label=text, use_underline=True)
    made.connect("clicked", clicked)
    if accessible is not None:
        made.get_accessible().set_name(accessible)
    return made


def indented(widget):
    """A widget that belongs to the one above it."""
    widget.set_margin_start(26)
    return widget
