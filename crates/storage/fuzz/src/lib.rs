//! Any file where a storage file is expected: any bytes, a real file that was damaged, and one that redb takes but
//! tollkeeper never wrote. It is refused and left as it was, or it can be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use redb::{Database, TableDefinition};
use tollkeeper_limiter::{LimitSpec, Limiter, Period, Rule, Settings, TierSpec};
use tollkeeper_storage::{Storage, StorageError};

const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";
const NOW_MS: u64 = 1_790_000_000_000;
const STATE: usize = 44;
const WIDE: usize = 76;
const CHUNK: usize = 64;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("tollkeeper");
const RULE_SETS: TableDefinition<u32, &str> = TableDefinition::new("plans");
const KEYS: TableDefinition<&[u8; 16], &[u8; STATE]> = TableDefinition::new("keys");
const CREDITS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("credits");
const WIDE_KEYS: TableDefinition<&[u8; 16], &[u8; WIDE]> = TableDefinition::new("wide keys");
const RECORDS: TableDefinition<&str, &str> = TableDefinition::new("records");

/// Real files: closed, and as a crash leaves them.
struct Real {
    bytes: Vec<u8>,
    /// Where there is something other than zeros.
    chunks: Vec<usize>,
}

static REAL: LazyLock<[Real; 2]> = LazyLock::new(|| {
    let path = path_of("real");
    let _ = fs::remove_file(&path);
    let storage = Storage::open(&path).expect("it is new");
    let limiter = limiter(&storage);
    for key in 0..200_u64 {
        let _ = limiter.consume(limiter.hash(&format!("key {key}")), key % 3, 1_000 + key, NOW_MS + key);
    }
    storage.save(&limiter).expect("there is room");
    storage.put_record("account/1", Some("{}")).expect("there is room");
    let open = fs::read(&path).expect("it is there");
    drop(storage);
    let closed = fs::read(&path).expect("it is there");
    let _ = fs::remove_file(&path);
    [closed, open].map(|bytes| {
        let chunks = bytes
            .chunks(CHUNK)
            .enumerate()
            .filter(|(_, chunk)| chunk.iter().any(|byte| *byte != 0));
        let chunks = chunks.map(|(index, _)| index * CHUNK).collect();
        Real { bytes, chunks }
    })
});

/// A path of this process's own, in memory where there is such a file system.
fn path_of(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        memory.to_path_buf()
    } else {
        std::env::temp_dir()
    };
    folder.join(format!("tollkeeper-fuzz-{}-{name}", std::process::id()))
}

fn limiter(storage: &Storage) -> Limiter {
    let minute = |limit_milli| LimitSpec {
        name: "minute".into(),
        rule: Rule::Bucket {
            limit_milli,
            window_ms: 60_000,
            burst_milli: 1_500,
            block_ms: 0,
        },
    };
    let month = LimitSpec {
        name: "month".into(),
        rule: Rule::Quota {
            limit_milli: 50_000_000,
            period: Period::Month { anchor_day: 1 },
        },
    };
    let day = |number: u64| LimitSpec {
        name: format!("day{number}"),
        rule: Rule::Quota {
            limit_milli: 1_000_000 * number,
            period: Period::Day,
        },
    };
    let tier = |name: &str, limits| TierSpec {
        name: name.into(),
        limits,
    };
    let settings = Settings {
        tiers: vec![
            tier("free", vec![minute(100_000), month]),
            tier("pro", vec![minute(1_000_000)]),
            // Keys of it are wide.
            tier("max", (1..=6).map(day).collect()),
        ],
        max_keys: 1_000,
        secret: storage.secret(),
        durable: true,
    };
    Limiter::new(settings).expect("the tiers are sound")
}

/// Opens what the bytes stand for, and uses it if it can be opened.
pub fn storage(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let path = path_of("file");
    let _ = fs::remove_file(&path);
    match kind % 8 {
        0 => fs::write(&path, [MAGIC, rest].concat()).expect("there is room"),
        1 => fs::write(&path, rest).expect("there is room"),
        2..=4 => fs::write(&path, damaged(&REAL[usize::from(kind & 1)], rest)).expect("there is room"),
        _ => forge(&path, rest),
    }
    try_to_use(&path);
    let _ = fs::remove_file(&path);
}

