//! Reads the configuration file from disk. No other file of this module touches the disk.
//!
//! A path may lead to a device, to a pipe without a writer or to an endless file. Such a file is refused without
//! waiting for it.

#![expect(clippy::disallowed_methods, reason = "an edge file: it reads the configuration")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::document::MAX_BYTES;
use super::fault::Faults;
use super::{Config, Written};

impl Config {
    /// Reads the configuration at `path`, which must be a regular file of at most 1 MiB.
    ///
    /// [`Faults::NotFound`] if there is no file, so that the caller decides what that means. Otherwise why
    /// the file cannot be read, or every fault in it.
    pub fn read(path: &Path) -> Result<Self, Faults> {
        Written::read(path).map(|written| written.config)
    }
}

impl Written {
    /// Like [`Config::read`], but also returns the text.
    ///
    /// # Errors
    /// Those of [`Config::read`].
    pub fn read(path: &Path) -> Result<Self, Faults> {
        let file = path.to_string_lossy();
        let text = String::from_utf8(bytes(path)?)
            .map_err(|error| Faults::not_utf8(&file, error.as_bytes(), error.utf8_error().valid_up_to()))?;
        Ok(Self { config: Config::parse(&text, &file)?, text })
    }
}

/// The content of the file, or why it cannot be read.
fn bytes(path: &Path) -> Result<Vec<u8>, Faults> {
    let refuse = |error: io::Error| refusal(path, error);
    // The type is checked before opening, because opening some devices has side effects.
    regular(path, &fs::metadata(path).map_err(refuse)?)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(refuse)?;
    regular(path, &file.metadata().map_err(refuse)?)?;
    at_most(file).map_err(refuse)?.ok_or_else(|| Faults::too_large(path.into()))
}

/// All bytes; `None` if there are more than [`MAX_BYTES`].
fn at_most(file: File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= MAX_BYTES).then_some(bytes))
}

fn regular(path: &Path, metadata: &fs::Metadata) -> Result<(), Faults> {
    let (what, hint) = match metadata.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => ("this is a directory", "name the file in it: config.toml"),
        _ => ("this is no regular file", "write the configuration into a file and name that"),
    };
    Err(Faults::Unreadable { path: path.into(), what, hint, source: None })
}

/// Whether the path, or a folder in it, is a broken link. Then the file is missing by mistake.
fn is_broken_link(path: &Path) -> bool {
    path.ancestors().filter(|part| part.is_symlink()).any(|link| fs::metadata(link).is_err())
}

fn refusal(path: &Path, error: io::Error) -> Faults {
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::NotFound) && !is_broken_link(path) {
        return Faults::NotFound(path.into());
    }
    let (what, hint) = if is(io::ErrorKind::NotFound) {
        ("this link leads nowhere", "restore the file it names, or remove the link")
    } else if is(io::ErrorKind::PermissionDenied) {
        ("you may not read this file", "run this as root, with sudo")
    } else if is(io::ErrorKind::NotADirectory) {
        ("a part of this path is no directory", "check the path's spelling")
    } else {
        ("this file cannot be read", "check the path, and the disk that it is on")
    };
    Faults::Unreadable { path: path.into(), what, hint, source: Some(error) }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test starts programs and touches files")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refused(path: &Path) -> String {
        Config::read(path).unwrap_err().to_string()
    }

    #[test]
    fn something_that_is_not_a_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(refused(&fifo).contains("no regular file"));
        assert!(refused(Path::new("/dev/zero")).contains("no regular file"));
        assert!(refused(dir.path()).contains("directory"));
        assert!(refused(&dir.path().join("fifo/config.toml")).contains("path"));
    }

    #[test]
    fn a_missing_file_is_not_a_broken_link() {
        let dir = tempfile::tempdir().unwrap();
        let (missing, link) = (dir.path().join("missing"), dir.path().join("link"));
        symlink(&missing, &link).unwrap();
        assert!(matches!(Config::read(&missing), Err(Faults::NotFound(path)) if path == missing));
        let nowhere =
            |path: &Path| matches!(Config::read(path), Err(Faults::Unreadable { source: Some(_), .. }));
        assert!(nowhere(&link) && nowhere(&link.join("config.toml")));
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read_to_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert!(refused(file.path()).contains("larger than 1 MiB"));
        file.as_file().set_len(MAX_BYTES as u64).unwrap();
        assert!(!refused(file.path()).contains("larger"));
    }

    #[test]
    fn bytes_that_are_not_text_are_reported_with_their_position() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"[lan]\nallow = \"\xff\"\n").unwrap();
        let faults = Config::read(file.path()).unwrap_err();
        let [fault] = faults.found() else { panic!("{faults}") };
        assert_eq!((fault.line(), fault.column()), (2, 10));
        assert_eq!(fault.what(), "this is not UTF-8: byte 0xff at offset 15");
    }

    #[test]
    fn a_good_file_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "\u{feff}[lan]\r\nallow = false\r\n").unwrap();
        assert!(!Config::read(file.path()).unwrap().lan.allow);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), bytes).unwrap();
            if let Err(faults) = Config::read(file.path()) {
                let text = faults.to_string();
                proptest::prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            }
        }
    }
}
