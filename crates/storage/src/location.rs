//! Where a storage file stands, and whether it is still there: looked at before each write, remembered after it.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The part of a file that changes with every commit; see redb's `docs/design.md`.
const HEAD: usize = 320;
const MAX_LINKS: usize = 40;

/// What stands in the place of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The file, as it was left.
    Ours,
    /// Nothing, or an empty file: what is open has no name any more, or another one.
    Gone,
    /// The file, but with its end, or all of it, cut off.
    CutShort,
    /// Another file.
    Other,
    /// The file, but somebody else has written into it.
    Overwritten,
}

/// An open file, its path, and what it was like when it was last written.
#[derive(Debug)]
pub(crate) struct Location {
    path: PathBuf,
    file: File,
    mark: Mark,
}

#[derive(Debug, PartialEq, Eq)]
struct Mark {
    len: u64,
    head: Vec<u8>,
}

impl Location {
    /// The path is absolute.
    pub(crate) fn new(path: PathBuf, file: File) -> io::Result<Self> {
        let mark = Mark::of(&file)?;
        Ok(Self { path, file, mark })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// To be called when the file was written.
    pub(crate) fn remember(&mut self) -> io::Result<()> {
        self.mark = Mark::of(&self.file)?;
        Ok(())
    }

    pub(crate) fn look(&self) -> io::Result<Found> {
        let there = match fs::metadata(&self.path) {
            Ok(there) => there,
            Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Found::Gone),
            Err(why) => return Err(why),
        };
        if !is_same(&self.file.metadata()?, &there) {
            return Ok(if there.is_file() && there.len() == 0 {
                Found::Gone
            } else {
                Found::Other
            });
        }
        let now = Mark::of(&self.file)?;
        let is_begin = now.head == self.mark.head[..now.head.len().min(self.mark.head.len())];
        Ok(match () {
            () if now.len < self.mark.len && is_begin => Found::CutShort,
            () if now.head == self.mark.head => Found::Ours,
            () => Found::Overwritten,
        })
    }
}

impl Mark {
    fn of(file: &File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let mut head = vec![0; HEAD.min(usize::try_from(len).unwrap_or(HEAD))];
        let mut filled = 0;
        while filled < head.len() {
            match read_at(file, &mut head[filled..], filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        head.truncate(filled);
        Ok(Self { len, head })
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

/// Whether two are one file; where that can't be told, they are taken for one.
#[cfg(unix)]
pub(crate) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
pub(crate) fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// The file that a path leads to, whether it is there or not.
pub(crate) fn target_of(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let Ok(next) = fs::read_link(&target) else { break };
        target = folder_of(&target).join(next);
    }
    let name = target.file_name().ok_or(ErrorKind::InvalidInput)?;
    Ok(fs::canonicalize(folder_of(&target))?.join(name))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
