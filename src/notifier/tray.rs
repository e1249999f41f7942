//! The connection to the panel: the indicator and its menu (StatusNotifierItem). The notifier also works without such a
//! panel.

use ksni::menu::{MenuItem, StandardItem};
use ksni::{Category, Status, ToolTip, Tray, TrayMethods};
use tokio::sync::{mpsc, watch};

use super::Icons;
use super::event::{Button, Event};
use super::indicator::Indicator;
use super::notice::StateIcon;
use super::words::Words;

/// The indicator in the user's language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    icon: String,
    status: Status,
    title: String,
    lines: Vec<String>,
    buttons: Vec<(Button, String)>,
}

impl Item {
    pub(super) fn new(indicator: &Indicator, words: &Words, icons: Icons) -> Self {
        let icon = indicator.state_icon.icon();
        let buttons = indicator.buttons.iter().map(|button| (button.clone(), words.button(button)));
        Self {
            icon: match icons {
                Icons::Coloured => icon.to_owned(),
                Icons::Symbolic => format!("{icon}-symbolic"),
            },
            status: match indicator.state_icon {
                StateIcon::Lost | StateIcon::Failed => Status::NeedsAttention,
                StateIcon::Protected
                | StateIcon::Connecting
                | StateIcon::Locked
                | StateIcon::Paused
                | StateIcon::Unknown => Status::Active,
            },
            title: words.label(&indicator.title),
            lines: indicator.lines.iter().map(|line| words.label(line)).collect(),
            buttons: buttons.collect(),
        }
    }
}

/// Shows the indicator until the sender is dropped.
pub(super) async fn run(mut wanted: watch::Receiver<Item>, events: mpsc::Sender<Event>) {
    let item = wanted.borrow_and_update().clone();
    let tray = match (TrayIcon { item, events }).assume_sni_available(true).spawn().await {
        Ok(tray) => tray,
        Err(error) => return tracing::warn!("no indicator in the panel: {error}"),
    };
    while wanted.changed().await.is_ok() {
        let item = wanted.borrow_and_update().clone();
        tray.update(|indicating: &mut TrayIcon| indicating.item = item).await;
    }
    tray.shutdown().await;
}

struct TrayIcon {
    item: Item,
    events: mpsc::Sender<Event>,
}

impl TrayIcon {
    fn press(&self, button: Button) {
        // If the channel is full, enough earlier presses are waiting.
        let _ = self.events.try_send(Event::Pressed(button));
    }
}

impl Tray for TrayIcon {
    fn id(&self) -> String {
        "tunwarden".to_owned()
    }

    /// Called on a click. Cinnamon's panel never opens the menu on a click: it calls `Activate`.
    fn activate(&mut self, _x: i32, _y: i32) {
        self.press(Button::Details);
    }

    fn category(&self) -> Category {
        Category::SystemServices
    }

    fn title(&self) -> String {
        format!("tunwarden: {}", self.item.title)
    }

    fn status(&self) -> Status {
        self.item.status
    }

    fn icon_name(&self) -> String {
        self.item.icon.clone()
    }

    /// The icon while the status is `NeedsAttention`. Some panels show no other icon in that status.
    fn attention_icon_name(&self) -> String {
        self.item.icon.clone()
    }

    fn tool_tip(&self) -> ToolTip {
        let description = self.item.lines.join("\n");
        ToolTip { title: self.item.title.clone(), description, ..ToolTip::default() }
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        let Item { title, lines, buttons, .. } = &self.item;
        let disabled = std::iter::once(title).chain(lines).map(|line| {
            StandardItem { label: label(line), enabled: false, ..StandardItem::default() }.into()
        });
        let pressed = buttons.iter().map(|(button, text)| {
            let button = button.clone();
            let press = move |this: &mut Self| this.press(button.clone());
            StandardItem { label: label(text), activate: Box::new(press), ..StandardItem::default() }.into()
        });
        disabled.chain(std::iter::once(MenuItem::Separator)).chain(pressed).collect()
    }
}

/// Escapes underscores: a single one would mark an access key and disappear.
fn label(text: &str) -> String {
    text.replace('_', "__")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::{Memory, Notifier};
    use super::*;

    #[test]
    fn a_loss_wants_attention_and_shows_its_icon() {
        let words = Words::new("en", TimeZone::UTC);
        let of = |state_icon| {
            let indicator = Indicator { state_icon, ..Notifier::new(Memory::default()).indicator() };
            let item = Item::new(&indicator, &words, Icons::Coloured);
            let indicating = TrayIcon { item, events: mpsc::channel(1).0 };
            (indicating.status(), indicating.attention_icon_name())
        };
        assert_eq!(of(StateIcon::Lost), (Status::NeedsAttention, "tunwarden-lost".to_owned()));
        assert_eq!(of(StateIcon::Failed).0, Status::NeedsAttention);
        for state_icon in [StateIcon::Protected, StateIcon::Locked, StateIcon::Paused, StateIcon::Unknown] {
            assert_eq!(of(state_icon).0, Status::Active, "{state_icon:?}");
        }
    }

    #[test]
    fn a_click_asks_for_the_details() {
        let notifier = Notifier::new(Memory::default());
        let item = Item::new(&notifier.indicator(), &Words::new("en", TimeZone::UTC), Icons::Coloured);
        let (events, mut pressed) = mpsc::channel(1);
        TrayIcon { item, events }.activate(0, 0);
        assert_eq!(pressed.try_recv(), Ok(Event::Pressed(Button::Details)));
    }
}