fn try_to_use(path: &Path) {
    let before = fs::read(path).expect("it is there");
    let storage = match Storage::open(path) {
        Ok(storage) => storage,
        Err(error) => {
            assert!(
                !matches!(error, StorageError::Locked | StorageError::Refused(_)),
                "{error:?}"
            );
            assert!(
                fs::read(path).expect("it is there") == before,
                "changed, and refused: {error:?}"
            );
            return;
        }
    };
    let limiter_of = |storage: &Storage| {
        let limiter = limiter(storage);
        storage.load(&limiter).map(|keys| (limiter, keys))
    };
    let (limiter, keys) = match limiter_of(&storage) {
        Ok(loaded) => loaded,
        Err(error) => {
            drop(storage);
            let again = Storage::open(path).expect("it could be opened before");
            let other = limiter_of(&again).expect_err("it was refused before");
            assert_eq!(error.code(), other.code());
            return;
        }
    };
    assert_eq!(limiter.stats().keys, keys);
    let records = storage.records("", usize::MAX, "");
    let key = |key: u64| limiter.hash(&format!("key {key}"));
    for number in 0..20 {
        let _ = limiter.consume(key(number), number % 3, 1_000, NOW_MS + 1_000);
    }
    limiter.reset(key(30));
    for _ in 0..64 {
        limiter.sweep(NOW_MS + 1_000);
    }
    storage.save(&limiter).expect("there is room");
    storage.put_record("last", Some("{}")).expect("there is room");
    drop(storage);

    let again = Storage::open(path).expect("it was just closed");
    let (other, keys) = limiter_of(&again).expect("it was just stored");
    assert_eq!(keys, limiter.stats().keys);
    let all = again.records("", usize::MAX, "");
    assert!(records.iter().all(|record| record.0 == "last" || all.contains(record)));
    for number in 0..40 {
        let report = |limiter: &Limiter| {
            let free = &*limiter.tier(0).expect("it is in force");
            let outcome = limiter
                .peek(key(number), 0, 0, NOW_MS + 2_000)
                .expect("it costs nothing");
            (outcome.now_ms, outcome.report(free))
        };
        assert_eq!(report(&limiter), report(&other));
    }
}

/// A real file after up to 16 changes of four bytes' description each.
fn damaged(real: &Real, changes: &[u8]) -> Vec<u8> {
    let mut bytes = real.bytes.clone();
    for change in changes.chunks_exact(4).take(16) {
        let [how, high, low, value] = *change else { continue };
        let number = usize::from(high) << 8 | usize::from(low);
        if bytes.is_empty() {
            break;
        }
        // Mostly where something is.
        let at = match how >> 6 {
            0 => number * 31 % bytes.len(),
            1 => number % 512 % bytes.len(),
            _ => (real.chunks[number % real.chunks.len()] + usize::from(how & 0x38) * 8 % CHUNK) % bytes.len(),
        };
        match how & 7 {
            0 | 1 => bytes[at] ^= value.max(1),
            2 => bytes[at] = value,
            3 => {
                let end = (at + usize::from(value)).min(bytes.len());
                bytes[at..end].fill(0);
            }
            4 => bytes.truncate(at),
            5 => {
                let to = (number * 4096) % bytes.len();
                let page = at / 4096 * 4096;
                let length = 4096.min(bytes.len() - to.max(page));
                bytes.copy_within(page..page + length, to);
            }
            6 => bytes.extend(std::iter::repeat_n(value, number)),
            _ => bytes[at..]
                .iter_mut()
                .take(8)
                .for_each(|byte| *byte = byte.wrapping_add(value)),
        }
    }
    bytes
}

/// A database that redb takes, with what was never written.
fn forge(path: &Path, mut bytes: &[u8]) {
    let mut read = |most: usize| {
        let (length, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let (bytes_read, rest) = rest.split_at(usize::from(*length).min(most).min(rest.len()));
        bytes = rest;
        bytes_read.to_vec()
    };
    let what = read(1).first().copied().unwrap_or(0);
    let mut make = || -> Result<(), redb::Error> {
        let database = Database::create(path)?;
        let transaction = database.begin_write()?;
        if what & 1 == 0 {
            let mut meta = transaction.open_table(META)?;
            let format = if what & 2 == 0 {
                (1 + u64::from(what >> 4 & 1)).to_le_bytes().to_vec()
            } else {
                read(9)
            };
            meta.insert("format", &*format)?;
            let secret = if what & 4 == 0 { vec![7; 16] } else { read(17) };
            meta.insert("secret", &*secret)?;
        }
        if what & 0x11 != 0x11 {
            let mut rule_sets = transaction.open_table(RULE_SETS)?;
            let mut keys = transaction.open_table(KEYS)?;
            let sound = r#"[{"slot":0,"name":"minute","rule":{"bucket":{"limit_milli":100000,"window_ms":60000,"burst_milli":1500}}},{"slot":1,"name":"month","rule":{"month_quota":{"limit_milli":50000000,"anchor_day":1}}}]"#;
            rule_sets.insert(0, sound)?;
            if what & 8 != 0 {
                let id = read(4).iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
                rule_sets.insert(id, &*String::from_utf8_lossy(&read(255)))?;
            }
            for _ in 0..what >> 5 {
                let (mut key, mut state) = ([0; 16], [0; STATE]);
                copy(&mut key, &read(16));
                copy(&mut state, &read(STATE));
                keys.insert(&key, &state)?;
            }
            if what & 0x10 != 0 {
                let mut wide = transaction.open_table(WIDE_KEYS)?;
                let (mut key, mut state) = ([0; 16], [0; WIDE]);
                copy(&mut key, &read(16));
                copy(&mut state, &read(WIDE));
                wide.insert(&key, &state)?;
            }
        }
        if what & 0x12 == 0x12 {
            let mut credits = transaction.open_table(CREDITS)?;
            let mut key = [0; 16];
            copy(&mut key, &read(16));
            credits.insert(&key, &*read(51))?;
        }
        if what & 0x21 != 0x21 {
            let mut records = transaction.open_table(RECORDS)?;
            records.insert(
                &*String::from_utf8_lossy(&read(20)),
                &*String::from_utf8_lossy(&read(20)),
            )?;
        }
        Ok(transaction.commit()?)
    };
    make().expect("there is room");
}

fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
