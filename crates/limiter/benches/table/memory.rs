//! What a key takes, in a process for each map, so that none is given what another has left.

use std::error::Error;
use std::fs;
use std::process::Command;

use allocation_counter::measure;

use crate::contestants::{Dash, NAMES, Papaya, Rules, Scc};
use crate::table::Table;

/// Has this program fill one map and print what it takes.
pub(crate) const FLAG: &str = "--memory-of";
const PAGE: f64 = 4_096.0;

/// Bytes a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Asked of the allocator and not given back.
    pub(crate) allocated: f64,
    /// By which the process has grown; 0 where there is no `/proc`.
    pub(crate) resident: f64,
}

pub(crate) fn of_each(keys: usize) -> Result<Vec<Taken>, Box<dyn Error>> {
    NAMES.iter().map(|name| of(name, keys)).collect()
}

fn of(name: &str, keys: usize) -> Result<Taken, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).args([FLAG, name, &keys.to_string()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(allocated), Some(resident)) => Ok(Taken {
            allocated: allocated?,
            resident: resident?,
        }),
        _ => Err(String::from_utf8(output.stderr)?.into()),
    }
}

pub(crate) fn print(name: &str, keys: usize) -> Result<(), Box<dyn Error>> {
    let rules = Rules::new();
    let before = resident();
    let mut after = 0.0;
    let info = match name {
        "table" => fill(|| rules.fill(Table::<2>::new(keys), keys), &mut after),
        "DashMap" => fill(|| rules.fill(Dash::default(), keys), &mut after),
        "papaya" => fill(|| rules.fill(Papaya::default(), keys), &mut after),
        "scc" => fill(|| rules.fill(Scc::default(), keys), &mut after),
        _ => return Err(format!("there is no map {name}").into()),
    };
    println!("{} {}", info / keys as f64, (after - before) / keys as f64);
    Ok(())
}

/// Bytes that are allocated when the map is full; `after` is what is resident then.
fn fill<M>(fill: impl FnOnce() -> M, after: &mut f64) -> f64 {
    let mut map = None;
    let info = measure(|| {
        map = Some(fill());
        *after = resident();
    });
    info.bytes_current as f64
}

/// Bytes of this process in memory.
fn resident() -> f64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<f64>().ok());
    pages.unwrap_or(0.0) * PAGE
}
