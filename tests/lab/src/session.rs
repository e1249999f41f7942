//! A user's desktop session in a machine: a virtual screen (Xvfb), a session bus, and programs of an ordinary
//! user. Root cannot connect to a user's session bus, so no program here runs as root.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::machine::{Cmd, Machine, Output, Process};
use crate::wait::{TIMEOUT, wait_for, wait_until};

/// The user's home with the session bus. It is below the machine's own `/run`.
const HOME: &str = "/run/person";
/// The screen. Only this machine's processes see its socket.
const SCREEN: &str = ":77";
/// Width and height of the screen.
pub(crate) const SIZE: (usize, usize) = (800, 600);

/// A window that can be seen on the screen, in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenWindow {
    /// Its number, for xdotool.
    pub id: String,
    /// From the left of the screen.
    pub left: usize,
    /// From the top of the screen.
    pub top: usize,
    /// From its left edge to its right edge.
    pub width: usize,
    /// From its top to its bottom.
    pub height: usize,
}

/// A session. Dropping it kills all of its processes.
#[derive(Debug)]
pub struct Session {
    machine: Machine,
    user: String,
    language: String,
    bus: Process,
    _screen: Process,
}

impl Machine {
    /// Logs an ordinary user in. `language` is what `LANG` says: `en_US.UTF-8`.
    ///
    /// # Errors
    /// When Xvfb or dbus-daemon is missing or does not start; with its log.
    pub fn session(&self, user: &str, language: &str) -> Result<Session> {
        self.empty_tmp()?;
        self.succeed(["install", "-d", "-m", "700", "-o", user, HOME])?;
        let size = format!("{}x{}x24", SIZE.0, SIZE.1);
        // Without -noreset the server starts again after its last client, which refuses a client at that moment.
        let options = ["-screen", "0", &size, "-nolisten", "tcp", "-noreset"];
        let screen = self.spawn(["Xvfb", SCREEN].into_iter().chain(options))?;
        let socket = self.outside(format!("/tmp/.X11-unix/X{}", &SCREEN[1..]));
        wait_until("the screen", TIMEOUT, || UnixStream::connect(&socket).is_ok())
            .with_context(|| screen.log())?;
        let bus = start_bus(self, user)?;
        Ok(Session {
            machine: self.clone(),
            user: user.to_owned(),
            language: language.to_owned(),
            bus,
            _screen: screen,
        })
    }
}

impl Machine {
    /// Gives the machine an empty `/tmp`: the socket of its X server is not the real machine's. The programs
    /// under test stay where they are, also if the repository is below `/tmp`.
    fn empty_tmp(&self) -> Result<()> {
        let mount = ["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp"];
        let test = std::env::current_exe()?;
        let below = test.strip_prefix("/tmp").ok().and_then(|path| path.iter().next()?.to_str());
        let Some(folder) = below.map(|name| format!("/tmp/{name}")) else {
            return self.succeed(mount).map(drop);
        };
        let kept = format!("{HOME}.kept");
        self.succeed(["mkdir", &kept])?;
        self.succeed(["mount", "--bind", &folder, &kept])?;
        self.succeed(mount)?;
        self.succeed(["mkdir", &folder])?;
        self.succeed(["mount", "--move", &kept, &folder]).map(drop)
    }
}

impl Session {
    /// A command in the session, as its user.
    pub fn command<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Cmd {
        let command = self.machine.command(args).user(&self.user);
        let variables = [
            ("HOME", HOME),
            ("XDG_RUNTIME_DIR", HOME),
            ("DISPLAY", SCREEN),
            ("DBUS_SESSION_BUS_ADDRESS", &bus_address()),
            ("LANG", &self.language),
            ("LC_ALL", ""),
            ("LC_MESSAGES", ""),
            ("TZ", "UTC"),
            // No accessibility bus and no portals: only programs that the test starts.
            ("NO_AT_BRIDGE", "1"),
            ("GTK_USE_PORTAL", "0"),
        ];
        variables.into_iter().fold(command, |command, (name, value)| command.env(name, value))
    }

