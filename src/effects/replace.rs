//! Replaces a file as a whole. A reader finds the old text or the new one, never a part.

#![expect(clippy::disallowed_methods, reason = "an edge file: it replaces files")]

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// Writes a new file beside the old one and renames it over the old one. The new file gets the permissions and the
/// owner that `meta` has.
///
/// # Errors
/// On a failed write. The old file is unchanged then.
pub fn replace(path: &Path, meta: &Metadata, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tunwarden-new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let written = write(&beside, meta, text).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn write(path: &Path, meta: &Metadata, text: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    if (meta.uid(), meta.gid()) != (file.metadata()?.uid(), file.metadata()?.gid()) {
        fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
    }
    file.set_permissions(meta.permissions())?;
    file.sync_all()
}
