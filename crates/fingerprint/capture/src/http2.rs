//! Just enough of HTTP/2 to read how a client opens it (RFC 9113, 6).

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use tollkeeper_fingerprint::{Akamai, Priority};

pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 0x1;
const PRIORITY: u8 = 0x2;
const SETTINGS: u8 = 0x4;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY_FLAG: u8 = 0x20;
/// The default of `SETTINGS_MAX_FRAME_SIZE`, which this server doesn't raise.
const MAX_FRAME: usize = 16 * 1024;

pub struct Opening {
    pub akamai: String,
    pub headers: Vec<(String, String)>,
}

/// Reads from behind the preface to the end of the first request's headers, and answers it.
pub fn read_opening(stream: &mut (impl Read + Write)) -> Result<Opening> {
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    stream.flush()?;
    let mut akamai = Akamai {
        settings: Vec::new(),
        window_update: 0,
        priorities: Vec::new(),
        pseudo_headers: Vec::new(),
    };
    let mut block = Vec::new();
    loop {
        let (kind, flags, id, payload) = read_frame(stream)?;
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.as_chunks::<6>().0 {
                    let [high, low, value @ ..] = *setting;
                    akamai
                        .settings
                        .push((u16::from_be_bytes([high, low]), u32::from_be_bytes(value)));
                }
                stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?;
            }
            WINDOW_UPDATE if id == 0 && akamai.window_update == 0 => {
                let increment = payload.first_chunk().context("short WINDOW_UPDATE")?;
                akamai.window_update = u32::from_be_bytes(*increment);
            }
            PRIORITY => akamai.priorities.push(priority(id, &payload)?),
            HEADERS => block.extend_from_slice(fragment(flags, &payload)?),
            CONTINUATION => block.extend_from_slice(&payload),
            _ => {}
        }
        if matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0 {
            // Index 8 of the static table is `:status: 200`.
            stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, &[0x88]))?;
            stream.flush()?;
            break;
        }
    }
    let mut headers = Vec::new();
    let fields = hpack::Decoder::new()
        .decode(&block)
        .map_err(|error| anyhow::anyhow!("HPACK: {error:?}"))?;
    for (name, value) in fields {
        match name.as_slice() {
            [b':', letter, ..] => akamai.pseudo_headers.push(char::from(*letter)),
            _ => headers.push((String::from_utf8(name)?, String::from_utf8(value)?)),
        }
    }
    Ok(Opening {
        akamai: akamai.to_string(),
        headers,
    })
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    // Frames written here are a few bytes long.
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![0, 0, length, kind, flags];
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn read_frame(stream: &mut impl Read) -> Result<(u8, u8, u32, Vec<u8>)> {
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    let [high, middle, low, kind, flags, id @ ..] = header;
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    if length > MAX_FRAME {
        bail!("frame of {length} bytes");
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok((kind, flags, u32::from_be_bytes(id) & 0x7fff_ffff, payload))
}

fn priority(stream: u32, payload: &[u8]) -> Result<Priority> {
    let (on, rest) = payload.split_first_chunk().context("short PRIORITY")?;
    let on = u32::from_be_bytes(*on);
    let weight = rest.first().context("short PRIORITY")?;
    Ok(Priority {
        stream,
        exclusive: on >> 31 == 1,
        depends_on: on & 0x7fff_ffff,
        weight: u16::from(*weight) + 1,
    })
}

fn fragment(flags: u8, payload: &[u8]) -> Result<&[u8]> {
    let mut block = payload;
    let mut padding = 0;
    if flags & PADDED != 0 {
        let (length, rest) = block.split_first().context("short HEADERS")?;
        (padding, block) = (usize::from(*length), rest);
    }
    if flags & PRIORITY_FLAG != 0 {
        block = block.get(5..).context("short HEADERS")?;
    }
    let end = block
        .len()
        .checked_sub(padding)
        .context("padding longer than HEADERS")?;
    Ok(&block[..end])
}
