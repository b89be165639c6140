//! Starts each client against a listener on this machine and writes how it opened its connection
//! into the data set: `cargo run --release --manifest-path crates/fingerprint/capture/Cargo.toml [client…]`.
//!
//! Rows of the same client in another version or on another platform are kept; those of the same
//! are replaced. Clients that aren't installed are skipped, by name.

mod clients;
mod http2;
mod listener;
mod row;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use clients::{CLIENTS, Client};
use listener::{Authority, Seen};

/// The programs of clients that are libraries.
const CLIENT_PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client may go on after its first connection: browsers open several.
const AFTERMATH: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let authority: &'static Authority = Box::leak(Box::new(Authority::new()?));
    let home = scratch("authority")?;
    let ca = home.join("ca.pem");
    std::fs::write(&ca, &authority.pem)?;
    let mut skipped = Vec::new();
    for client in CLIENTS {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == client.name) {
            continue;
        }
        let version = said(client.version)?;
        if version.is_empty() {
            skipped.push(client.name);
            continue;
        }
        println!("{} {version}", client.name);
        let mut seen = Vec::new();
        for run in 0..client.runs {
            match capture(client, run, authority, &ca) {
                Ok(connection) => seen.push(connection),
                Err(error) => eprintln!("  run {run}: {error:#}"),
            }
        }
        row::write(client, &version, &seen)?;
    }
    std::fs::remove_dir_all(home)?;
    if !skipped.is_empty() {
        println!("skipped, not installed: {}", skipped.join(", "));
    }
    Ok(())
}

/// One start of one client: its first connection with a request, or its first.
fn capture(client: &Client, run: usize, authority: &'static Authority, ca: &Path) -> Result<Seen> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || authority.serve(&listener, &sender));
    let dir = scratch(&format!("{}-{run}", client.name))?;
    let line = client
        .command
        .replace("{url}", &format!("https://localhost:{port}/"))
        .replace("{port}", &port.to_string())
        .replace("{ca}", &ca.to_string_lossy())
        .replace("{dir}", &dir.to_string_lossy())
        .replace("{clients}", CLIENT_PROGRAMS);
    let mut child = shell(&line).spawn().context("start")?;
    let mut best = first(&receiver, &mut child)?;
    while let Ok(Seen { headers: None, .. }) = best {
        match receiver.recv_timeout(AFTERMATH) {
            Ok(next) if next.headers.is_some() => best = Ok(next),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    stop(&mut child)?;
    std::fs::remove_dir_all(dir)?;
    best.context("no ClientHello")
}

/// The first connection; none comes of a client that has ended, but for one that is still being read.
fn first(receiver: &Receiver<Seen>, child: &mut Child) -> Result<Result<Seen, RecvTimeoutError>> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let has_ended = child.try_wait()?.is_some();
        let seen = receiver.recv_timeout(AFTERMATH);
        if seen.is_ok() || has_ended || Instant::now() > patience {
            return Ok(seen);
        }
    }
}

fn stop(child: &mut Child) -> Result<()> {
    let patience = Instant::now() + AFTERMATH;
    while child.try_wait()?.is_none() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    if child.try_wait()?.is_none() {
        // `timeout` passes the signal on to all that the line started.
        Command::new("kill").arg(child.id().to_string()).status()?;
        child.wait()?;
    }
    Ok(())
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg(PATIENCE.as_secs().to_string())
        .args(["sh", "-c", line])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// What a shell line prints, trimmed; empty if it fails.
fn said(line: &str) -> Result<String> {
    let line = line.replace("{clients}", CLIENT_PROGRAMS);
    let output = Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn scratch(name: &str) -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("tollkeeper-capture-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
