//! The machine's own system bus. No process in the machine can reach the real machine's bus: its socket is
//! under `/run`, and the machine has its own empty `/run`.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::machine::{Machine, Process};
use crate::wait::{TIMEOUT, wait_for, wait_until};

const SOCKET: &str = "/run/dbus/system_bus_socket";

/// A running `dbus-daemon --system`. Dropping it kills the daemon.
#[derive(Debug)]
pub struct SystemBus {
    machine: Machine,
    process: Process,
}

impl Machine {
    /// Starts the machine's system bus and waits until it listens.
    ///
    /// # Errors
    /// When dbus-daemon is missing or does not start; with its log.
    pub fn system_bus(&self) -> Result<SystemBus> {
        Ok(SystemBus { machine: self.clone(), process: start(self)? })
    }
}

impl SystemBus {
    /// Its address for a client outside the machine, such as zbus in the test itself.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:path={}", socket(&self.machine).display())
    }

    /// Adds a policy file, such as `org.tunwarden.Agent1.conf`, and makes the bus read it.
    ///
    /// # Errors
    /// When it cannot be written or the bus has ended.
    pub fn add_policy(&mut self, name: &str, xml: &str) -> Result<()> {
        self.machine.file(&format!("/etc/dbus-1/system.d/{name}"), xml)?;
        // Unlike SIGHUP, this call returns after the new policy is in force.
        let args = "dbus-send --system --print-reply --dest=org.freedesktop.DBus \
                    /org/freedesktop/DBus org.freedesktop.DBus.ReloadConfig";
        self.machine.succeed(args.split_whitespace()).map(drop)
    }

    /// Whether a name has an owner on the bus now.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub fn has_owner(&self, name: &str) -> Result<bool> {
        let args = "dbus-send --system --print-reply --dest=org.freedesktop.DBus \
                    /org/freedesktop/DBus org.freedesktop.DBus.NameHasOwner";
        let name = format!("string:{name}");
        let answer = self.machine.succeed(args.split_whitespace().chain([name.as_str()]))?;
        Ok(answer.contains("boolean true"))
    }

    /// Starts polkit. The test must first write its actions and rules below `/usr/share/polkit-1` and
    /// `/etc/polkit-1`.
    ///
    /// # Errors
    /// When polkitd is missing or does not take its name; with its log.
    pub fn polkit(&self) -> Result<Process> {
        let process = self.machine.spawn(["/usr/lib/polkit-1/polkitd"])?;
        wait_for("polkit", TIMEOUT, || Ok(self.has_owner("org.freedesktop.PolicyKit1")?.then_some(())))
            .with_context(|| process.log())?;
        Ok(process)
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop().map(drop)
    }

    /// Kills the daemon if it still runs, and starts another one.
    ///
    /// # Errors
    /// As [`Machine::system_bus`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = start(&self.machine)?;
        Ok(())
    }

    /// Sends the daemon a signal: after SIGSTOP the bus hangs.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }
}

fn socket(machine: &Machine) -> PathBuf {
    machine.outside(SOCKET)
}

fn start(machine: &Machine) -> Result<Process> {
    let socket = socket(machine);
    // The socket of an earlier bus would look like one that listens.
    let _ = std::fs::remove_file(&socket);
    let process = machine.spawn(["dbus-daemon", "--system", "--nofork", "--nopidfile", "--nosyslog"])?;
    wait_until("the system bus", TIMEOUT, || UnixStream::connect(&socket).is_ok())
        .with_context(|| process.log())?;
    Ok(process)
}