    /// Starts a program of the session.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Result<Process> {
        self.command(args).spawn()
    }

    /// Runs a program of the session, which must succeed.
    ///
    /// # Errors
    /// When it fails.
    pub fn succeed<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        self.command(args).succeed()
    }

    /// Writes a file of the user below the home, for example `.config/dunst/dunstrc`.
    ///
    /// # Errors
    /// On a failed write.
    pub fn file(&self, path: &str, content: &str, mode: u32) -> Result<()> {
        self.machine.file_with_mode(&format!("{HOME}/{path}"), content, mode)?;
        self.machine.succeed(["chown", "-R", &self.user, HOME]).map(drop)
    }

    /// Reads a file below the home. Returns nothing while the file does not exist.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        self.machine.read(&format!("{HOME}/{path}")).unwrap_or_default()
    }

    /// Runs `busctl --user` on the session bus, for example to read a property or to call a method.
    ///
    /// # Errors
    /// When busctl cannot be run.
    pub fn busctl(&self, words: &[&str]) -> Result<Output> {
        let address = format!("--address={}", bus_address());
        self.command(["busctl", &address].into_iter().chain(words.iter().copied())).run()
    }

    /// Waits until a name has an owner on the session's bus.
    ///
    /// # Errors
    /// When it has no owner within `bound`.
    pub fn wait_for_name(&self, name: &str, bound: Duration) -> Result<()> {
        wait_for(&format!("{name} on the session bus"), bound, || {
            let words =
                ["call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner", "s", name];
            Ok((self.busctl(&words)?.stdout.trim() == "b true").then_some(()))
        })
    }

    /// The windows of a class that can be seen.
    ///
    /// # Errors
    /// When xdotool cannot be run.
    pub fn windows(&self, class: &str) -> Result<Vec<ScreenWindow>> {
        let found = self.command(["xdotool", "search", "--onlyvisible", "--class", class]).run()?.stdout;
        let window = |id: &str| {
            let said = self.command(["xdotool", "getwindowgeometry", "--shell", id]).run()?.stdout;
            let number = |key: &str| {
                let line = said.lines().find_map(|line| line.strip_prefix(key));
                line.and_then(|number| number.parse().ok()).unwrap_or_default()
            };
            let [left, top, width, height] = ["X=", "Y=", "WIDTH=", "HEIGHT="].map(number);
            Ok(ScreenWindow { id: id.to_owned(), left, top, width, height })
        };
        found.lines().map(window).collect()
    }

    /// Waits until a window manager has the screen.
    ///
    /// # Errors
    /// When none has it within `bound`.
    pub fn wait_for_window_manager(&self, bound: Duration) -> Result<()> {
        wait_for("the window manager", bound, || {
            let desktops = self.command(["xdotool", "get_num_desktops"]).run()?;
            Ok(desktops.status.success().then_some(()))
        })
    }

    /// Writes a screenshot to a path of the real machine.
    ///
    /// # Errors
    /// When no screenshot can be made.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        let inside = format!("{HOME}/screen.png");
        self.succeed(["import", "-window", "root", &inside])?;
        std::fs::copy(self.machine.outside(&inside), path).with_context(|| path.display().to_string())?;
        Ok(())
    }

    /// What is on the screen: the red, green and blue of each pixel, row by row.
    ///
    /// # Errors
    /// When no screenshot can be made.
    pub fn pixels(&self) -> Result<Vec<Vec<[u8; 3]>>> {
        let inside = format!("{HOME}/screen.rgb");
        self.succeed(["import", "-window", "root", "-depth", "8", &format!("rgb:{inside}")])?;
        let bytes = std::fs::read(self.machine.outside(&inside))?;
        ensure!(bytes.len() == SIZE.0 * SIZE.1 * 3, "a screen of {} bytes", bytes.len());
        let row = |row: &[u8]| row.as_chunks::<3>().0.to_vec();
        Ok(bytes.chunks_exact(SIZE.0 * 3).map(row).collect())
    }

    /// Ends the session's bus, as a logout does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn log_out(&mut self) -> Result<()> {
        self.bus.stop().map(drop)
    }
}

fn bus_address() -> String {
    format!("unix:path={HOME}/bus")
}

/// A session bus that activates no services. The services of the real machine's desktop do not belong to
/// this session.
fn start_bus(machine: &Machine, user: &str) -> Result<Process> {
    let configuration = format!(
        "<busconfig><type>session</type><listen>{}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
         <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
        bus_address()
    );
    machine.file(&format!("{HOME}/bus.conf"), &configuration)?;
    let start = ["dbus-daemon", "--nofork", "--nosyslog", "--config-file"];
    let file = format!("{HOME}/bus.conf");
    let process = machine.command(start.into_iter().chain([file.as_str()])).user(user).spawn()?;
    let socket = machine.outside(format!("{HOME}/bus"));
    wait_until("the session bus", TIMEOUT, || socket.exists()).with_context(|| process.log())?;
    ensure!(!user.is_empty() && user != "root", "a session is an ordinary user's");
    Ok(process)
}
