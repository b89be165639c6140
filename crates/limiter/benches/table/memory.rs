//! What a key takes, in a process for each contestant, so that none is given what another has left.

use std::error::Error;
use std::fs;
use std::process::Command;

use allocation_counter::measure;

use crate::contestants::{Group, LIMITERS, MAPS, WIDTHS};

/// Has this program fill one contestant and print what it takes.
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

pub(crate) fn of_each(group: Group, keys: usize) -> Result<Vec<Taken>, Box<dyn Error>> {
    group.iter().map(|(name, _)| of(name, keys)).collect()
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
    let named = MAPS
        .iter()
        .chain(LIMITERS)
        .chain(WIDTHS)
        .find(|(known, _)| *known == name);
    let (_, fill) = named.ok_or("there is no such contestant")?;
    // What comes with the first of them is not theirs.
    drop(fill(1));
    let (mut filled, mut grown) = (None, 0.0);
    let info = measure(|| {
        let before = resident();
        filled = Some(fill(keys));
        grown = resident() - before;
    });
    println!("{} {}", info.bytes_current as f64 / keys as f64, grown / keys as f64);
    Ok(())
}

/// Bytes of this process in memory.
fn resident() -> f64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<f64>().ok());
    pages.unwrap_or(0.0) * PAGE
}
