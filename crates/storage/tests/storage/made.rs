//! How a new file is made.

use std::fs;

use tollkeeper_storage::{Storage, StorageError};

use crate::saved;

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = saved();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_empty_file_is_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    fs::write(&path, b"").unwrap();
    Storage::open(&path).unwrap();
}

#[test]
fn a_file_that_another_is_just_making_is_locked_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    fs::write(&path, b"").unwrap();
    let making = redb::Database::create(&path).unwrap();
    assert!(matches!(
        Storage::open(&path),
        Err(StorageError::Locked | StorageError::Foreign)
    ));
    assert!(path.exists());
    drop(making);

    let empty = folder.path().join("empty.redb");
    let making = fs::File::create(&empty).unwrap();
    making.lock().unwrap();
    assert!(matches!(Storage::open(&empty), Err(StorageError::Locked)));
    assert_eq!(fs::metadata(&empty).unwrap().len(), 0);
    drop(making);
    Storage::open(&empty).unwrap();
}

#[test]
fn of_many_that_make_a_file_at_once_one_wins_and_no_other_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..40 {
        let path = folder.path().join(format!("{round}.redb"));
        if round % 2 == 0 {
            fs::write(&path, b"").unwrap();
        }
        // Some open it for a moment only, after which another may.
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|thread| {
                    let path = &path;
                    scope.spawn(move || {
                        Storage::open(path).map(|storage| (storage.secret(), (thread % 2 == 0).then_some(storage)))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut secrets: Vec<_> = opened.iter().flatten().map(|(secret, _)| *secret).collect();
        for error in opened.iter().filter_map(|opened| opened.as_ref().err()) {
            assert!(matches!(error, StorageError::Locked), "{error:?}");
        }
        drop(opened);
        assert!(!secrets.is_empty());
        secrets.push(Storage::open(&path).unwrap().secret());
        secrets.dedup();
        assert_eq!(secrets.len(), 1, "round {round}: the file was replaced");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 40, "no draft is left");
}

#[test]
fn what_a_killed_process_left_of_the_making_does_not_disturb() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let left = folder.path().join(".limits.redb.new-1");
    fs::write(&path, b"").unwrap();
    fs::write(&left, b"half").unwrap();
    let secret = Storage::open(&path).unwrap().secret();
    assert_eq!(Storage::open(&path).unwrap().secret(), secret);
    assert_eq!(fs::read(&left).unwrap(), b"half");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_yet_to_be_made_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    let path = folder.path().join("limits.redb");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let secret = Storage::open(&link).unwrap().secret();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Storage::open(&path).unwrap().secret(), secret);
}

#[test]
fn nothing_but_the_file_is_left_of_its_making() {
    let folder = tempfile::tempdir().unwrap();
    drop(Storage::open(&folder.path().join("limits.redb")).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn an_empty_file_becomes_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(Storage::open(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
