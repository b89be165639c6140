//! Who else may read or replace a storage file: looked at when it is opened.

use std::fs::{File, OpenOptions};
use std::path::Path;

/// Makes a file its owner's alone; says what was found to be open to others, in the file or its folder.
#[cfg(unix)]
pub(crate) fn keep_to_owner(file: &File, path: &Path) -> Option<String> {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use crate::location::target_of;

    const OTHERS: u32 = 0o077;
    const WRITABLE_BY_ALL: u32 = 0o002;
    const STICKY: u32 = 0o1000;

    let mode = file.metadata().ok()?.permissions().mode() & 0o7777;
    let mut found = Vec::new();
    if mode & OTHERS != 0 {
        let tightened = file.set_permissions(Permissions::from_mode(mode & !OTHERS));
        let now = match tightened {
            Ok(()) => "it is its owner's alone now; a secret that others may have read should be changed".to_owned(),
            Err(why) => format!("it stays so, since its mode can't be changed: {why}"),
        };
        found.push(format!("it was open to others (mode {mode:o}); {now}"));
    }
    let folder = target_of(path)
        .ok()
        .and_then(|target| target.parent().map(Path::to_owned));
    let folder_mode = folder.and_then(|folder| Some(fs::metadata(folder).ok()?.permissions().mode()));
    if folder_mode.is_some_and(|mode| mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0) {
        found.push("its folder may be written by everybody, who may so replace it; chmod o-w the folder".to_owned());
    }
    (!found.is_empty()).then(|| found.join("; "))
}

#[cfg(not(unix))]
pub(crate) fn keep_to_owner(_: &File, _: &Path) -> Option<String> {
    None
}

/// To open a file that, if it is made, is for its owner alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
